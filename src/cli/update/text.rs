//! The answer of `update` for people at a terminal.

use crate::advisory::FixedVulnerability;
use crate::advisory::UpgradeExplanation;
use crate::advisory::UpgradeUrgency;
use crate::cli::table::size;
use crate::cli::update::answer::UpdatedImageAnswer;
use crate::update::ImageUpdate;
use crate::update::UpdateState;
use crate::update::repull::Repull;
use crate::values::shown::shown;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Returns a paragraph for every image; images without news share a line at the end.
pub(super) fn render(images: &[UpdatedImageAnswer]) -> String {
    let mut text = String::new();
    for UpdatedImageAnswer { update, error, .. } in images {
        let what = match update.state {
            UpdateState::Current => continue,
            UpdateState::Changed => "changed",
            UpdateState::New => "locked for the first time",
            UpdateState::Failed => "FAILED, see below",
        };
        let also = if error.is_some() && update.state != UpdateState::Failed { ", FAILED, see below" } else { "" };
        let _ = writeln!(text, "{}: {what}{also}", update.image);
        changes(update, &mut text);
        fixes(update, &mut text);
        for repull in &update.repull {
            let _ = writeln!(text, "  consumers pull {}", line(repull));
        }
        if !update.above.is_empty() {
            let _ = writeln!(text, "  also changes: {}", update.above.join(", "));
        }
    }
    let current: Vec<&str> = images
        .iter()
        .filter(|image| image.update.state == UpdateState::Current)
        .map(|image| image.update.image.as_str())
        .collect();
    if !current.is_empty() {
        let _ = writeln!(text, "nothing new: {}", current.join(", "));
    }
    text
}

fn changes(update: &ImageUpdate, text: &mut String) {
    let Some(difference) = &update.difference else { return };
    let own = crate::lock::diff::LockDifference {
        levels: difference
            .levels
            .iter()
            .filter(|level| !update.inherited.contains_key(&level.recipe))
            .cloned()
            .collect(),
        ..difference.clone()
    };
    for line in own.to_string().lines() {
        let _ = writeln!(text, "  {}", shown(line));
    }
    for level in difference.levels.iter().filter(|level| update.inherited.contains_key(&level.recipe)) {
        let _ = writeln!(text, "  level {}: as in {}", level.recipe, update.inherited[&level.recipe]);
    }
}

/// Writes what own upgrades fix, and how many numbers that makes with those of images below.
fn fixes(update: &ImageUpdate, text: &mut String) {
    if update.fixes.is_empty() {
        return;
    }
    for explained in own(update) {
        for line in explanation(explained) {
            let _ = writeln!(text, "  {}: {}", explained.source, shown(&line));
        }
    }
    let _ = writeln!(text, "  {}", urgency(update));
}

/// Returns how soon people should have it, and how many CVE numbers the image gets rid of.
pub(super) fn urgency(update: &ImageUpdate) -> String {
    let word = match update.urgency {
        Some(UpgradeUrgency::Urgent) => "urgent",
        Some(UpgradeUrgency::Security) => "security",
        Some(UpgradeUrgency::Routine) | None => "routine",
    };
    match update.cves().len() {
        0 => format!("urgency: {word}, no CVE number known"),
        1 => format!("urgency: {word}, 1 CVE number in all"),
        count => format!("urgency: {word}, {count} CVE numbers in all"),
    }
}

/// Returns the explanations of packages that no image below has.
pub(super) fn own(update: &ImageUpdate) -> Vec<&UpgradeExplanation> {
    let levels = update.difference.iter().flat_map(|difference| &difference.levels);
    let levels = levels.filter(|level| !update.inherited.contains_key(&level.recipe));
    let names: BTreeSet<&String> = levels.flat_map(|level| &level.packages).map(|change| &change.name).collect();
    update.fixes.iter().filter(|explained| explained.packages.iter().any(|name| names.contains(name))).collect()
}

/// Returns what is fixed, and what is not known, a line each.
pub(super) fn explanation(explained: &UpgradeExplanation) -> Vec<String> {
    let fix = |fix: &FixedVulnerability| match &fix.severity {
        Some(severity) => format!("{} ({severity})", fix.cve),
        None => fix.cve.clone(),
    };
    let fixes: Vec<String> = explained.fixes.iter().map(fix).collect();
    let mut lines = if fixes.is_empty() { Vec::new() } else { vec![format!("fixes {}", fixes.join(", "))] };
    lines.extend(explained.notes.iter().cloned());
    lines
}

/// Returns what consumers of one platform pull again.
pub(super) fn line(repull: &Repull) -> String {
    let about = if repull.exact { "" } else { "about " };
    let (bytes, whole) = (size(repull.bytes), size(repull.whole));
    let Repull { platform, layers, .. } = repull;
    let layers = if *layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") };
    format!("{about}{bytes} of {whole} ({} %, {layers}) for {platform}", repull.percent())
}
