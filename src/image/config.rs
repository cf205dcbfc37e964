//! The image configuration (image-spec config.md): what runs, as whom, with which environment.

use crate::image::Error;
use crate::image::Parts;
use crate::recipe::merged_config;
use crate::values::Epoch;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// Where programs are looked for when no level says otherwise: that of Debian's base system without games.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes the configuration.
///
/// Written as a JSON value: oci-spec's builder would drop nothing and add nothing here, and the keys stay readable
/// beside the specification.
pub(crate) fn config(parts: &Parts<'_>, epoch: Epoch) -> Result<Value, Error> {
    let mut settings = merged_config(parts.levels);
    settings.env.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    let user = settings.user.clone().ok_or_else(|| Error::NoUser(parts.image.to_owned()))?;
    if !is_numeric_user(&user) {
        return Err(Error::BadUser { image: parts.image.to_owned(), user });
    }
    let mut labels = parts.annotations.clone();
    if !settings.writable.is_empty() {
        // what a deployment must mount: the image itself is made for a read-only root
        let paths: Vec<&str> = settings.writable.keys().map(String::as_str).collect();
        labels.insert("io.sockel.writable".to_owned(), paths.join(","));
    }
    labels.extend(settings.labels.clone());
    let env: Vec<String> = settings.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let ports: BTreeMap<&str, Value> = settings.ports.iter().map(|port| (port.as_str(), json!({}))).collect();
    let mut run = json!({ "User": user, "Env": env, "Labels": labels });
    let mut set = |key: &str, value: Value| run[key] = value;
    if !ports.is_empty() {
        set("ExposedPorts", json!(ports));
    }
    if let Some(entrypoint) = &settings.entrypoint {
        set("Entrypoint", json!(entrypoint));
    }
    if let Some(command) = &settings.command {
        set("Cmd", json!(command));
    }
    if let Some(folder) = &settings.working_directory {
        set("WorkingDir", json!(folder));
    }
    if let Some(signal) = &settings.stop_signal {
        set("StopSignal", json!(signal));
    }
    let diff_ids: Vec<_> = parts.layers.iter().map(|layer| layer.blob.diff_id).collect();
    let created = epoch.to_string();
    let history: Vec<Value> = parts
        .layers
        .iter()
        .map(|layer| json!({ "created": created, "created_by": format!("sockel {}", layer.what) }))
        .collect();
    let architecture = parts.platform.architecture();
    let mut config = json!({
        "created": created,
        "architecture": architecture.debian(),
        "os": "linux",
        "config": run,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    if let Some(variant) = architecture.variant() {
        config["variant"] = json!(variant);
    }
    Ok(config)
}

/// Kubernetes' `runAsNonRoot` can only judge numbers, so names are refused as root is.
fn is_numeric_user(user: &str) -> bool {
    let mut ids = user.splitn(2, ':').map(str::parse::<u32>);
    matches!((ids.next(), ids.next()), (Some(Ok(uid)), None | Some(Ok(_))) if uid != 0)
}
