//! Chooses packages: level by level from the root, for every platform, with the same versions on all of them.

use crate::apt::relation::Relation;
use crate::apt::version::DebianVersion;
use crate::lock::Error;
use crate::lock::explain::Explainer;
use crate::lock::file::ExcludedPackage;
use crate::lock::graph::DependencyGroup;
use crate::lock::graph::Id;
use crate::lock::graph::InstalledBelow;
use crate::lock::graph::PackageGraph;
use crate::lock::solve::SolverEffort;
use crate::lock::solve::solve;
use crate::lock::universe::CandidatePolicy;
use crate::lock::universe::KeptVersions;
use crate::lock::universe::PackageCandidate;
use crate::lock::universe::Universe;
use crate::values::Platform;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Most rounds of aligning versions before each platform keeps its own. A pin can make other packages differ, those
/// that depend on exact versions; they are pinned in the next round, and such chains are short.
const MOST_ROUNDS: usize = 12;

/// What one level asks for, on one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LevelRequest {
    /// Recipe name.
    pub recipe: String,
    /// Requested packages, each a group of alternatives.
    pub packages: Vec<Vec<Relation>>,
    /// Names that must not come in, with the recipe's reason; this level's and those of the levels below.
    pub exclude: BTreeMap<String, String>,
}

/// A chosen package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelChoice {
    /// Package and origin.
    pub candidate: PackageCandidate,
    /// `requested` or `needed by <package>`.
    pub why: String,
}

/// What a level adds on one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LevelAddition {
    /// Packages by name.
    pub packages: BTreeMap<String, LevelChoice>,
    /// Dependencies that were left out.
    pub excluded: Vec<ExcludedPackage>,
}

/// Packages of the levels below by name, each with its level.
pub type Held = BTreeMap<String, (String, PackageCandidate)>;

/// Everything that decides the choice of packages for one level on one platform.
pub struct PlatformChoice<'a> {
    /// Packages that may be chosen.
    pub universe: &'a Universe<'a>,
    /// Packages of the levels below.
    pub held: &'a Held,
    /// What the level asks for.
    pub request: &'a LevelRequest,
    /// Versions that are settled already.
    pub kept: &'a KeptVersions,
}

/// Resolves one level on all platforms, with the same version of each package on all platforms that have it.
///
/// Returns the additions, and warnings about packages that are held back for that, or that differ nevertheless.
///
/// # Errors
/// [`Error::Unresolvable`] with all reasons, or when an index cannot be read.
pub fn resolve_level(
    sides: &BTreeMap<Platform, PlatformChoice<'_>>,
    policy: &CandidatePolicy,
) -> Result<(BTreeMap<Platform, LevelAddition>, Vec<String>), Error> {
    let unaligned = resolve_sides(sides, policy)?;
    let mut additions = unaligned.clone();

    // mirrors update architectures at different times: a pin holds a package back until all platforms have it
    let mut policy = policy.clone();
    let mut tried: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for _ in 0..MOST_ROUNDS {
        let differing = differing(&additions);
        if differing.is_empty() {
            return Ok((additions, held_back(sides, &policy, &tried)?));
        }

        let mut progress = false;
        for name in differing {
            let Some(version) = newest_on_all(sides, &name)? else { continue };
            if tried.entry(name.clone()).or_default().insert(version.to_string()) {
                policy.pins.insert(name, version);
                progress = true;
            }
        }

        // a pin that leaves no choice is given up with all others: different versions are better than no lock
        match resolve_sides(sides, &policy) {
            Ok(next) if progress => additions = next,
            Err(error @ (Error::Index { .. } | Error::Effort { .. })) => return Err(error),
            _ => break,
        }
    }

    let warnings = self::differing(&unaligned).into_iter().map(|name| differs(&unaligned, &name)).collect();
    Ok((unaligned, warnings))
}

/// Resolves one level on each platform by itself.
fn resolve_sides(
    sides: &BTreeMap<Platform, PlatformChoice<'_>>,
    policy: &CandidatePolicy,
) -> Result<BTreeMap<Platform, LevelAddition>, Error> {
    let mut additions = BTreeMap::new();
    for (platform, side) in sides {
        additions.insert(*platform, resolve(*platform, side, policy)?);
    }
    Ok(additions)
}

/// Names whose source versions are not the same on all platforms that have them.
fn differing(additions: &BTreeMap<Platform, LevelAddition>) -> BTreeSet<String> {
    let mut versions: BTreeMap<&String, &DebianVersion> = BTreeMap::new();
    let mut names = BTreeSet::new();
    // source versions: a rebuild of the binary for one architecture (`+b1`) is the same software
    for (name, choice) in additions.values().flat_map(|addition| &addition.packages) {
        let version = &choice.candidate.package.source_version;
        if *versions.entry(name).or_insert(version) != version {
            names.insert(name.clone());
        }
    }
    names
}

/// Returns the warning about a package that differs between platforms.
fn differs(additions: &BTreeMap<Platform, LevelAddition>, name: &str) -> String {
    let mut versions = Vec::new();
    for (platform, addition) in additions {
        if let Some(choice) = addition.packages.get(name) {
            versions.push(format!("{} on {platform}", choice.candidate.package.version));
        }
    }
    format!("`{name}` has no version in common on all platforms: {}", versions.join(", "))
}

/// Returns the newest source version of a package that all platforms have, leaving out platforms without the package.
fn newest_on_all(sides: &BTreeMap<Platform, PlatformChoice<'_>>, name: &str) -> Result<Option<DebianVersion>, Error> {
    let mut common: Option<BTreeSet<DebianVersion>> = None;
    for side in sides.values() {
        // a halted version must not come back as a pin
        let mut here = BTreeSet::new();
        let kept = side.kept.get(name).into_iter().flatten();
        here.extend(kept.map(|candidate| candidate.package.source_version.clone()));
        for candidate in side.universe.versions(name)?.iter().filter(|_| !side.kept.contains_key(name)) {
            let version = candidate.package.source_version.clone();
            let pins = BTreeMap::from([(name.to_owned(), version.clone())]);
            let single = CandidatePolicy { pins, kept: KeptVersions::new() };
            if side.universe.candidate(name, &single)?.is_some() {
                here.insert(version);
            }
        }

        common = match common {
            // the package does not exist there, so there is nothing to align with
            _ if here.is_empty() => common,
            None => Some(here),
            Some(others) => Some(others.intersection(&here).cloned().collect()),
        };
    }
    // versions are ordered as Debian orders them: the last is the newest
    Ok(common.and_then(|versions| versions.into_iter().next_back()))
}

/// Returns warnings about packages of which some platform has a newer version than the pinned one.
fn held_back(
    sides: &BTreeMap<Platform, PlatformChoice<'_>>,
    policy: &CandidatePolicy,
    tried: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    let free = CandidatePolicy::default();
    for name in tried.keys() {
        // a name is pinned when it is tried, to the version that was tried last
        let Some(pin) = policy.pins.get(name) else { continue };
        for (platform, side) in sides {
            let newest = side.universe.candidate(name, &free)?.map(|candidate| candidate.package.version);
            if let Some(newest) = newest.filter(|version| version > pin) {
                warnings.push(format!("`{name}` stays at {pin}: {newest} is on {platform}, but not on all platforms"));
            }
        }
    }
    Ok(warnings)
}

/// Resolves one level on one platform.
///
/// # Errors
/// [`Error::Unresolvable`] with all reasons, or when an index cannot be read.
pub fn resolve(
    platform: Platform,
    side: &PlatformChoice<'_>,
    policy: &CandidatePolicy,
) -> Result<LevelAddition, Error> {
    let policy = &CandidatePolicy { pins: policy.pins.clone(), kept: side.kept.clone() };
    let ground = InstalledBelow { fixed: side.held.clone(), excluded: side.request.exclude.clone() };
    let graph = RefCell::new(PackageGraph::new(side.universe, policy, &ground, platform.architecture().debian()));
    let explainer = Explainer { universe: side.universe, policy, ground: &ground };

    // lower levels first: requests must find their packages as installed
    let mut fixed = Vec::new();
    for name in ground.fixed.keys() {
        fixed.push(graph.borrow_mut().node(name)?);
    }

    // all requests that name nothing are reported together, before any search
    let (mut requests, mut reasons) = (Vec::new(), Vec::new());
    for relations in sorted(&side.request.packages) {
        let group = requested(&mut graph.borrow_mut(), &relations)?;
        reasons.extend(explainer.request(&relations, &group)?);
        requests.push(group);
    }
    if reasons.is_empty() {
        match solve(&graph, &fixed, &requests, SolverEffort::USUAL)? {
            Some(selected) => return addition(&mut graph.into_inner(), &ground, &selected, &requests),
            None => reasons = explainer.conflict(&mut graph.borrow_mut(), &fixed, &requests)?,
        }
    }
    Err(Error::Unresolvable { recipe: side.request.recipe.clone(), platform, reasons })
}

/// Returns requests in an order of their own, so that the result does not depend on how the recipe lists them.
fn sorted(packages: &[Vec<Relation>]) -> Vec<Vec<Relation>> {
    let mut packages = packages.to_vec();
    packages.sort_by_cached_key(|relations| crate::lock::graph::write_group(relations));
    packages.dedup();
    packages
}

/// Returns the group of a request. Requests are for packages by their own names, as with apt; a virtual package is
/// refused.
fn requested(graph: &mut PackageGraph<'_>, relations: &[Relation]) -> Result<DependencyGroup, Error> {
    let mut group = graph.group(relations)?;
    group.options.retain(|id| relations.iter().any(|relation| relation.name == graph.nodes[*id].name));
    Ok(group)
}

/// Turns the solver's set into what the level adds, each package with its reason. Packages that no chain of
/// dependencies reaches from a request are left out.
fn addition(
    graph: &mut PackageGraph<'_>,
    ground: &InstalledBelow,
    selected: &BTreeSet<Id>,
    requests: &[DependencyGroup],
) -> Result<LevelAddition, Error> {
    let mut packages = BTreeMap::new();
    let mut dropped: Vec<DroppedDependency> = Vec::new();
    let mut ring: BTreeMap<String, (Id, String)> = BTreeMap::new();
    for id in requests.iter().flat_map(|group| &group.options).filter(|id| selected.contains(id)) {
        ring.insert(graph.nodes[*id].name.clone(), (*id, "requested".to_owned()));
    }

    // ring by ring, each sorted by name: the shortest chain wins, and the first name among equals
    let mut reached = BTreeSet::new();
    while !ring.is_empty() {
        let mut next: BTreeMap<String, (Id, String)> = BTreeMap::new();
        reached.extend(ring.values().map(|(id, _)| *id));
        for (name, (id, why)) in ring {
            // a package of a lower level is complete with its dependencies
            if graph.nodes[id].level.is_some() {
                continue;
            }
            let needs = graph.needs(id)?;
            for group in &needs.groups {
                if let Some(excluded) = &group.dropped {
                    let (excluded, options) = (excluded.clone(), group.options.clone());
                    dropped.push(DroppedDependency { excluded, wanted_by: name.clone(), options });
                    continue;
                }
                // the solver may have selected several alternatives of a group for other reasons: all count
                for option in group.options.iter().filter(|option| selected.contains(option)) {
                    if !reached.contains(option) {
                        let entry = (*option, format!("needed by {name}"));
                        next.entry(graph.nodes[*option].name.clone()).or_insert(entry);
                    }
                }
            }
            if let Some(candidate) = graph.nodes[id].candidate.clone() {
                packages.insert(name, LevelChoice { candidate, why });
            }
        }
        ring = next;
    }

    // only now is it known which other packages satisfy a dropped group after all
    dropped.retain(|dependency| !is_satisfied(dependency, graph, &packages));
    Ok(LevelAddition { packages, excluded: excluded(dropped, ground) })
}

/// A group of alternatives for which nothing is installed, because its first choice is excluded.
struct DroppedDependency {
    excluded: String,
    wanted_by: String,
    /// Nodes that would satisfy the group.
    options: Vec<Id>,
}

/// Tells whether a package of this level or a lower one satisfies a dropped dependency.
fn is_satisfied(
    dependency: &DroppedDependency,
    graph: &PackageGraph<'_>,
    packages: &BTreeMap<String, LevelChoice>,
) -> bool {
    let mut nodes = dependency.options.iter().map(|id| &graph.nodes[*id]);
    nodes.any(|node| node.level.is_some() || packages.contains_key(&node.name))
}

/// Returns the dependencies that were left out, each once, with the recipe's reason.
fn excluded(dropped: Vec<DroppedDependency>, ground: &InstalledBelow) -> Vec<ExcludedPackage> {
    // by excluded package: the lock lists all that wanted it together
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for dependency in dropped {
        wanted.entry(dependency.excluded).or_default().insert(dependency.wanted_by);
    }

    let mut packages = Vec::new();
    for (name, wanted_by) in wanted {
        let reason = ground.excluded.get(&name).cloned().unwrap_or_default();
        packages.push(ExcludedPackage { name, reason, wanted_by: wanted_by.into_iter().collect() });
    }
    packages
}
