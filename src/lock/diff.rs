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
    /// Parts of the definition that resolve to something else, or that came or went.
    pub definition: Vec<String>,
    /// Parameters with another value: name, old value, new value.
    pub parameters: Vec<(String, Option<String>, Option<String>)>,
    /// Another engine format: old and new.
    pub engine: Option<(u32, u32)>,
    /// Another format of the lock file: old and new.
    pub format: Option<(u32, u32)>,
    /// The old lock names states of the archives that cannot be right.
    pub states: bool,
    /// Pockets that were read at another time, with the new date; no reason for a new lock by themselves.
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
}

/// One package that came, went or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PackageChange {
    /// Binary package name.
    pub name: String,
    /// Source package name.
    pub source: String,
    /// Version before; none when it came.
    pub old: Option<String>,
    /// Version now; none when it went.
    pub new: Option<String>,
    /// Archive and pocket of the version now, else of the one before.
    pub from: String,
    /// Platforms for which this holds.
    pub platforms: Vec<Platform>,
    /// The platforms are all that the image has.
    #[serde(skip)]
    pub everywhere: bool,
}

impl LockDifference {
    /// Tells whether the choice of packages and all decisions about them stay as they are.
    #[must_use]
    pub fn keeps_decisions(&self) -> bool {
        self.levels.is_empty()
            && self.parameters.is_empty()
            && self.engine.is_none()
            && self.format.is_none()
            && !self.states
    }

    /// Tells whether nothing changed that decides about the image; a later archive date alone does not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keeps_decisions() && self.definition.is_empty()
    }
}

/// Compares two locks.
#[must_use]
pub fn diff(old: &Lock, new: &Lock) -> LockDifference {
    let names: Vec<&String> = new.levels.iter().map(|level| &level.recipe).collect();
    let gone = old.levels.iter().map(|level| &level.recipe).filter(|name| !names.contains(name));
    let empty = LockedLevel {
        recipe: String::new(),
        layers: Vec::new(),
        packages: BTreeMap::new(),
        excluded: Vec::new(),
        scripts: Vec::new(),
    };
    let mut levels = Vec::new();
    for name in names.iter().copied().chain(gone) {
        let find = |lock: &Lock| lock.levels.iter().find(|level| level.recipe == *name).map(deciding);
        let (before, after) = (find(old), find(new));
        if before != after {
            levels.push(level(name, before.as_ref().unwrap_or(&empty), after.as_ref().unwrap_or(&empty)));
        }
    }
    let dates = |lock: &Lock| -> BTreeMap<String, String> {
        let entry = |pocket: &crate::lock::file::LockedPocket| (pocket.title(), pocket.date.to_string());
        lock.newest_states().map(entry).collect()
    };
    let before = dates(old);
    // where a level changed that the parent has, it goes without saying that the parent did
    // and another format has other parts
    let is_said = |name: &String| old.format == new.format && (name != "parent" || levels.is_empty());
    let parts = changed(&old.definition, &new.definition).into_iter().map(|(name, ..)| name);
    LockDifference {
        definition: parts.filter(is_said).collect(),
        levels,
        parameters: changed(&old.parameters, &new.parameters),
        engine: (old.engine != new.engine).then_some((old.engine, new.engine)),
        format: (old.format != new.format).then_some((old.format, new.format)),
        states: false,
        archives: dates(new).into_iter().filter(|(name, date)| before.get(name) != Some(date)).collect(),
    }
}

/// Returns what decides about the image: to how many machines an update has been phased in changes every day, and which
/// state lists a package only says where its proof is.
fn deciding(level: &LockedLevel) -> LockedLevel {
    let mut level = level.clone();
    for package in level.packages.values_mut().flatten() {
        (package.phased, package.state) = (None, None);
    }
    level
}

/// Keys whose values differ, with both values.
fn changed<T: Clone + PartialEq>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) -> Vec<(String, Option<T>, Option<T>)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let pairs = names.into_iter().map(|name| (name.clone(), old.get(name).cloned(), new.get(name).cloned()));
    pairs.filter(|(_, old, new)| old != new).collect()
}

fn level(name: &str, old: &LockedLevel, new: &LockedLevel) -> LevelDifference {
    let platforms: BTreeSet<Platform> = old.packages.keys().chain(new.packages.keys()).copied().collect();
    let mut changes: BTreeMap<(String, Option<String>, Option<String>), PackageChange> = BTreeMap::new();
    for platform in &platforms {
        let (before, after) = (by_name(old, *platform), by_name(new, *platform));
        for (name, was, is) in changed(&before, &after) {
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
    for change in &mut packages {
        change.everywhere = change.platforms.len() == platforms.len();
    }
    LevelDifference {
        recipe: name.to_owned(),
        packages,
        layers: old.layers != new.layers,
        excluded: old.excluded != new.excluded,
        scripts: old.scripts != new.scripts,
    }
}

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
        if !self.everywhere {
            let platforms: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
            write!(f, ", {} only", platforms.join(", "))?;
        }
        Ok(())
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
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
            writeln!(f, "parameter {name}: {} -> {}", text(old), text(new))?;
        }
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
        }
        Ok(())
    }
}
