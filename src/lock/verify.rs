//! Checks offline whether a lock still answers its definition, from these two and the ledger alone. Whether signed
//! archives list its packages is the question of [`proof`](crate::lock::proof).

use crate::lock::file::BY_EFFECTS;
use crate::lock::file::ExcludedPackage;
use crate::lock::file::FORMAT;
use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPackage;
use crate::lock::file::LockedPocket;
use crate::lock::scripts::decision;
use crate::recipe::ImageDefinition;
use crate::recipe::ScriptLedger;
use crate::scripts::READER;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Returns every reason why the lock no longer answers the definition; none when it does.
///
/// `engine` is the engine format of this sockel; `parent` is the lock of [`ImageDefinition::parent`], where it has one.
#[must_use]
pub fn verify(
    lock: &Lock,
    definition: &ImageDefinition,
    engine: u32,
    parent: Option<&Lock>,
    ledger: &ScriptLedger,
) -> Vec<String> {
    // a lock of another format has other fields, so there is nothing to compare
    if lock.format != FORMAT {
        return vec![format!("its format is {}, this sockel writes {FORMAT}", lock.format)];
    }

    let mut reasons = Vec::new();
    if lock.image != definition.image {
        reasons.push(format!("it is the lock of image `{}`", lock.image));
    }
    if lock.engine != engine {
        reasons.push(format!("it was made for engine format {}, this sockel has {engine}", lock.engine));
    }

    compare(&mut reasons, "parameter", &lock.parameters, &definition.parameters);
    let parent_of_definition = parent.filter(|_| definition.parent.is_some());
    compare(&mut reasons, "definition of", &lock.definition, &identity(definition, parent_of_definition));

    // people can edit a lock and leave the digests above alone, so its contents are compared, too
    archives(&mut reasons, lock, definition);
    levels(&mut reasons, lock, definition);
    scripts(&mut reasons, lock, ledger);
    if let (Some(name), Some(parent)) = (&definition.parent, parent) {
        parents(&mut reasons, lock, name, parent);
    }
    reasons
}

/// Returns the digests by which a lock names its definition: one for each part, and one for the parent's lock.
pub(super) fn identity(definition: &ImageDefinition, parent: Option<&Lock>) -> BTreeMap<String, Digest> {
    // with the parent's digest, a change to the parent makes its children stale
    let mut identity = definition.identity();
    identity.extend(parent.map(|parent| ("parent".to_owned(), parent.digest())));
    identity
}

/// Compares two maps key by key.
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
            // values may be digests, which say nothing to people
            (old, new) if old != new => reasons.push(format!("{what} `{name}` changed")),
            _ => (),
        }
    }
}

/// Checks the states: those of all pockets of the definition, in its order, signed by its keys; the newest gives the
/// epoch.
fn archives(reasons: &mut Vec<String>, lock: &Lock, definition: &ImageDefinition) {
    let wanted: Vec<_> = definition
        .archives
        .iter()
        .flat_map(|archive| archive.pockets.iter().map(move |pocket| (archive, pocket)))
        .collect();
    let titles: Vec<String> =
        wanted.iter().map(|(archive, pocket)| format!("{}/{}", archive.name, pocket.name)).collect();
    let locked: Vec<String> = lock.newest_states().map(LockedPocket::title).collect();

    // with other pockets there is no pair to compare
    if titles != locked {
        reasons.push(format!("it has states of {}, the recipe names {}", list(&locked), list(&titles)));
        return;
    }

    for state in &lock.archives {
        let title = state.title();
        let Some((archive, pocket)) =
            wanted.iter().zip(&titles).find(|(_, name)| **name == title).map(|(pair, _)| pair)
        else {
            continue;
        };
        if state.suite != pocket.suite || state.codename != pocket.codename {
            reasons.push(format!("pocket `{title}` has another suite or codename in the recipe"));
        }
        if !archive.pins(&state.signed_by) {
            reasons
                .push(format!("pocket `{title}` was signed by `{}`, which the recipe does not pin", state.signed_by));
        }
    }

    if lock.newest_states().map(|state| state.date).max() != Some(lock.epoch) {
        reasons.push("its epoch is not the newest date of its archives".to_owned());
    }
}

/// Lists pockets for people.
fn list(names: &[String]) -> String {
    if names.is_empty() { "no pocket".to_owned() } else { names.join(", ") }
}

/// Checks that every script is decided as the ledger decides it now.
fn scripts(reasons: &mut Vec<String>, lock: &Lock, ledger: &ScriptLedger) {
    for script in lock.levels.iter().flat_map(|level| &level.scripts) {
        // a decision in the lock is a copy: the ledger may have changed since
        let (kind, package) = (&script.script, &script.package);
        match decision(ledger, &script.sha256) {
            // its effects are compared below
            None if script.decision == BY_EFFECTS => (),
            None => reasons.push(format!("{kind} of `{package}` is not in the script ledger")),
            Some(decided) if decided != script.decision => {
                reasons.push(format!("{kind} of `{package}` is decided as `{decided}` in the script ledger"));
            }
            Some(_) => (),
        }
    }

    for level in &lock.levels {
        if level.reader.is_some_and(|reader| reader != READER) {
            reasons.push(format!("scripts of level `{}` were read by another version of the reader", level.recipe));
        }
        for kept in level.kept_back.iter().filter(|kept| !kept.effects.is_empty()) {
            // what was in the way is gone
            if kept.effects.iter().all(|effect| ledger.rule(&kept.package, effect).is_some()) {
                reasons.push(format!(
                    "`{}` need not be kept back any more: the ledger decides about all effects of {}",
                    kept.package, kept.newer
                ));
            }
        }
        for decided in &level.effects {
            let package = &decided.package;
            for effect in &decided.effects {
                match ledger.rule(package, effect).map(|rule| rule.decision.title()) {
                    None => reasons.push(format!("the ledger does not decide about `{effect}` of `{package}`")),
                    Some(title) if title != decided.decision => {
                        reasons.push(format!("`{effect}` of `{package}` is decided as `{title}` in the script ledger"));
                    }
                    Some(_) => (),
                }
            }
        }
    }
}

/// Checks levels, platforms and requested packages.
fn levels(reasons: &mut Vec<String>, lock: &Lock, definition: &ImageDefinition) {
    let locked: Vec<&String> = lock.levels.iter().map(|level| &level.recipe).collect();
    for platform in &definition.platforms {
        let levels = definition.levels_for(*platform);
        if locked != levels.iter().map(|level| &level.recipe).collect::<Vec<_>>() {
            reasons.push(format!("its levels are not those of the definition for {platform}"));
            continue;
        }

        // a request may be satisfied by a lower level, so packages add up from the root
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
                // a package that came in by another way would make the exclusion untrue
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

/// Returns the names in a request as recipes write it, `a (>= 1) | b`.
fn names(request: &str) -> impl Iterator<Item = &str> {
    request.split('|').filter_map(|part| part.trim().split([' ', '(', ':']).next())
}

/// Checks that the levels of the parent are the same in both locks, on the platforms of the child.
fn parents(reasons: &mut Vec<String>, lock: &Lock, name: &str, parent: &Lock) {
    for (own, theirs) in lock.levels.iter().zip(&parent.levels) {
        // the parent may have more platforms than its child
        let same = own.packages.iter().all(|(platform, packages)| {
            theirs.packages.get(platform).is_some_and(|theirs| without_states(packages) == without_states(theirs))
        });
        let recipe = &own.recipe;
        if besides_packages(own) != besides_packages(theirs) || !same {
            reasons.push(format!("level `{recipe}` is not the same as in the lock of `{name}`"));
        }
    }
    if parent.levels.len() >= lock.levels.len() {
        reasons.push(format!("image `{name}`, on which it stands, has as many levels"));
    }
}

/// Returns all that a level says besides its packages.
fn besides_packages(level: &LockedLevel) -> impl PartialEq {
    // all fields are named, so that a new one is not forgotten
    let LockedLevel { recipe, layers, packages: _, excluded, scripts, reader, effects, kept_back } = level;
    (recipe, layers, excluded, scripts, reader, effects, kept_back)
}

/// Returns packages without the states that list them: those depend on when each lock was made.
fn without_states(packages: &[LockedPackage]) -> Vec<LockedPackage> {
    packages.iter().map(|package| LockedPackage { state: None, ..package.clone() }).collect()
}
