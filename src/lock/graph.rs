//! Packages of one architecture as nodes, read on demand: what each depends on, which nodes satisfy that, and its
//! conflicts.

use crate::apt::BinaryPackage;
use crate::apt::relation::Relation;
use crate::lock::Error;
use crate::lock::universe::CandidatePolicy;
use crate::lock::universe::PackageCandidate;
use crate::lock::universe::Universe;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Place of a node in its [`PackageGraph`].
pub(crate) type Id = usize;

/// What is settled before a level is solved.
#[derive(Debug, Clone, Default)]
pub(crate) struct InstalledBelow {
    /// Packages of the levels below, with the level's name.
    pub(crate) fixed: BTreeMap<String, (String, PackageCandidate)>,
    /// Excluded names with the recipe's reason.
    pub(crate) excluded: BTreeMap<String, String>,
}

impl InstalledBelow {
    /// Tells whether a recipe excludes a package that no lower level has.
    fn is_excluded(&self, name: &str) -> bool {
        self.excluded.contains_key(name) && !self.fixed.contains_key(name)
    }
}

/// A name with the only package that may be chosen for it.
pub(crate) struct PackageNode {
    pub(crate) name: String,
    pub(crate) candidate: Option<PackageCandidate>,
    /// Level that already holds it.
    pub(crate) level: Option<String>,
    expanded: Option<Rc<PackageNeeds>>,
}

/// Dependencies and conflicts of a node.
#[derive(Default)]
pub(crate) struct PackageNeeds {
    pub(crate) groups: Vec<DependencyGroup>,
    pub(crate) conflicts: Vec<Id>,
}

/// A dependency: a group of alternatives.
pub(crate) struct DependencyGroup {
    pub(crate) relations: Vec<Relation>,
    /// Nodes that satisfy it, in apt's order.
    pub(crate) options: Vec<Id>,
    /// The excluded package that would have been installed; then nothing is required for this group.
    pub(crate) dropped: Option<String>,
}

/// All nodes met so far.
pub(crate) struct PackageGraph<'a> {
    universe: &'a Universe<'a>,
    policy: &'a CandidatePolicy,
    ground: &'a InstalledBelow,
    architecture: &'a str,
    pub(crate) nodes: Vec<PackageNode>,
    ids: BTreeMap<String, Id>,
    providers: BTreeMap<String, Rc<Vec<Id>>>,
    /// Number of relations read so far.
    relations: u64,
}

/// Most relations that are read: each costs memory and a clause of the solver. The largest image of this project,
/// with 86 packages of its own, has about 800.
const MOST_RELATIONS: u64 = 30_000;

impl<'a> PackageGraph<'a> {
    pub(crate) fn new(
        universe: &'a Universe<'a>,
        policy: &'a CandidatePolicy,
        ground: &'a InstalledBelow,
        architecture: &'a str,
    ) -> Self {
        let (nodes, ids, providers) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { universe, policy, ground, architecture, nodes, ids, providers, relations: 0 }
    }

    /// Returns the node of a name, adding it if it is new.
    pub(crate) fn node(&mut self, name: &str) -> Result<Id, Error> {
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }

        // a package of a lower level stays installed even where a recipe above excludes its name
        let (level, candidate) = match self.ground.fixed.get(name) {
            Some((level, candidate)) => (Some(level.clone()), Some(candidate.clone())),
            None if self.ground.excluded.contains_key(name) => (None, None),
            None => (None, self.universe.candidate(name, self.policy)?),
        };

        let id = self.nodes.len();
        self.nodes.push(PackageNode { name: name.to_owned(), candidate, level, expanded: None });
        self.ids.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Returns the package of a node, unless nothing may be chosen for its name.
    pub(crate) fn package(&self, id: Id) -> Option<&BinaryPackage> {
        self.nodes[id].candidate.as_ref().map(|candidate| &candidate.package)
    }

    /// Returns dependencies and conflicts of a node. Packages of lower levels have no open dependencies, only
    /// conflicts.
    pub(crate) fn needs(&mut self, id: Id) -> Result<Rc<PackageNeeds>, Error> {
        if let Some(needs) = &self.nodes[id].expanded {
            return Ok(Rc::clone(needs));
        }

        let mut needs = PackageNeeds::default();
        if let Some(package) = self.package(id).cloned() {
            // counted before they are followed: an index decides how many there are
            let relations = package.depends.iter().map(Vec::len).sum::<usize>() + package.conflicts.len();
            self.relations += relations as u64;
            if self.relations > MOST_RELATIONS {
                return Err(Error::Effort { most: MOST_RELATIONS, what: "relations between packages" });
            }

            if self.nodes[id].level.is_none() {
                for relations in &package.depends {
                    needs.groups.push(self.group(relations)?);
                }
            }

            // a package may conflict with a name that it provides itself (policy 7.4): every other one is meant
            for relation in &package.conflicts {
                needs.conflicts.extend(self.satisfying(relation)?.into_iter().filter(|other| *other != id));
            }
            needs.conflicts.sort_unstable();
            needs.conflicts.dedup();
        }

        let needs = Rc::new(needs);
        self.nodes[id].expanded = Some(Rc::clone(&needs));
        Ok(needs)
    }

    /// Returns the nodes that satisfy a group, and whether its first choice is excluded.
    ///
    /// An exclusion takes away what would have been installed; it never brings in the second choice instead. So if
    /// the first package that could satisfy the group is excluded, nothing is required for the group (another
    /// selected package may happen to satisfy it). An excluded package further down the list is simply no choice any
    /// more.
    pub(crate) fn group(&mut self, relations: &[Relation]) -> Result<DependencyGroup, Error> {
        let mut options: Vec<Id> = Vec::new();
        let mut dropped = None;

        for relation in relations {
            // only while nothing better came before it in the list
            if options.is_empty() && dropped.is_none() {
                dropped = self.excluded_choice(relation)?;
            }
            for id in self.satisfying(relation)? {
                if !options.contains(&id) {
                    options.push(id);
                }
            }
        }
        Ok(DependencyGroup { relations: relations.to_vec(), options, dropped })
    }

    /// Returns the excluded package that apt would take first for a relation.
    fn excluded_choice(&self, relation: &Relation) -> Result<Option<String>, Error> {
        if self.ground.is_excluded(&relation.name) {
            return Ok(Some(relation.name.clone()));
        }

        // apt prefers the package of that name to any provider
        let own = match self.ground.fixed.get(&relation.name) {
            Some((_, candidate)) => Some(candidate.clone()),
            None => self.universe.candidate(&relation.name, self.policy)?,
        };
        if own.is_some_and(|candidate| accepts(relation, &candidate.package)) {
            return Ok(None);
        }

        let mut choices = Vec::new();
        for name in &self.provider_names(&relation.name)? {
            if let Some(candidate) = self.universe.candidate(name, self.policy)?
                && provides(relation, &candidate.package)
            {
                choices.push(candidate.package);
            }
        }
        let first = choices.iter().min_by_key(|package| self.rank(package));
        Ok(first.map(|package| package.name.clone()).filter(|name| self.ground.is_excluded(name)))
    }

    /// Returns the nodes that satisfy one relation: the package of that name, then providers in apt's order.
    pub(crate) fn satisfying(&mut self, relation: &Relation) -> Result<Vec<Id>, Error> {
        // no package of another architecture is ever installed
        if !self.is_native(relation) {
            return Ok(Vec::new());
        }

        let own = self.node(&relation.name)?;
        let mut found: Vec<Id> = Vec::new();
        found.extend(Some(own).filter(|id| self.package(*id).is_some_and(|package| accepts(relation, package))));

        for id in self.providers(&relation.name)?.iter() {
            // a package may provide its own name, which `accepts` has looked at
            if *id != own && self.package(*id).is_some_and(|package| provides(relation, package)) {
                found.push(*id);
            }
        }
        Ok(found)
    }

    /// Returns the providers of a name, sorted as apt tries them.
    fn providers(&mut self, name: &str) -> Result<Rc<Vec<Id>>, Error> {
        if let Some(ids) = self.providers.get(name) {
            return Ok(Rc::clone(ids));
        }

        let mut names = self.provider_names(name)?;
        // the archive may have dropped a package that a lower level has
        for (fixed, (_, candidate)) in &self.ground.fixed {
            if candidate.package.provides.iter().any(|provide| provide.name == name) {
                names.insert(fixed.clone());
            }
        }

        let mut ids = Vec::new();
        for name in names {
            let id = self.node(&name)?;
            ids.extend(self.nodes[id].candidate.is_some().then_some(id));
        }

        ids.sort_by_cached_key(|id| self.package(*id).map(|package| self.rank(package)));
        let ids = Rc::new(ids);
        self.providers.insert(name.to_owned(), Rc::clone(&ids));
        Ok(ids)
    }

    /// Returns the names of all packages of which some version that may be taken provides a name.
    fn provider_names(&self, name: &str) -> Result<BTreeSet<String>, Error> {
        let mut names = self.universe.provider_names(name)?.as_ref().clone();
        // the archive may have dropped a version that is kept
        for (kept, candidate) in &self.policy.kept {
            let provides = candidate.iter().flat_map(|candidate| &candidate.package.provides);
            if provides.into_iter().any(|provide| provide.name == name) {
                names.insert(kept.clone());
            }
        }
        Ok(names)
    }

    /// Returns the sort key for what apt tries first: essential packages, then by priority, then by name. Earlier
    /// locks do not count, so that everybody who chooses again gets the same result.
    fn rank(&self, package: &BinaryPackage) -> (bool, crate::apt::Priority, String) {
        (!package.essential, package.priority, package.name.clone())
    }

    /// Tells whether a relation is about this architecture. In a root file system of one architecture, `:any` and
    /// `:native` are the architecture itself.
    fn is_native(&self, relation: &Relation) -> bool {
        relation.qualifier.as_deref().is_none_or(|q| matches!(q, "any" | "native" | "all") || q == self.architecture)
    }
}

/// Tells whether the package of a relation's name satisfies it, by its version or because it provides its own name.
fn accepts(relation: &Relation, package: &BinaryPackage) -> bool {
    package.name == relation.name && (relation.satisfied_by(&package.version) || provides(relation, package))
}

/// Tells whether one of a package's `Provides` satisfies a relation.
fn provides(relation: &Relation, package: &BinaryPackage) -> bool {
    package.provides.iter().any(|provide| relation.provided_by(provide))
}

/// Writes a group of alternatives as in a control file.
pub(crate) fn write_group(relations: &[Relation]) -> String {
    relations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}
