//! Acceptances: what a recipe says about findings that stay, each for one finding at one path, with an end.
//!
//! Findings are kept as they were found; acceptances apply when they are read. So an acceptance that runs out counts in
//! the next build, even if that has nothing else to do.

use crate::check::finding::CheckFinding;
use crate::check::finding::CheckKind;
use crate::check::finding::FindingSeverity;
use crate::check::finding::warning;
use crate::recipe::AcceptedFinding;
use crate::recipe::LevelDefinition;
use crate::tree::EntryOrigin;
use crate::values::Epoch;

const EXPIRED: CheckKind = warning("acceptance-expired", "The acceptance of a finding has run out.");
pub(super) const UNMATCHED: CheckKind =
    warning("acceptance-without-effect", "No image that uses the recipe has the finding that it accepts.");

pub(super) const KINDS: &[&CheckKind] = &[&EXPIRED, &UNMATCHED];

/// Findings after acceptances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What stops the image.
    pub errors: Vec<CheckFinding>,
    /// What people should look at.
    pub warnings: Vec<CheckFinding>,
    /// What a recipe accepts, each with the acceptance.
    pub accepted: Vec<(CheckFinding, AcceptedFinding)>,
}

/// Sorts an image's findings by what its recipes accept now.
#[must_use]
pub fn judge(findings: &[CheckFinding], levels: &[LevelDefinition], now: Epoch) -> Judgement {
    let mut judgement = Judgement::default();
    for finding in findings {
        let found = levels.iter().find_map(|level| {
            let accepted = level.accept.iter().find(|accepted| covers(accepted, finding))?;
            Some((level, accepted))
        });
        match found {
            Some((_, accepted)) if !accepted.terms.is_expired(now) => {
                judgement.accepted.push((finding.clone(), accepted.clone()));
                continue;
            }
            Some((level, accepted)) => judgement.warnings.push(expired(finding, accepted, level)),
            None => {}
        }
        match finding.severity {
            FindingSeverity::Error => judgement.errors.push(finding.clone()),
            FindingSeverity::Warning => judgement.warnings.push(finding.clone()),
        }
    }
    judgement
}

/// Tells whether an acceptance is for this finding: its name and its very path.
fn covers(accepted: &AcceptedFinding, finding: &CheckFinding) -> bool {
    accepted.finding == finding.finding && accepted.path == finding.path
}

fn expired(finding: &CheckFinding, accepted: &AcceptedFinding, level: &LevelDefinition) -> CheckFinding {
    CheckFinding {
        path: finding.path.clone(),
        finding: EXPIRED.name.to_owned(),
        severity: EXPIRED.severity,
        place: None,
        origin: Some(EntryOrigin::Recipe(level.recipe.clone())),
        cause: format!("`{}` was accepted until {}", finding.finding, accepted.terms.expires),
        remedy: "mend it, or agree on another end under `accept`".to_owned(),
    }
}

/// Tells whether the acceptance of a level that is written as `filled` matches a finding, and no lower level has the same.
pub(super) fn matches(
    filled: &str,
    level: &LevelDefinition,
    levels: &[LevelDefinition],
    findings: &[CheckFinding],
) -> bool {
    let is_same = |accepted: &&AcceptedFinding| accepted.text() == filled;
    let first = levels.iter().find(|level| level.accept.iter().any(|accepted| is_same(&accepted)));
    // of two acceptances for one finding, the lower level's counts
    first.is_some_and(|first| first.recipe == level.recipe)
        && level.accept.iter().filter(is_same).any(|accepted| findings.iter().any(|finding| covers(accepted, finding)))
}

/// Tells whether a level accepts that one of its own lines has no effect.
pub(super) fn covers_request(level: &LevelDefinition, finding: &CheckFinding, now: Epoch) -> bool {
    let mut valid = level.accept.iter().filter(|accepted| !accepted.terms.is_expired(now));
    is_own(level, finding) && valid.any(|accepted| covers(accepted, finding))
}

/// Tells whether the acceptance that is written as `filled` is for this line of the same recipe.
pub(super) fn is_for_request(filled: &str, level: &LevelDefinition, finding: &CheckFinding) -> bool {
    let mut written = level.accept.iter().filter(|accepted| accepted.text() == filled);
    is_own(level, finding) && written.any(|accepted| covers(accepted, finding))
}

/// Tells whether a finding is about a line of the level's own recipe.
fn is_own(level: &LevelDefinition, finding: &CheckFinding) -> bool {
    matches!(&finding.origin, Some(EntryOrigin::Recipe(recipe)) if *recipe == level.recipe)
}
