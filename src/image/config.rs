//! The image configuration (image-spec config.md): what runs, as whom, with which environment.

use crate::image::Error;
use crate::image::PlatformImageParts;
use crate::recipe::DEFAULT_PATH;
use crate::recipe::RuntimeConfig;
use crate::recipe::merged_config;
use crate::values::Epoch;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// Makes the configuration.
///
/// Written as a JSON value: oci-spec's builder would drop nothing and add nothing here, and the keys stay readable
/// beside the specification.
pub(crate) fn config(parts: &PlatformImageParts<'_>, epoch: Epoch) -> Result<Value, Error> {
    let created = epoch.to_string();
    let diff_ids: Vec<_> = parts.layers.iter().map(|layer| layer.blob.diff_id).collect();
    // one line per layer: no entry is an `empty_layer`, so history and diff_ids have the same length
    let history: Vec<Value> = parts
        .layers
        .iter()
        .map(|layer| json!({ "created": created, "created_by": format!("sockel {}", layer.what) }))
        .collect();

    let architecture = parts.platform.architecture();
    let mut config = json!({
        "created": created,
        "architecture": architecture.oci(),
        "os": "linux",
        "config": run_settings(parts)?,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    if let Some(variant) = architecture.variant() {
        config["variant"] = json!(variant);
    }
    Ok(config)
}

/// Returns the settings that a container is started with (config.md, property `config`).
fn run_settings(parts: &PlatformImageParts<'_>) -> Result<Value, Error> {
    let mut settings = merged_config(parts.levels);
    // without it, every runtime and every shell has a DEFAULT_PATH of its own
    settings.env.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
    let env: Vec<String> = settings.env.iter().map(|(name, value)| format!("{name}={value}")).collect();

    let mut run = json!({ "User": user(parts.image, &settings)?, "Env": env, "Labels": labels(parts, &settings) });
    // settings that no level has stay out, so that the runtime's defaults hold
    if !settings.ports.is_empty() {
        let ports: BTreeMap<&str, Value> = settings.ports.iter().map(|port| (port.as_str(), json!({}))).collect();
        run["ExposedPorts"] = json!(ports);
    }
    if let Some(entrypoint) = &settings.entrypoint {
        run["Entrypoint"] = json!(entrypoint);
    }
    if let Some(command) = &settings.command {
        run["Cmd"] = json!(command);
    }
    if let Some(folder) = &settings.working_directory {
        run["WorkingDir"] = json!(folder);
    }
    if let Some(signal) = &settings.stop_signal {
        run["StopSignal"] = json!(signal);
    }
    Ok(run)
}

/// Returns the user of the image, which must not be root.
fn user(image: &str, settings: &RuntimeConfig) -> Result<String, Error> {
    let user = settings.user.clone().ok_or_else(|| Error::NoUser(image.to_owned()))?;
    if is_numeric_user(&user) { Ok(user) } else { Err(Error::BadUser { image: image.to_owned(), user }) }
}

/// Returns the annotations as labels, with those of recipes on top.
fn labels(parts: &PlatformImageParts<'_>, settings: &RuntimeConfig) -> BTreeMap<String, String> {
    let mut labels = parts.annotations.clone();
    if !settings.writable.is_empty() {
        // what a deployment must mount: the image itself is made for a read-only root
        let paths: Vec<&str> = settings.writable.keys().map(String::as_str).collect();
        labels.insert("io.sockel.writable".to_owned(), paths.join(","));
    }
    labels.extend(settings.labels.clone());
    labels
}

/// Tells whether a user is `uid` or `uid:gid` and not root. Kubernetes' `runAsNonRoot` can only judge numbers, so names
/// are refused like root.
fn is_numeric_user(user: &str) -> bool {
    let mut ids = user.splitn(2, ':').map(str::parse::<u32>);
    matches!((ids.next(), ids.next()), (Some(Ok(uid)), None | Some(Ok(_))) if uid != 0)
}
