//! The answer of `update` for people at a terminal.

use crate::advisory::FixedVulnerability;
use crate::advisory::UpgradeExplanation;
use crate::advisory::UpgradeUrgency;
use crate::cli::table::size;
use crate::cli::update::answer::UpdatedImageAnswer;
use crate::lock::BlockedPackage;
use crate::update::ImageUpdate;
use crate::update::UpdateState;
use crate::update::repull::Repull;
use crate::values::shown::shown;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Returns a paragraph for every image; images without news share a line at the end.
pub(super) fn render(images: &[UpdatedImageAnswer]) -> String {
    let mut text = String::new();
    for UpdatedImageAnswer { update, error, .. } in images {
        let what = match update.state {
            UpdateState::Current if !update.is_blocked() => continue,
            UpdateState::Current => "nothing new can be taken",
            UpdateState::Changed => "changed",
            UpdateState::New => "locked for the first time",
            UpdateState::Failed => "FAILED, see below",
        };
        let also = if error.is_some() && update.state != UpdateState::Failed { ", FAILED, see below" } else { "" };
        let blocked = if update.is_blocked() { ", BLOCKED" } else { "" };
        let _ = writeln!(text, "{}: {what}{blocked}{also}", update.image);
        changes(update, &mut text);
        fixes(update, &mut text);
        for repull in &update.repull {
            let _ = writeln!(text, "  consumers pull {}", line(repull));
        }
        if !update.above.is_empty() {
            let _ = writeln!(text, "  also changes: {}", update.above.join(", "));
        }
        for line in kept_back(update) {
            let _ = writeln!(text, "  {}", shown(&line));
        }
    }
    let current: Vec<&str> = images
        .iter()
        .filter(|image| image.update.state == UpdateState::Current && !image.update.is_blocked())
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
    urgency_of(update.urgency, update.cves().len())
}

fn urgency_of(urgency: Option<UpgradeUrgency>, cves: usize) -> String {
    let word = match urgency {
        Some(UpgradeUrgency::Urgent) => "urgent",
        Some(UpgradeUrgency::Security) => "security",
        Some(UpgradeUrgency::Routine) | None => "routine",
    };
    match cves {
        0 => format!("urgency: {word}, no CVE number known"),
        1 => format!("urgency: {word}, 1 CVE number in all"),
        count => format!("urgency: {word}, {count} CVE numbers in all"),
    }
}

/// Returns what is not taken, why, and what that leaves in the image, a line each. What images below have is there.
fn kept_back(update: &ImageUpdate) -> Vec<String> {
    let mut lines = Vec::new();
    for blocked in own_blocked(update) {
        lines.push(format!("kept back: {blocked}"));
        for script in &blocked.scripts {
            let kind = &script.script.kind;
            lines.extend(script.script.effects.iter().map(|effect| format!("  + {kind}: {effect}")));
        }
        lines.extend(blocked.gone.iter().map(|effect| format!("  - {effect}")));
    }
    lines.extend(
        blocked_below(update).into_iter().map(|(level, image)| format!("kept back in level {level}: as in {image}")),
    );
    lines.extend(update.broken_pockets.iter().map(|broken| format!("not read: {broken}")));
    lines.extend(held_back(update));
    lines
}

/// Returns the packages that stay behind in the image's own levels.
pub(super) fn own_blocked(update: &ImageUpdate) -> impl Iterator<Item = &BlockedPackage> {
    update.blocked.iter().filter(|blocked| !update.inherited.contains_key(&blocked.level))
}

/// Returns the levels of images below in which packages stay behind, with those images.
pub(super) fn blocked_below(update: &ImageUpdate) -> BTreeMap<&str, &str> {
    let image = |blocked: &BlockedPackage| update.inherited.get_key_value(&blocked.level);
    update.blocked.iter().filter_map(image).map(|(level, image)| (level.as_str(), image.as_str())).collect()
}

/// Returns what the updates that are not taken would fix, a line each.
pub(super) fn held_back(update: &ImageUpdate) -> Vec<String> {
    let names: BTreeSet<&String> = own_blocked(update).map(|blocked| &blocked.package).collect();
    let own = update.held_back.iter().filter(|held| held.packages.iter().any(|name| names.contains(name)));
    let mut lines: Vec<String> = own
        .flat_map(|held| explanation(held).into_iter().map(|line| format!("held back: {}: {line}", held.source)))
        .collect();
    if !update.blocked.is_empty() {
        lines.push(format!("held back: {}", urgency_of(update.held_back_urgency, update.held_back_cves().len())));
    }
    lines
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
