//! Updates that are not taken, as failures: what it is, whose turn it is, and what needs a decision.

use crate::cli::failure::Failure;
use crate::fault::Turn;
use crate::lock::BlockedPackage;
use crate::lock::BrokenPocket;
use crate::lock::blocked::BlockReason;
use std::collections::BTreeSet;

/// What is not taken for one image.
pub(crate) struct BlockedImage<'a> {
    pub(crate) image: &'a str,
    pub(crate) packages: &'a [BlockedPackage],
    pub(crate) pockets: &'a [BrokenPocket],
}

/// Returns the failure about updates that are not taken; none where all are.
pub(crate) fn failure(images: &[BlockedImage<'_>]) -> Option<Failure> {
    let blocked = images.iter().filter(|image| !image.packages.is_empty() || !image.pockets.is_empty());
    let names: Vec<&str> = blocked.map(|image| image.image).collect();
    if names.is_empty() {
        return None;
    }

    // a person who must decide comes first: a pocket may be there again by itself
    let packages = || images.iter().flat_map(|image| image.packages);
    let pockets = || images.iter().flat_map(|image| image.pockets);
    let turn = if packages().next().is_some() { Turn::Input } else { Turn::Outside };
    let message =
        format!("cannot take all updates of {} of {} image(s): {}", names.len(), images.len(), names.join(", "));
    let mut failure = Failure::new(turn, message);
    failure.is_answered = true;

    let (mut details, mut hints) = (BTreeSet::new(), BTreeSet::new());
    for blocked in packages() {
        details.extend(blocked.scripts.iter().map(ToString::to_string));
        match blocked.reason {
            BlockReason::UndecidedEffects => _ = hints.insert(UNDECIDED.to_owned()),
            BlockReason::NoSolution { .. } => _ = hints.insert(NO_SOLUTION.to_owned()),
            // the package that it stays with has the reason
            BlockReason::StaysWith { .. } => {}
        }
    }
    hints.extend(pockets().flat_map(|pocket| pocket.hints.iter().cloned()));
    failure.details = details.into_iter().collect();
    failure.hints = hints.into_iter().collect();
    Some(failure)
}

/// Hint for effects that nobody has decided about.
const UNDECIDED: &str = "decide about these effects in `recipes/scripts.yaml`, or in a `recipes/scripts.project.yaml` of your own; the next update takes the packages then";

/// Hint for packages without a choice.
const NO_SOLUTION: &str =
    "archives are often not complete for some hours; if it lasts, change `packages` or `exclude` of the recipe";
