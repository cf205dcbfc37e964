//! Does a lock still answer its definition? Decided offline, from the two alone.

use crate::lock::file::ExcludedPackage;
use crate::lock::file::Lock;
use crate::recipe::Definition;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Returns every reason why the lock does not answer the definition any more; none when it does.
///
/// `engine` is the engine format of this sockel; `parent` is the lock of [`Definition::parent`], where it has one.
#[must_use]
pub fn verify(lock: &Lock, definition: &Definition, engine: u32, parent: Option<&Lock>) -> Vec<String> {
    let mut reasons = Vec::new();
    if lock.image != definition.image {
        reasons.push(format!("it is the lock of image `{}`", lock.image));
    }
    if lock.engine != engine {
        reasons.push(format!("it was made for engine format {}, this sockel has {engine}", lock.engine));
    }
    compare(&mut reasons, "parameter", &lock.parameters, &definition.parameters);
    compare(&mut reasons, "file", &lock.inputs, &definition.inputs);
    archives(&mut reasons, lock, definition);
    levels(&mut reasons, lock, definition);
    if let (Some(name), Some(parent)) = (&definition.parent, parent) {
        parents(&mut reasons, lock, name, parent);
    }
    reasons
}

fn compare<T: PartialEq>(
    reasons: &mut Vec<String>,
    what: &str,
    locked: &BTreeMap<String, T>,
    wanted: &BTreeMap<String, T>,
) {
    let names: BTreeSet<&String> = locked.keys().chain(wanted.keys()).collect();
    for name in names {
        match (locked.get(name), wanted.get(name)) {
            (Some(_), None) => reasons.push(format!("{what} `{name}` is not used any more")),
            (None, Some(_)) => reasons.push(format!("{what} `{name}` is new")),
            (old, new) if old != new => reasons.push(format!("{what} `{name}` changed")),
            _ => (),
        }
    }
}

/// Pockets that packages were chosen from must still be those of the definition.
fn archives(reasons: &mut Vec<String>, lock: &Lock, definition: &Definition) {
    let mut wanted = BTreeSet::new();
    for archive in &definition.archives {
        wanted.extend(archive.pockets.iter().map(|pocket| (&archive.name, &pocket.name, &pocket.suite)));
    }
    for pocket in &lock.archives {
        if !wanted.contains(&(&pocket.archive, &pocket.pocket, &pocket.suite)) {
            let (archive, name, suite) = (&pocket.archive, &pocket.pocket, &pocket.suite);
            reasons.push(format!("archive `{archive}` has no pocket `{name}` with suite `{suite}` any more"));
        }
    }
}

fn levels(reasons: &mut Vec<String>, lock: &Lock, definition: &Definition) {
    let locked: Vec<&String> = lock.levels.iter().map(|level| &level.recipe).collect();
    for platform in &definition.platforms {
        let levels = definition.levels_for(*platform);
        if locked != levels.iter().map(|level| &level.recipe).collect::<Vec<_>>() {
            reasons.push(format!("its levels are not those of the definition for {platform}"));
            continue;
        }
        let mut present: BTreeSet<&str> = BTreeSet::new();
        for (locked, level) in lock.levels.iter().zip(levels) {
            let Some(packages) = locked.packages.get(platform) else {
                reasons.push(format!("platform {platform} is missing"));
                break;
            };
            present.extend(packages.iter().map(|package| package.name.as_str()));
            for request in &level.packages {
                if !names(request).any(|name| present.contains(name)) {
                    reasons.push(format!("requested package `{request}` is missing for {platform}"));
                }
            }
            for ExcludedPackage { name, .. } in &locked.excluded {
                if present.contains(name.as_str()) {
                    reasons.push(format!("package `{name}` is both excluded and present for {platform}"));
                }
            }
        }
    }
    let wanted: BTreeSet<_> = definition.platforms.iter().collect();
    let extra: BTreeSet<_> = lock.levels.iter().flat_map(|level| level.packages.keys()).collect();
    for platform in extra.difference(&wanted) {
        reasons.push(format!("platform {platform} is not built any more"));
    }
}

/// Names in a request as recipes write it, `a (>= 1) | b`.
fn names(request: &str) -> impl Iterator<Item = &str> {
    request.split('|').filter_map(|part| part.trim().split([' ', '(', ':']).next())
}

/// The levels that both have must be the same on the platforms that both have.
fn parents(reasons: &mut Vec<String>, lock: &Lock, name: &str, parent: &Lock) {
    for (own, theirs) in lock.levels.iter().zip(&parent.levels) {
        let differs = own.packages.iter().any(|(platform, packages)| theirs.packages.get(platform) != Some(packages));
        if own.recipe != theirs.recipe || own.layers != theirs.layers || own.scripts != theirs.scripts || differs {
            reasons.push(format!("level `{}` is not the same as in the lock of `{name}`", own.recipe));
        }
    }
    if parent.levels.len() >= lock.levels.len() {
        reasons.push(format!("image `{name}`, on which it stands, has as many levels"));
    }
}
