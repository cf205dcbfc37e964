//! The door to the SAT solver: a [`Graph`] as resolvo sees it.
//!
//! Every name has one candidate, so a version set is either "this package" or "nothing of this name"; providers of a
//! virtual package stand under their own names, because resolvo wants one name a version set.

use crate::lock::Error;
use crate::lock::graph::Graph;
use crate::lock::graph::Group;
use crate::lock::graph::Id;
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

/// Most steps of one search. A step is a package that is looked at, or a choice with all that follows from it; the images
/// of this project take up to STEPSUSED. Steps are the same on every machine, which time is not: whoever wrote the index
/// decides how hard it is, and it must not be locked here and refused there.
pub(crate) const MOST_STEPS: u64 = 100_000;

/// Returns a smallest set of nodes that satisfies the requests and stands with the fixed nodes; `None` when there is none.
///
/// # Errors
/// When an index cannot be read; [`Error::Effort`] when there are more than [`MOST_STEPS`].
pub(crate) fn solve(
    graph: &RefCell<Graph<'_>>,
    fixed: &[Id],
    requests: &[Group],
) -> Result<Option<BTreeSet<Id>>, Error> {
    let (unions, failure) = (RefCell::new(Vec::new()), RefCell::new(None));
    let provider = Provider { graph, unions, failure, steps: Cell::new(0) };
    let mut requirements: Vec<ConditionalRequirement> = fixed.iter().map(|id| only(*id).into()).collect();
    for group in requests {
        requirements.push(provider.requirement(&group.options));
    }
    let mut solver = Solver::new(provider);
    let outcome = solver.solve(Problem::new().requirements(requirements));
    if let Some(error) = solver.provider().failure.borrow_mut().take() {
        return Err(error);
    }
    match outcome {
        Ok(solvables) => Ok(Some(solvables.into_iter().map(|id| id.into_raw() as Id).collect())),
        Err(UnsolvableOrCancelled::Unsolvable(_) | UnsolvableOrCancelled::Cancelled(_)) => Ok(None),
    }
}

struct Provider<'g, 'a> {
    graph: &'g RefCell<Graph<'a>>,
    unions: RefCell<Vec<Vec<VersionSetId>>>,
    failure: RefCell<Option<Error>>,
    steps: Cell<u64>,
}

/// The version set "the candidate of this name".
fn only(id: Id) -> VersionSetId {
    VersionSetId(raw(id) * 2)
}

/// The version set "no version of this name".
fn none(id: Id) -> VersionSetId {
    VersionSetId(raw(id) * 2 + 1)
}

fn raw(id: Id) -> u32 {
    u32::try_from(id).expect("an archive has far fewer than 2^31 names")
}

impl Provider<'_, '_> {
    fn requirement(&self, options: &[Id]) -> ConditionalRequirement {
        match options {
            // an empty set of some name can never be satisfied
            [] => Requirement::Single(none(0)).into(),
            [one] => Requirement::Single(only(*one)).into(),
            several => {
                let mut unions = self.unions.borrow_mut();
                unions.push(several.iter().map(|id| only(*id)).collect());
                Requirement::Union(VersionSetUnionId(raw(unions.len() - 1))).into()
            }
        }
    }

    fn known(&self, id: Id) -> Result<KnownDependencies, Error> {
        let needs = self.graph.borrow_mut().needs(id)?;
        let open = needs.groups.iter().filter(|group| group.dropped.is_none());
        let requirements = open.map(|group| self.requirement(&group.options)).collect();
        Ok(KnownDependencies { requirements, constrains: needs.conflicts.iter().map(|other| none(*other)).collect() })
    }
}

impl Interner for Provider<'_, '_> {
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
        // Debian relations have no conditions; this is never asked
        Condition::Requirement(VersionSetId(0))
    }
}

impl DependencyProvider for Provider<'_, '_> {
    async fn filter_candidates(&self, candidates: &[SolvableId], set: VersionSetId, inverse: bool) -> Vec<SolvableId> {
        let all = set.0.is_multiple_of(2) != inverse;
        if all { candidates.to_vec() } else { Vec::new() }
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        let raw = name.into_raw();
        let known = self.graph.borrow().nodes.get(raw as Id).is_some_and(|node| node.candidate.is_some());
        known.then(|| Candidates { candidates: vec![SolvableId::from_raw(raw)], ..Candidates::default() })
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, _: &mut [SolvableId]) {}

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        match self.known(solvable.into_raw() as Id) {
            Ok(known) => Dependencies::Known(known),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                Dependencies::Unknown(StringId(0))
            }
        }
    }

    /// Is asked before every package that is looked at, and before every choice is followed.
    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MOST_STEPS {
            self.failure.borrow_mut().get_or_insert(Error::Effort { steps: MOST_STEPS });
        }
        self.failure.borrow().is_some().then(|| Box::new(()) as Box<dyn Any>)
    }
}
