//! What changed between two locks, for people and as JSON.

use crate::lock::file::Lock;
use crate::lock::file::LockedLevel;
use crate::lock::file::LockedPackage;
use crate::values::Platform;
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

/// All differences between two locks of one image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LockDifference {
    /// Levels with differences, root first.
    pub levels: Vec<LevelDifference>,
    /// Parts of the definition that changed, appeared or disappeared.
    pub definition: Vec<String>,
    /// Parameters with another value: name, old value, new value.
    pub parameters: Vec<(String, Option<String>, Option<String>)>,
    /// Another engine format: old and new.
    pub engine: Option<(u32, u32)>,
    /// Another format of the lock file: old and new.
    pub format: Option<(u32, u32)>,
    /// The old lock names implausible states of the archives.
    pub states: bool,
    /// Pockets with another date, and the new date. A date alone is no reason for a new lock.
    pub archives: Vec<(String, String)>,
}

/// Differences of one level.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LevelDifference {
    /// Recipe name.
    pub recipe: String,
    /// Packages, sorted by name.
    pub packages: Vec<PackageChange>,
    /// The layer plan changed.
    pub layers: bool,
    /// The excluded dependencies changed.
    pub excluded: bool,
    /// The decisions about maintainer scripts changed.
    pub scripts: bool,
    /// Effects of maintainer scripts that are new, gone or decided otherwise.
    pub effects: Vec<EffectChange>,
}

/// An effect of a maintainer script that was added, removed or decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EffectChange {
    /// Binary package name.
    pub package: String,
    /// The effect.
    pub effect: String,
    /// Old decision; none if the effect is new.
    pub old: Option<String>,
    /// New decision; none if the effect is gone.
    pub new: Option<String>,
}

/// One package that was added, removed or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageChange {
    /// Binary package name.
    pub name: String,
    /// Source package name.
    pub source: String,
    /// Old version; none if the package was added.
    pub old: Option<String>,
    /// New version; none if the package was removed.
    pub new: Option<String>,
    /// Archive and pocket of the new version, else of the old one.
    pub from: String,
    /// Platforms with this change.
    pub platforms: Vec<Platform>,
    /// Whether these are all platforms of the image.
    #[serde(skip)]
    pub everywhere: bool,
}

impl LockDifference {
    /// Tells whether the choice of packages and all decisions about them are unchanged.
    #[must_use]
    pub fn keeps_decisions(&self) -> bool {
        self.levels.is_empty()
            && self.parameters.is_empty()
            && self.engine.is_none()
            && self.format.is_none()
            && !self.states
    }

    /// Tells whether nothing changed that decides about the image. A later archive date alone does not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keeps_decisions() && self.definition.is_empty()
    }
}

/// Compares two locks.
#[must_use]
pub fn diff(old: &Lock, new: &Lock) -> LockDifference {
    // levels that were removed come last: they have no place among the new ones
    let names: Vec<&String> = new.levels.iter().map(|level| &level.recipe).collect();
    let gone = old.levels.iter().map(|level| &level.recipe).filter(|name| !names.contains(name));
    let empty = LockedLevel {
        recipe: String::new(),
        layers: Vec::new(),
        packages: BTreeMap::new(),
        excluded: Vec::new(),
        scripts: Vec::new(),
        reader: None,
        effects: Vec::new(),
        kept_back: Vec::new(),
    };

    let mut levels = Vec::new();
    for name in names.iter().copied().chain(gone) {
        let (before, after) = (find_level(old, name), find_level(new, name));
        if before != after {
            levels.push(level(name, before.as_ref().unwrap_or(&empty), after.as_ref().unwrap_or(&empty)));
        }
    }

    // another format has other parts, so that a comparison says nothing
    let mut definition = Vec::new();
    if old.format == new.format {
        definition.extend(changed(&old.definition, &new.definition).into_iter().map(|(name, ..)| name));
    }
    // where levels changed, they say more than that the parent did
    definition.retain(|name| name != "parent" || levels.is_empty());

    let before = dates(old);
    LockDifference {
        definition,
        levels,
        parameters: changed(&old.parameters, &new.parameters),
        engine: (old.engine != new.engine).then_some((old.engine, new.engine)),
        format: (old.format != new.format).then_some((old.format, new.format)),
        states: false,
        archives: dates(new).into_iter().filter(|(name, date)| before.get(name) != Some(date)).collect(),
    }
}

/// Returns what decides about the image: to how many machines an update has been phased in changes every day, which
/// state lists a package only says where its proof is, and what an image does not have changes no byte of it.
fn deciding(level: &LockedLevel) -> LockedLevel {
    let mut level = level.clone();
    for package in level.packages.values_mut().flatten() {
        (package.phased, package.state) = (None, None);
    }
    level.kept_back.clear();
    level
}

/// Keys whose values differ, with both values.
fn changed<T: Clone + PartialEq>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) -> Vec<(String, Option<T>, Option<T>)> {
    // the names of both, since a key may be in one only
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let pairs = names.into_iter().map(|name| (name.clone(), old.get(name).cloned(), new.get(name).cloned()));
    pairs.filter(|(_, old, new)| old != new).collect()
}

/// Returns what decides about a level of a lock, if the lock has the level.
fn find_level(lock: &Lock, recipe: &str) -> Option<LockedLevel> {
    lock.levels.iter().find(|level| level.recipe == recipe).map(deciding)
}

/// Returns the date of every pocket's newest state.
fn dates(lock: &Lock) -> BTreeMap<String, String> {
    lock.newest_states().map(|pocket| (pocket.title(), pocket.date.to_string())).collect()
}

/// Compares two states of one level.
fn level(name: &str, old: &LockedLevel, new: &LockedLevel) -> LevelDifference {
    let platforms: BTreeSet<Platform> = old.packages.keys().chain(new.packages.keys()).copied().collect();

    // the same change on several platforms is one line for the reader
    let mut changes: BTreeMap<(String, Option<String>, Option<String>), PackageChange> = BTreeMap::new();
    for platform in &platforms {
        let (before, after) = (by_name(old, *platform), by_name(new, *platform));
        for (name, was, is) in changed(&before, &after) {
            // source and pocket of a removed package are those that it had
            let Some(shown) = is.as_ref().or(was.as_ref()) else { continue };
            let (was_version, is_version) =
                (was.as_ref().map(|p| p.version.clone()), is.as_ref().map(|p| p.version.clone()));
            let change = PackageChange {
                name: name.clone(),
                source: shown.source.clone(),
                old: was_version.clone(),
                new: is_version.clone(),
                from: shown.from.clone(),
                platforms: Vec::new(),
                everywhere: false,
            };
            changes.entry((name, was_version, is_version)).or_insert(change).platforms.push(*platform);
        }
    }

    let mut packages: Vec<PackageChange> = changes.into_values().collect();
    // known only when all platforms were compared
    for change in &mut packages {
        change.everywhere = change.platforms.len() == platforms.len();
    }

    LevelDifference {
        recipe: name.to_owned(),
        packages,
        layers: old.layers != new.layers,
        excluded: old.excluded != new.excluded,
        scripts: (&old.scripts, old.reader) != (&new.scripts, new.reader),
        effects: effect_changes(old, new),
    }
}

/// Returns the effects that are new, gone or decided otherwise.
fn effect_changes(old: &LockedLevel, new: &LockedLevel) -> Vec<EffectChange> {
    let (before, after) = (by_effect(old), by_effect(new));
    let names: BTreeSet<&(&str, &str)> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| EffectChange {
            package: name.0.to_owned(),
            effect: name.1.to_owned(),
            old: before.get(name).map(|decision| (*decision).to_owned()),
            new: after.get(name).map(|decision| (*decision).to_owned()),
        })
        .collect()
}

/// Returns the decision about each effect of each package.
fn by_effect(level: &LockedLevel) -> BTreeMap<(&str, &str), &str> {
    let mut all = BTreeMap::new();
    for decided in &level.effects {
        for effect in &decided.effects {
            all.insert((decided.package.as_str(), effect.as_str()), decided.decision.as_str());
        }
    }
    all
}

/// Returns the packages of a level for one platform by name.
fn by_name(level: &LockedLevel, platform: Platform) -> BTreeMap<String, LockedPackage> {
    let packages = level.packages.get(&platform).into_iter().flatten();
    packages.map(|package| (package.name.clone(), package.clone())).collect()
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, from) = (&self.name, &self.from);
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, "+ {name} {new} ({from})")?,
            (Some(old), None) => write!(f, "- {name} {old}")?,
            (Some(old), Some(new)) if old == new => write!(f, "~ {name} {new}, other details ({from})")?,
            (Some(old), Some(new)) => write!(f, "~ {name} {old} -> {new} ({from})")?,
            (None, None) => write!(f, "  {name}")?,
        }

        // most changes are on all platforms, so only the others name theirs
        if !self.everywhere {
            let platforms: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
            write!(f, ", {} only", platforms.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for EffectChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (package, effect) = (&self.package, &self.effect);
        match (&self.old, &self.new) {
            (None, Some(new)) => write!(f, "+ script of {package}: {effect} ({new})"),
            (Some(_), None) => write!(f, "- script of {package}: {effect}"),
            (Some(old), Some(new)) => write!(f, "~ script of {package}: {effect} ({old} -> {new})"),
            (None, None) => write!(f, "  script of {package}: {effect}"),
        }
    }
}

impl fmt::Display for LockDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, change) in [("engine", self.engine), ("lock", self.format)] {
            if let Some((old, new)) = change {
                writeln!(f, "{what} format {old} -> {new}")?;
            }
        }
        for (name, old, new) in &self.parameters {
            let (old, new) = (old.as_deref().unwrap_or("none"), new.as_deref().unwrap_or("none"));
            writeln!(f, "parameter {name}: {old} -> {new}")?;
        }
        // the archives' dates are left out: they change with every run
        if self.states {
            writeln!(f, "states of the archives that cannot be right")?;
        }
        for part in &self.definition {
            writeln!(f, "definition of {part} changed")?;
        }

        for level in &self.levels {
            writeln!(f, "level {}:", level.recipe)?;
            for change in &level.packages {
                writeln!(f, "  {change}")?;
            }

            let rest = [
                (level.layers, "layer plan"),
                (level.excluded, "excluded dependencies"),
                (level.scripts, "script decisions"),
            ];
            for (_, what) in rest.iter().filter(|(differs, _)| *differs) {
                writeln!(f, "  ~ {what}")?;
            }
            for change in &level.effects {
                writeln!(f, "  {change}")?;
            }
        }
        Ok(())
    }
}
