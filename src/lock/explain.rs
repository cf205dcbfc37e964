//! Explains in words why there is no choice of packages: the chain from a request to what is impossible.

use crate::apt::relation::Relation;
use crate::lock::Error;
use crate::lock::graph::DependencyGroup;
use crate::lock::graph::Id;
use crate::lock::graph::InstalledBelow;
use crate::lock::graph::PackageGraph;
use crate::lock::graph::write_group;
use crate::lock::universe::CandidatePolicy;
use crate::lock::universe::Universe;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

/// Most nodes that are visited: more than any archive has packages.
const MOST_NODES: usize = 500_000;

/// Longest chain that is written out: dependencies may form a ring.
const LONGEST_CHAIN: usize = 30;

/// What explanations are made from.
pub(crate) struct Explainer<'a> {
    pub(crate) universe: &'a Universe<'a>,
    pub(crate) policy: &'a CandidatePolicy,
    pub(crate) ground: &'a InstalledBelow,
}

/// Why a node can never be installed.
enum DependencyCause {
    /// No option of this group (by its number) can be installed.
    Group(usize),
    /// It conflicts with this package of a lower level.
    Conflict(Id),
}

impl Explainer<'_> {
    /// Explains why no package satisfies a requested group; `None` when one does.
    pub(crate) fn request(&self, relations: &[Relation], group: &DependencyGroup) -> Result<Option<String>, Error> {
        if !group.options.is_empty() && group.dropped.is_none() {
            return Ok(None);
        }

        let wanted = write_group(relations);
        let mut parts = Vec::new();
        for relation in relations {
            parts.push(self.missing(relation, true)?);
        }
        Ok(Some(format!("cannot choose `{wanted}`: {}", parts.join("; "))))
    }

    /// Explains why nothing satisfies a relation. The reasons are tried from the most to the least specific.
    fn missing(&self, relation: &Relation, requested: bool) -> Result<String, Error> {
        let name = &relation.name;
        if let Some((level, candidate)) = self.ground.fixed.get(name) {
            return Ok(format!("`{name}` is held by level `{level}` at version {}", candidate.package.version));
        }
        if let Some(reason) = self.ground.excluded.get(name) {
            return Ok(format!("`{name}` is excluded ({reason})"));
        }

        // the package exists, in another version
        let labels = self.universe.labels().join(", ");
        if let Some(candidate) = self.universe.candidate(name, self.policy)? {
            let version = &candidate.package.version;
            return Ok(match self.policy.pins.get(name) {
                Some(_) => format!("the newest `{name}` that all platforms have is {version}"),
                None => format!("the newest `{name}` in {labels} is {version}"),
            });
        }
        // versions without a candidate: halted, or not the pinned one
        if let Some(halted) = self.universe.versions(name)?.first() {
            let version = &halted.package.version;
            return Ok(format!("the only `{name}` in {labels}, {version}, is withdrawn or not on all platforms"));
        }

        let providers = self.universe.provider_names(name)?;
        if !providers.is_empty() {
            // some virtual packages have hundreds of providers
            let names = providers.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
            return Ok(match requested {
                true => format!("`{name}` is a virtual package; request one of its providers: {names}"),
                false => format!("no provider of `{name}` has a fitting version or may be chosen ({names})"),
            });
        }

        // most likely a typing error
        let near = self.universe.nearest(name);
        Ok(match near.is_empty() {
            true => format!("there is no `{name}` in {labels}"),
            false => format!("there is no `{name}` in {labels}; similar names: {}", near.join(", ")),
        })
    }

    /// Explains why the requests cannot be installed together, or on the levels below.
    pub(crate) fn conflict(
        &self,
        graph: &mut PackageGraph<'_>,
        fixed: &[Id],
        requests: &[DependencyGroup],
    ) -> Result<Vec<String>, Error> {
        let roots: Vec<Id> = requests.iter().flat_map(|group| group.options.clone()).collect();
        let impossible = impossible(graph, fixed, &roots)?;

        // from the most to the least specific: a request by itself, two packages, all requests together
        let mut reasons = Vec::new();
        for group in requests {
            // a request with one possible option may still clash with another request
            if let Some(first) = group.options.first()
                && group.options.iter().all(|id| impossible.contains_key(id))
            {
                reasons.push(self.chain(graph, *first, &impossible)?);
            }
        }
        if reasons.is_empty() {
            reasons = clashes(graph, fixed, requests, &impossible)?;
        }
        if reasons.is_empty() {
            let wanted: Vec<String> = requests.iter().map(|group| write_group(&group.relations)).collect();
            reasons.push(format!("no combination of alternatives satisfies all of: {}", wanted.join(", ")));
        }
        Ok(reasons)
    }

    /// Follows impossible packages down to the first cause.
    fn chain(
        &self,
        graph: &mut PackageGraph<'_>,
        start: Id,
        impossible: &BTreeMap<Id, DependencyCause>,
    ) -> Result<String, Error> {
        let mut words = Vec::new();
        let mut id = start;
        for _ in 0..LONGEST_CHAIN {
            let name = graph.nodes[id].name.clone();
            let version = graph.package(id).map(|package| package.version.to_string()).unwrap_or_default();
            let number = match impossible.get(&id) {
                Some(DependencyCause::Group(number)) => *number,
                Some(DependencyCause::Conflict(other)) => {
                    words.push(format!("`{name}` ({version}) {}", standing(graph, *other)));
                    break;
                }
                None => break,
            };

            let needs = graph.needs(id)?;
            let group = &needs.groups[number];
            words.push(format!("`{name}` ({version}) needs `{}`", write_group(&group.relations)));
            // all options are impossible, so the first one, which apt would take, stands for them
            match group.options.first() {
                Some(next) => id = *next,
                None => {
                    for relation in &group.relations {
                        words.push(self.missing(relation, false)?);
                    }
                    break;
                }
            }
        }
        Ok(words.join("; "))
    }
}

/// Describes a conflict with a package of a lower level.
fn standing(graph: &PackageGraph<'_>, other: Id) -> String {
    let node = &graph.nodes[other];
    let version = graph.package(other).map(|package| package.version.to_string()).unwrap_or_default();
    let level = node.level.as_deref().unwrap_or_default();
    format!("conflicts with `{}` ({version}) of level `{level}`", node.name)
}

/// Returns all reachable nodes that can never be installed, with the cause that was found first.
fn impossible(
    graph: &mut PackageGraph<'_>,
    fixed: &[Id],
    roots: &[Id],
) -> Result<BTreeMap<Id, DependencyCause>, Error> {
    // conflicts hold in both directions, whichever package declares them
    let mut banned: BTreeMap<Id, Id> = BTreeMap::new();
    for id in fixed {
        for other in &graph.needs(*id)?.conflicts {
            banned.insert(*other, *id);
        }
    }

    let seen = reachable(graph, roots)?;
    // a node dies with the last option of a group, which may kill others: again until nothing changes
    let mut found: BTreeMap<Id, DependencyCause> = BTreeMap::new();
    loop {
        let before = found.len();
        for id in &seen {
            if found.contains_key(id) || graph.nodes[*id].level.is_some() {
                continue;
            }
            let needs = graph.needs(*id)?;
            let against = needs.conflicts.iter().copied().find(|other| graph.nodes[*other].level.is_some());
            if let Some(other) = against.or(banned.get(id).copied()) {
                found.insert(*id, DependencyCause::Conflict(other));
                continue;
            }
            let dead = needs.groups.iter().position(|group| {
                group.dropped.is_none() && group.options.iter().all(|option| found.contains_key(option))
            });
            if let Some(number) = dead {
                found.insert(*id, DependencyCause::Group(number));
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}

/// Returns all nodes that some choice of alternatives could bring in.
fn reachable(graph: &mut PackageGraph<'_>, roots: &[Id]) -> Result<BTreeSet<Id>, Error> {
    let mut queue: VecDeque<Id> = roots.iter().copied().collect();
    let mut seen: BTreeSet<Id> = roots.iter().copied().collect();
    while let Some(id) = queue.pop_front() {
        let needs = graph.needs(id)?;
        for option in needs.groups.iter().filter(|group| group.dropped.is_none()).flat_map(|group| &group.options) {
            // beyond the limit an explanation may be incomplete, but it ends
            if seen.len() < MOST_NODES && seen.insert(*option) {
                queue.push_back(*option);
            }
        }
    }
    Ok(seen)
}

/// Returns the conflicts among the packages that apt would take first.
fn clashes(
    graph: &mut PackageGraph<'_>,
    fixed: &[Id],
    requests: &[DependencyGroup],
    impossible: &BTreeMap<Id, DependencyCause>,
) -> Result<Vec<String>, Error> {
    // the set that apt would try first, each package with the one that needs it
    let mut parents: BTreeMap<Id, Option<Id>> = fixed.iter().map(|id| (*id, None)).collect();
    let mut queue = VecDeque::new();
    for group in requests {
        take(group, None, impossible, &mut parents, &mut queue);
    }
    while let Some(id) = queue.pop_front() {
        let needs = graph.needs(id)?;
        for group in needs.groups.iter().filter(|group| group.dropped.is_none()) {
            take(group, Some(id), impossible, &mut parents, &mut queue);
        }
    }

    let mut reasons = Vec::new();
    for id in parents.keys() {
        for other in graph.needs(*id)?.conflicts.iter().filter(|other| parents.contains_key(other)) {
            let (a, b) = (&graph.nodes[*id].name, &graph.nodes[*other].name);
            let (x, y) = (origin(graph, &parents, *id), origin(graph, &parents, *other));
            let rules = graph.package(*id).map_or(&[][..], |package| &package.conflicts);
            let rule = rules.iter().find(|relation| relation.name == *b).map_or_else(|| b.clone(), ToString::to_string);
            // the rule as the package writes it, which may name a virtual package or a version
            reasons.push(format!("`{a}` conflicts with `{rule}`: `{a}` is {x}, `{b}` is {y}"));
        }
    }
    // nodes are numbered in the order of the search, messages are sorted
    reasons.sort();
    Ok(reasons)
}

/// Takes the first possible option of a group, unless one of its options is taken already.
fn take(
    group: &DependencyGroup,
    parent: Option<Id>,
    impossible: &BTreeMap<Id, DependencyCause>,
    parents: &mut BTreeMap<Id, Option<Id>>,
    queue: &mut VecDeque<Id>,
) {
    if group.options.iter().any(|option| parents.contains_key(option)) {
        return;
    }
    if let Some(option) = group.options.iter().find(|option| !impossible.contains_key(option)) {
        parents.insert(*option, parent);
        queue.push_back(*option);
    }
}

/// Describes why a package is in the set: its level, or the chain of packages up to the request.
fn origin(graph: &PackageGraph<'_>, parents: &BTreeMap<Id, Option<Id>>, id: Id) -> String {
    if let Some(level) = &graph.nodes[id].level {
        return format!("part of level `{level}`");
    }

    // from the package up to the request
    let mut words = Vec::new();
    let mut current = id;
    while let Some(Some(parent)) = parents.get(&current)
        && words.len() < LONGEST_CHAIN
    {
        words.push(format!("needed by `{}`", graph.nodes[*parent].name));
        current = *parent;
    }
    words.push("requested".to_owned());
    words.join(", ")
}
