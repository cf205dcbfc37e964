//! Whether a base is a compatible successor of another one; every reason against it, at once.
//!
//! Two images are of one *line* when sockel made both under the same name with the same parameters (`java=25,ubuntu=26.04`):
//! then they differ in patches alone. Within a line, nothing goes back in time, the user stays (files of the application
//! belong to it), and an application that took over only the entrypoint or only the command does not get the other half of
//! another pair.

use crate::rebase::picture::Face;
use crate::rebase::splice::moment;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Name of an image.
pub(crate) const TITLE: &str = "org.opencontainers.image.title";
/// When it was made.
pub(crate) const CREATED: &str = "org.opencontainers.image.created";
/// Parameters of its recipe: `java=25,ubuntu=26.04`.
pub(crate) const PARAMETERS: &str = "io.sockel.parameters";
/// Digest of its lock: only images of ours have one.
pub(crate) const LOCK: &str = "io.sockel.lock";

/// What one platform would be moved from and to.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The application.
    pub application: &'a Face,
    /// What it stands on.
    pub old: &'a Face,
    /// What it shall stand on.
    pub new: &'a Face,
    /// Going back in time was asked for.
    pub older: bool,
}

/// Returns everything that speaks against it.
#[must_use]
pub fn reasons(case: &Case<'_>) -> Vec<String> {
    let Case { old, new, .. } = case;
    let mut reasons = Vec::new();
    let ours = [("the base that it stands on", old), ("the new base", new)];
    reasons.extend(
        ours.iter()
            .filter(|(_, face)| said(face, LOCK).is_none())
            .map(|(what, _)| format!("{what} is not made by sockel: it has no label `{LOCK}`")),
    );
    let (title, other) = (said(old, TITLE).unwrap_or_default(), said(new, TITLE).unwrap_or_default());
    if title != other {
        reasons.push(format!("the new base is `{other}`, and it stands on `{title}`"));
    }
    reasons.extend(parameters(old, new));
    let text = |face: &Face, key: &str| face.config["config"][key].as_str().unwrap_or_default().to_owned();
    let (user, other) = (text(old, "User"), text(new, "User"));
    if user != other {
        reasons.push(format!("the new base runs as user `{other}` instead of `{user}`"));
    }
    if !case.older && created(new) < created(old) {
        let time = |face: &Face| face.config["created"].as_str().unwrap_or("an unknown time").to_owned();
        reasons.push(format!("the new base is older: of {} instead of {}", time(new), time(old)));
    }
    reasons.extend(halves(case));
    reasons
}

/// Returns what an image says about itself, in its manifest or its configuration.
pub(crate) fn said<'a>(face: &'a Face, name: &str) -> Option<&'a str> {
    face.annotation(name).or_else(|| face.label(name)).filter(|text| !text.is_empty())
}

/// Returns when an image was made; one that does not say so is older than all others.
pub(crate) fn created(face: &Face) -> Option<(i64, u32)> {
    face.config["created"].as_str().and_then(moment)
}

fn parameters(old: &Face, new: &Face) -> Vec<String> {
    let read = |face: &Face| -> BTreeMap<String, String> {
        let text = said(face, PARAMETERS).unwrap_or_default();
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let (before, after) = (read(old), read(new));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    let value = |map: &BTreeMap<String, String>, name: &str| {
        map.get(name).map_or_else(|| "not set".to_owned(), |value| format!("`{value}`"))
    };
    let tell = |name: &String| {
        format!("parameter `{name}` is {} in the new base instead of {}", value(&after, name), value(&before, name))
    };
    differs.map(tell).collect()
}

/// Entrypoint and command are one line to run: half of the old base's and half of the new one's was never tried.
fn halves(case: &Case<'_>) -> Option<String> {
    let Case { application, old, new, .. } = case;
    let value = |face: &'_ Face, key: &str| -> Value { face.config["config"][key].clone() };
    let is_own = |key: &str| value(application, key) != value(old, key);
    let is_moved = |key: &str| value(new, key) != value(old, key);
    let mixed = |own: &str, taken: &str| is_own(own) && !is_own(taken) && is_moved(taken);
    let tell = |own: &str, taken: &str| {
        format!("it has a `{own}` of its own for a `{taken}` of its base, and the new base has another one")
    };
    [("Cmd", "Entrypoint"), ("Entrypoint", "Cmd")]
        .into_iter()
        .find(|(own, taken)| mixed(own, taken))
        .map(|(own, taken)| tell(own, taken))
}
