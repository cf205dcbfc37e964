//! The adapter to the SAT solver: a [`PackageGraph`] as resolvo sees it.
//!
//! Every name has one candidate, so a version set is either "this package" or "nothing of this name". Providers of a
//! virtual package keep their own names, because resolvo wants one name for each version set.

use crate::lock::Error;
use crate::lock::graph::DependencyGroup;
use crate::lock::graph::Id;
use crate::lock::graph::PackageGraph;
use resolvo::Candidates;
use resolvo::Condition;
use resolvo::ConditionId;
use resolvo::ConditionalRequirement;
use resolvo::Dependencies;
use resolvo::DependencyProvider;
use resolvo::Interner;
use resolvo::KnownDependencies;
use resolvo::NameId;
use resolvo::Problem;
use resolvo::Requirement;
use resolvo::SolvableId;
use resolvo::Solver;
use resolvo::SolverCache;
use resolvo::StringId;
use resolvo::UnsolvableOrCancelled;
use resolvo::VersionSetId;
use resolvo::VersionSetUnionId;
use std::any::Any;
use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;

/// Limit on the work of a search: whoever writes an index decides how hard it is. Work is counted rather than timed, so
/// that every machine can lock the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SolverEffort {
    /// Most looks: one at each name that satisfies some relation, and one at each package that may be taken. The
    /// largest image of this project, with 86 packages of its own, takes 178.
    looks: u64,
    /// Most choices that are followed or taken back, beyond those that each look causes. The images of this project
    /// take none; a constructed archive doubles its need with every few packages, and each choice costs more than the
    /// last.
    choices: u64,
}

impl SolverEffort {
    /// The limit for all commands: seconds.
    pub(crate) const USUAL: Self = Self { looks: 20_000, choices: 5_000 };

    /// How often the solver asks whether to go on for each look, at most, where there is no choice: before the look,
    /// and while it follows the consequences.
    const OF_A_LOOK: u64 = 4;

    /// Returns the error if this many looks and questions whether to go on exceed the limit.
    fn used_up(self, looks: u64, asked: u64) -> Option<Error> {
        // resolvo does not tell how many choices it made; questions beyond those of the looks are from choices
        let choices = asked.saturating_sub(looks.saturating_mul(Self::OF_A_LOOK));
        if looks > self.looks {
            Some(Error::Effort { most: self.looks, what: "looks at packages" })
        } else if choices > self.choices {
            Some(Error::Effort { most: self.choices, what: "choices" })
        } else {
            None
        }
    }
}

/// Returns a set of nodes that satisfies the requests together with the fixed nodes; `None` when there is none.
///
/// # Errors
/// When an index cannot be read; [`Error::Effort`] when the search takes more work than `effort`.
pub(crate) fn solve(
    graph: &RefCell<PackageGraph<'_>>,
    fixed: &[Id],
    requests: &[DependencyGroup],
    effort: SolverEffort,
) -> Result<Option<BTreeSet<Id>>, Error> {
    let (unions, failure) = (RefCell::new(Vec::new()), RefCell::new(None));
    let provider = SolverProvider { graph, unions, failure, effort, looks: Cell::new(0), asked: Cell::new(0) };

    // packages of lower levels come first: nothing may be chosen that conflicts with them
    let mut requirements: Vec<ConditionalRequirement> = fixed.iter().map(|id| only(*id).into()).collect();
    for group in requests {
        requirements.push(provider.requirement(&group.options));
    }

    let mut solver = Solver::new(provider);
    let outcome = solver.solve(Problem::new().requirements(requirements));

    // the solver takes an unreadable package for one that cannot be installed, so its answer means nothing then
    if let Some(error) = solver.provider().failure.borrow_mut().take() {
        return Err(error);
    }
    match outcome {
        Ok(solvables) => Ok(Some(solvables.into_iter().map(|id| id.into_raw() as Id).collect())),
        Err(UnsolvableOrCancelled::Unsolvable(_) | UnsolvableOrCancelled::Cancelled(_)) => Ok(None),
    }
}

/// Answers the solver's questions.
struct SolverProvider<'g, 'a> {
    graph: &'g RefCell<PackageGraph<'a>>,
    /// Alternatives of relations, found by [`VersionSetUnionId`].
    unions: RefCell<Vec<Vec<VersionSetId>>>,
    /// The first error: the solver's own interface has none.
    failure: RefCell<Option<Error>>,
    effort: SolverEffort,
    looks: Cell<u64>,
    asked: Cell<u64>,
}

/// Returns the version set "the candidate of this name": even numbers.
fn only(id: Id) -> VersionSetId {
    VersionSetId(raw(id) * 2)
}

/// Returns the version set "no version of this name": odd numbers.
fn none(id: Id) -> VersionSetId {
    VersionSetId(raw(id) * 2 + 1)
}

/// Returns a node's number as resolvo has them.
fn raw(id: Id) -> u32 {
    u32::try_from(id).expect("an archive has far fewer than 2^31 names")
}

impl SolverProvider<'_, '_> {
    /// Returns the requirement for one of these nodes.
    fn requirement(&self, options: &[Id]) -> ConditionalRequirement {
        match options {
            // a set without any version can never be satisfied; the name does not matter
            [] => Requirement::Single(none(0)).into(),
            [one] => Requirement::Single(only(*one)).into(),
            several => {
                let mut unions = self.unions.borrow_mut();
                unions.push(several.iter().map(|id| only(*id)).collect());
                Requirement::Union(VersionSetUnionId(raw(unions.len() - 1))).into()
            }
        }
    }

    /// Returns what a node needs and conflicts with.
    fn known(&self, id: Id) -> Result<KnownDependencies, Error> {
        let needs = self.graph.borrow_mut().needs(id)?;
        // an exclusion takes away the whole group: nothing is required for it
        let open = needs.groups.iter().filter(|group| group.dropped.is_none());
        let requirements = open.map(|group| self.requirement(&group.options)).collect();
        Ok(KnownDependencies { requirements, constrains: needs.conflicts.iter().map(|other| none(*other)).collect() })
    }
}

impl Interner for SolverProvider<'_, '_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl Display + '_ {
        self.graph.borrow().nodes[solvable.into_raw() as Id].name.clone()
    }

    fn display_name(&self, name: NameId) -> impl Display + '_ {
        self.graph.borrow().nodes[name.into_raw() as Id].name.clone()
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl Display + '_ {
        if version_set.0.is_multiple_of(2) { "" } else { "(none)" }
    }

    fn display_string(&self, _: StringId) -> impl Display + '_ {
        ""
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        NameId::from_raw(version_set.0 / 2)
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        NameId::from_raw(solvable.into_raw())
    }

    fn version_sets_in_union(&self, union: VersionSetUnionId) -> impl Iterator<Item = VersionSetId> {
        self.unions.borrow()[union.0 as usize].clone().into_iter()
    }

    fn resolve_condition(&self, _: ConditionId) -> Condition {
        // the solver never asks: no requirement has a condition, since Debian's relations have none
        Condition::Requirement(VersionSetId(0))
    }
}

impl DependencyProvider for SolverProvider<'_, '_> {
    async fn filter_candidates(&self, candidates: &[SolvableId], set: VersionSetId, inverse: bool) -> Vec<SolvableId> {
        let all = set.0.is_multiple_of(2) != inverse;
        if all { candidates.to_vec() } else { Vec::new() }
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        self.looks.set(self.looks.get() + 1);
        let raw = name.into_raw();
        let known = self.graph.borrow().nodes.get(raw as Id).is_some_and(|node| node.candidate.is_some());
        known.then(|| Candidates { candidates: vec![SolvableId::from_raw(raw)], ..Candidates::default() })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {
        // there is one candidate; which alternative comes first is the order of `DependencyGroup::options`
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        self.looks.set(self.looks.get() + 1);
        match self.known(solvable.into_raw() as Id) {
            Ok(known) => Dependencies::Known(known),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Dependencies::Unknown(StringId(0))
            }
        }
    }

    /// The solver asks before it looks at a package, and before it follows a choice.
    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        self.asked.set(self.asked.get() + 1);
        if let Some(error) = self.effort.used_up(self.looks.get(), self.asked.get()) {
            self.failure.borrow_mut().get_or_insert(error);
        }
        self.failure.borrow().is_some().then(|| Box::new(()) as Box<dyn Any>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::index::PackageIndex;
    use crate::apt::index::PackageIndexLimits;
    use crate::apt::relation::Relation;
    use crate::fault::Explain;
    use crate::lock::graph::InstalledBelow;
    use crate::lock::universe::CandidateOrigin;
    use crate::lock::universe::CandidatePolicy;
    use crate::lock::universe::Universe;
    use crate::values::Digest;

    /// Solves for `wanted` in an archive of packages with some fields each; the number that is chosen.
    fn chosen(packages: &[(String, String)], wanted: &str, effort: SolverEffort) -> Result<Option<usize>, Error> {
        let stanza = |(name, fields): &(String, String)| {
            let digest = Digest::of(name.as_bytes()).hex().to_string();
            let head = format!("Package: {name}\nVersion: 1\nArchitecture: amd64\nFilename: pool/{name}\n");
            format!("{head}Size: 1\nSHA256: {digest}\n{fields}\n")
        };
        let text: String = packages.iter().map(stanza).collect();
        let index = PackageIndex::read(text.as_bytes(), &PackageIndexLimits::ARCHIVE).unwrap();
        let origin = CandidateOrigin { from: "debian/release".to_owned(), component: "main".to_owned(), shelf: &index };
        let (universe, policy, ground) =
            (Universe::new(vec![origin]), CandidatePolicy::default(), InstalledBelow::default());
        let graph = RefCell::new(PackageGraph::new(&universe, &policy, &ground, "amd64"));
        let groups = Relation::parse_groups(wanted).unwrap();
        let requests: Vec<DependencyGroup> =
            groups.iter().map(|group| graph.borrow_mut().group(group).unwrap()).collect();
        Ok(solve(&graph, &[], &requests, effort)?.map(|chosen| chosen.len()))
    }

    /// One pigeon more than holes, each in a hole of its own: no solver of this kind sees at once that this cannot be.
    fn pigeons(holes: usize) -> Vec<(String, String)> {
        let list = |names: Vec<String>, between: &str| names.join(between);
        let all = (0..=holes).map(|pigeon| format!("pigeon{pigeon}")).collect();
        let mut packages = vec![("top".to_owned(), format!("Depends: {}\n", list(all, ", ")))];
        for pigeon in 0..=holes {
            let wanted = (0..holes).map(|hole| format!("p{pigeon}h{hole}")).collect();
            packages.push((format!("pigeon{pigeon}"), format!("Depends: {}\n", list(wanted, " | "))));
            for hole in 0..holes {
                let others = (0..=holes).filter(|other| *other != pigeon).map(|other| format!("p{other}h{hole}"));
                packages.push((format!("p{pigeon}h{hole}"), format!("Conflicts: {}\n", list(others.collect(), ", "))));
            }
        }
        packages
    }

    fn chain(length: usize) -> Vec<(String, String)> {
        let link = |number: usize| (format!("c{number}"), format!("Depends: c{}\n", number + 1));
        (0..length).map(link).chain([(format!("c{length}"), String::new())]).collect()
    }

    #[test]
    fn a_search_ends_after_so_much_work_on_every_machine() {
        assert_eq!(chosen(&pigeons(4), "top", SolverEffort::USUAL).unwrap(), None);
        let little = SolverEffort { looks: 1_000, choices: 300 };
        for holes in [9, 12, 20] {
            let error = chosen(&pigeons(holes), "top", little).unwrap_err();
            assert_eq!(error.to_string(), "cannot choose packages: 300 choices have not led to an end", "{holes}");
            assert!(!error.hints().is_empty());
        }
        // what is long and not hard
        assert_eq!(chosen(&chain(499), "c0", little).unwrap(), Some(500));
        let error = chosen(&chain(5_000), "c0", little).unwrap_err();
        assert_eq!(error.to_string(), "cannot choose packages: 1000 looks at packages have not led to an end");
        // wide: every package needs all that come behind it
        let wide = |number: usize| (number + 1..120).map(|other| format!("w{other}")).collect::<Vec<_>>().join(", ");
        let field = |number: usize| if number < 119 { format!("Depends: {}\n", wide(number)) } else { String::new() };
        let packages: Vec<(String, String)> = (0..120).map(|number| (format!("w{number}"), field(number))).collect();
        assert_eq!(chosen(&packages, "w0", SolverEffort { looks: 240, choices: 10 }).unwrap(), Some(120));
    }
}
