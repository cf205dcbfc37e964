//! New documents for an application: its layers on another base's, its history after that one's, settings and annotations
//! merged. The same inputs give the same bytes: there is no clock here.

use crate::oci;
use crate::oci::registry::document::Named;
use crate::rebase::merge;
use crate::rebase::picture::Face;
use crate::rebase::picture::Layer;
use crate::values::Digest;
use crate::values::Epoch;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// Annotation: which image this one is a base of (image-spec annotations.md).
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Annotation: digest of that image's manifest.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
/// Annotation: digest of the image that was moved onto another base.
pub const FROM: &str = "io.sockel.rebased-from";

/// One platform of an application with its old and its new base.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The application.
    pub application: &'a Face,
    /// What it stands on.
    pub old: &'a Face,
    /// What it shall stand on.
    pub new: &'a Face,
    /// How people write the new base.
    pub base_name: &'a str,
}

/// New documents of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spliced {
    /// Configuration in canonical JSON.
    pub config: Vec<u8>,
    /// Manifest in canonical JSON.
    pub manifest: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
    /// Layers of the new base that the application did not have.
    pub brought: Vec<Layer>,
    /// Number of layers that the application had.
    pub kept: usize,
    /// Settings that application and new base changed, each in its way.
    pub both: Vec<String>,
}

/// Makes the documents of one platform.
///
/// # Errors
/// When a layer of the new base cannot be named in the application's kind of manifest.
pub fn splice(parts: &Parts<'_>) -> Result<Spliced, String> {
    let Parts { application, old, new, .. } = parts;
    let own = &application.layers[old.layers.len()..];
    // the application's builder may have packed a layer again: what consumers have is what the application named
    let had = |layer: &&Layer| application.layers.iter().any(|had| had.blob.digest == layer.blob.digest);
    let brought: Vec<Layer> = new.layers.iter().filter(|layer| !had(layer)).cloned().collect();
    let merged = merge::settings(&old.config["config"], &application.config["config"], &new.config["config"]);
    let is_docker = is_docker(&application.media_type);
    let mut config = application.config.clone();
    config["config"] = merged.settings;
    let notes = notes(parts, is_docker, &mut config);
    config["created"] = newer(&application.config["created"], &new.config["created"]).clone();
    let diff_ids: Vec<Digest> = new.layers.iter().chain(own).map(|layer| layer.diff_id).collect();
    config["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
    config["history"] = Value::Array(history(parts, own.len()));
    let config = oci::canonical(&config);
    let mut manifest = application.manifest.clone();
    let config_type = application.manifest["config"]["mediaType"].clone();
    manifest["config"] = json!({ "mediaType": config_type, "digest": Digest::of(&config), "size": config.len() });
    let mut layers = Vec::new();
    for layer in &new.layers {
        layers.push(described(&layer.blob, is_docker)?);
    }
    let raw = application.manifest["layers"].as_array().map_or(&[][..], Vec::as_slice);
    layers.extend(raw.iter().skip(old.layers.len()).cloned());
    manifest["layers"] = Value::Array(layers);
    if let Some(notes) = notes {
        manifest["annotations"] = Value::Object(notes);
    }
    let manifest = oci::canonical(&manifest);
    let kept = new.layers.len() - brought.len() + own.len();
    Ok(Spliced { digest: Digest::of(&manifest), config, manifest, brought, kept, both: merged.both })
}

/// Makes the new index: the same entries with the new manifests, without what was about the old ones.
#[must_use]
pub fn index(
    (application, from): (&Value, &Digest),
    children: Vec<Value>,
    (old, new): (Option<&Value>, (&str, &Digest)),
    new_index: Option<&Value>,
) -> Vec<u8> {
    let mut index = application.clone();
    index["manifests"] = Value::Array(children);
    // a Docker manifest list has no annotations
    if !index["mediaType"].as_str().is_some_and(is_docker) {
        let none = Value::Null;
        let of = |index: Option<&'_ Value>| index.map_or_else(|| none.clone(), |index| index["annotations"].clone());
        let mut notes = merge::texts(&of(old), &application["annotations"], &of(new_index));
        set(&mut notes, (new.0, new.1), from);
        index["annotations"] = Value::Object(notes);
    }
    oci::canonical(&index)
}

/// Says where the image stands now: as annotations, or for Docker's manifests, which have none, as labels. Labels of an
/// OCI image that name its base, other than those inherited from there, are brought up to date as well.
fn notes(parts: &Parts<'_>, is_docker: bool, config: &mut Value) -> Option<Map<String, Value>> {
    let Parts { application, old, new, base_name } = parts;
    let names_base =
        application.label(BASE_DIGEST).is_some() && application.label(BASE_DIGEST) != old.label(BASE_DIGEST);
    if is_docker || names_base {
        let labels = &mut config["config"]["Labels"];
        let mut map = labels.as_object().cloned().unwrap_or_default();
        set(&mut map, (base_name, &new.digest), &application.digest);
        *labels = Value::Object(map);
    }
    if is_docker {
        return None;
    }
    let [old, own, after] = [old, application, new].map(|face| &face.manifest["annotations"]);
    let mut notes = merge::texts(old, own, after);
    set(&mut notes, (base_name, &new.digest), &application.digest);
    Some(notes)
}

fn set(map: &mut Map<String, Value>, (name, digest): (&str, &Digest), from: &Digest) {
    map.insert(BASE_NAME.to_owned(), name.into());
    map.insert(BASE_DIGEST.to_owned(), digest.to_string().into());
    map.insert(FROM.to_owned(), from.to_string().into());
}

fn is_docker(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.")
}

/// Returns the descriptor of a base's layer as the application's kind of manifest writes it.
fn described(blob: &Named, is_docker: bool) -> Result<Value, String> {
    const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
    const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    let media_type = match (is_docker, blob.media_type.as_str()) {
        (true, "application/vnd.oci.image.layer.v1.tar+gzip") => format!("{DOCKER}.gzip"),
        (true, OCI) => DOCKER.to_owned(),
        (true, other) if !other.starts_with(DOCKER) => {
            return Err(format!("its new base has a layer of type `{other}`, which Docker's manifests cannot name"));
        }
        (false, "application/vnd.docker.image.rootfs.diff.tar.gzip") => format!("{OCI}+gzip"),
        (false, DOCKER) => OCI.to_owned(),
        (_, other) => other.to_owned(),
    };
    Ok(json!({ "mediaType": media_type, "digest": blob.digest, "size": blob.size }))
}

/// Returns the new base's history and what the application's builder did after the old base's.
fn history(parts: &Parts<'_>, own_layers: usize) -> Vec<Value> {
    let Parts { application, old, new, .. } = parts;
    let list = |face: &Face| face.config["history"].as_array().cloned().unwrap_or_default();
    let (all, before) = (list(application), list(old));
    let base = match list(new) {
        whole if layers_in(&whole) == new.layers.len() => whole,
        _ => made_up(new, new.layers.len()),
    };
    let own = match layers_in(&all) == application.layers.len() {
        // the base's own last steps may have made no layer
        true if all.starts_with(&before) && layers_in(&before) == old.layers.len() => all[before.len()..].to_vec(),
        true => after(&all, old.layers.len()).to_vec(),
        false => made_up(application, own_layers),
    };
    base.into_iter().chain(own).collect()
}

/// Returns how many layers a history tells of; steps such as `ENV` make none.
fn layers_in(history: &[Value]) -> usize {
    history.iter().filter(|step| makes_layer(step)).count()
}

fn makes_layer(step: &Value) -> bool {
    step["empty_layer"].as_bool() != Some(true)
}

/// Returns what comes after the step that made the last of so many layers.
fn after(history: &[Value], layers: usize) -> &[Value] {
    let mut left = layers;
    let mut from = 0;
    for (number, step) in history.iter().enumerate() {
        if left == 0 {
            break;
        }
        if makes_layer(step) {
            left -= 1;
        }
        from = number + 1;
    }
    &history[from..]
}

/// A history that does not fit its layers makes engines refuse the image, so it is written anew.
fn made_up(face: &Face, layers: usize) -> Vec<Value> {
    let step =
        json!({ "created": face.config["created"], "created_by": "unknown: the history did not fit the layers" });
    vec![step; layers]
}

/// Returns the later of two times; one that cannot be read loses.
fn newer<'a>(one: &'a Value, other: &'a Value) -> &'a Value {
    let moment = |value: &Value| value.as_str().and_then(moment);
    if moment(other) > moment(one) { other } else { one }
}

/// Reads a time as RFC 3339 has it, with any fraction and offset: seconds since 1970 and nanoseconds.
#[must_use]
pub fn moment(text: &str) -> Option<(i64, u32)> {
    let base = text.get(..19)?;
    let Epoch(seconds) = format!("{}T{}Z", base.get(..10)?, base.get(11..)?).parse().ok()?;
    let rest = text.get(19..)?;
    let digits =
        rest.strip_prefix('.').map_or("", |rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""));
    let rest = if digits.is_empty() { rest } else { rest.get(digits.len() + 1..)? };
    let nanoseconds = format!("{digits:0<9}").get(..9)?.parse().ok()?;
    if rest == "Z" || rest == "z" {
        return Some((seconds, nanoseconds));
    }
    let (sign, offset) = (rest.get(..1)?, rest.get(1..)?);
    let (hours, minutes) = offset.split_once(':')?;
    let number = |text: &str| text.parse::<u8>().ok().filter(|_| text.len() == 2).map(i64::from);
    let offset = number(hours)? * 3600 + number(minutes)? * 60;
    match sign {
        "+" => Some((seconds - offset, nanoseconds)),
        "-" => Some((seconds + offset, nanoseconds)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
