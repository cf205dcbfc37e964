//! Whether a new base is a compatible successor of the current one. All objections are returned together.
//!
//! Two images belong to the same *line* when sockel built both under the same name with the same parameters
//! (`java=25,ubuntu=26.04`): then they differ in patches alone. Within a line, three things must hold: the new base is not
//! older, the user stays the same (the application's files belong to it), and entrypoint and command do not come from
//! different images. The last one matters for applications that override only one of the two.

use crate::rebase::picture::PlatformImage;
use crate::rebase::time;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Label and annotation: the name of an image.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
/// Label and annotation: when an image was created.
pub(crate) const CREATED: &str = "org.opencontainers.image.created";
/// Label and annotation: the parameters of an image's recipe, `java=25,ubuntu=26.04`.
pub(crate) const PARAMETERS: &str = "io.sockel.parameters";
/// Label and annotation: the digest of an image's lock. Only images that sockel built have one.
pub(crate) const LOCK: &str = "io.sockel.lock";

/// One platform of an application with its current and its new base.
#[derive(Debug, Clone, Copy)]
pub struct SuccessorCase<'a> {
    /// The application.
    pub application: &'a PlatformImage,
    /// Its current base.
    pub old: &'a PlatformImage,
    /// Its new base.
    pub new: &'a PlatformImage,
    /// Whether the new base may be older than the current one.
    pub allows_older: bool,
}

/// Returns every objection to the move.
#[must_use]
pub fn reasons(case: &SuccessorCase<'_>) -> Vec<String> {
    let SuccessorCase { old, new, .. } = *case;
    let mut reasons = Vec::new();

    // name and parameters are compared below: only in images of sockel do they say what an image is made of
    for (role, base) in [("its current base", old), ("the new base", new)] {
        if annotation_or_label(base, LOCK).is_none() {
            reasons.push(format!("{role} was not built by sockel: it has no label `{LOCK}`"));
        }
    }

    let (old_title, new_title) = (title(old), title(new));
    if old_title != new_title {
        reasons.push(format!("the new base is `{new_title}` instead of `{old_title}`"));
    }
    reasons.extend(changed_parameters(old, new));

    // files that the application brought belong to the old user: another one may be unable to read or write them
    let (old_user, new_user) = (text(setting(old, "User")), text(setting(new, "User")));
    if old_user != new_user {
        reasons.push(format!("the new base runs as user `{new_user}` instead of `{old_user}`"));
    }

    // an older base of the same line lacks patches that the application has already
    if !case.allows_older && created(new) < created(old) {
        let (new, old) = (created_text(new), created_text(old));
        reasons.push(format!("the new base is older: created {new} instead of {old}"));
    }

    reasons.extend(mixed_command_line(case));
    reasons
}

/// Returns a non-empty annotation of an image's manifest, or else the label of that name.
pub(crate) fn annotation_or_label<'a>(image: &'a PlatformImage, name: &str) -> Option<&'a str> {
    image.annotation(name).or_else(|| image.label(name)).filter(|text| !text.is_empty())
}

/// Returns when an image was created. One without a readable time sorts before all others.
pub(crate) fn created(image: &PlatformImage) -> Option<time::Instant> {
    image.config["created"].as_str().and_then(time::parse)
}

fn created_text(image: &PlatformImage) -> &str {
    image.config["created"].as_str().unwrap_or("at an unknown time")
}

fn title(image: &PlatformImage) -> &str {
    annotation_or_label(image, TITLE).unwrap_or_default()
}

/// Returns one of the settings with which containers are started.
fn setting<'a>(image: &'a PlatformImage, key: &str) -> &'a Value {
    &image.config["config"][key]
}

fn text(setting: &Value) -> &str {
    setting.as_str().unwrap_or_default()
}

/// Returns an objection for each parameter that the two images do not have in common.
fn changed_parameters(old: &PlatformImage, new: &PlatformImage) -> Vec<String> {
    let (old_values, new_values) = (parameters(old), parameters(new));
    let names: BTreeSet<&str> = old_values.keys().chain(new_values.keys()).copied().collect();

    let mut reasons = Vec::new();
    for name in names {
        let (before, after) = (old_values.get(name), new_values.get(name));
        if before != after {
            let (before, after) = (parameter_text(before), parameter_text(after));
            reasons.push(format!("parameter `{name}` is {after} in the new base instead of {before}"));
        }
    }
    reasons
}

/// Reads `java=25,ubuntu=26.04`.
fn parameters(image: &PlatformImage) -> BTreeMap<&str, &str> {
    let list = annotation_or_label(image, PARAMETERS).unwrap_or_default();
    list.split(',').filter_map(|pair| pair.split_once('=')).collect()
}

fn parameter_text(value: Option<&&str>) -> String {
    value.map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"))
}

/// Objects when entrypoint and command would come from different images: together they are one command line, and nobody
/// has tried the application's half with the new base's half.
fn mixed_command_line(case: &SuccessorCase<'_>) -> Option<String> {
    let SuccessorCase { application, old, new, .. } = *case;
    for (own, inherited) in [("Cmd", "Entrypoint"), ("Entrypoint", "Cmd")] {
        let is_overridden = setting(application, own) != setting(old, own);
        let is_inherited = setting(application, inherited) == setting(old, inherited);
        // merging lets inherited settings follow the new base (see [`crate::rebase::merge`])
        let would_change = setting(new, inherited) != setting(old, inherited);

        if is_overridden && is_inherited && would_change {
            return Some(format!(
                "it sets its own `{own}` for the `{inherited}` of its base, but the new base has another `{inherited}`"
            ));
        }
    }
    None
}
