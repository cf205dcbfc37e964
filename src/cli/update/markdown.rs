//! The answer of `update` as Markdown: the text of a merge request.

use crate::cli::update::answer::UpdatedImageAnswer;
use crate::cli::update::text;
use crate::lock::diff::PackageChange;
use crate::update::ImageUpdate;
use crate::update::UpdateState;
use crate::values::shown::shown;
use std::fmt::Write;

/// Returns a section for every image with news.
pub(super) fn render(images: &[UpdatedImageAnswer]) -> String {
    let with = |state: UpdateState| images.iter().filter(move |image| image.update.state == state);
    let changed: Vec<&UpdatedImageAnswer> = with(UpdateState::Changed).chain(with(UpdateState::New)).collect();
    let mut out = String::new();
    let stuck: Vec<String> =
        images.iter().filter(|image| image.update.is_blocked()).map(|image| name(&image.update.image)).collect();
    if changed.is_empty() && !stuck.is_empty() {
        out += "## Base images: nothing new can be taken\n";
    } else if changed.is_empty() {
        out += "## Base images: nothing new\n";
    } else {
        let _ = writeln!(out, "## Base images: {} of {} change", changed.len(), images.len());
    }
    if !stuck.is_empty() {
        let _ = writeln!(out, "\n**Not everything can be updated: {}**", stuck.join(", "));
    }
    for UpdatedImageAnswer { update, .. } in images {
        if matches!(update.state, UpdateState::Changed | UpdateState::New) {
            section(update, &mut out);
        }
        blocked(update, &mut out);
    }
    for UpdatedImageAnswer { update, error, .. } in images {
        if let Some(error) = error {
            let _ = writeln!(out, "\n### {}: failed\n\n{}", name(&update.image), cell(&error.message));
        }
    }
    let current = with(UpdateState::Current).filter(|image| !image.update.is_blocked());
    let current: Vec<String> = current.map(|image| name(&image.update.image)).collect();
    if !current.is_empty() {
        let _ = writeln!(out, "\nNothing new: {}", current.join(", "));
    }
    out
}

fn section(update: &ImageUpdate, out: &mut String) {
    let _ = writeln!(out, "\n### {}\n", name(&update.image));
    let Some(difference) = &update.difference else {
        let _ = writeln!(out, "Locked for the first time.");
        return;
    };
    let mut rows = String::new();
    for level in difference.levels.iter().filter(|level| !update.inherited.contains_key(&level.recipe)) {
        for change in &level.packages {
            row(&level.recipe, change, &mut rows);
        }
    }
    if !rows.is_empty() {
        let _ = write!(out, "| package | old | new | pocket | level | platforms |\n|---|---|---|---|---|---|\n{rows}");
    }
    let below: Vec<String> = difference
        .levels
        .iter()
        .filter_map(|level| {
            Some(format!("level {} as in {}", level.recipe, name(update.inherited.get(&level.recipe)?)))
        })
        .collect();
    let inputs = difference.definition.iter().map(|part| format!("definition of {} changed", name(part)));
    let fixes = text::own(update).into_iter().flat_map(|explained| {
        let line = move |line: String| format!("{}: {}", name(&explained.source), cell(&line));
        text::explanation(explained).into_iter().map(line)
    });
    let total = (!update.fixes.is_empty()).then(|| text::urgency(update));
    let lines: Vec<String> = below
        .into_iter()
        .chain(inputs)
        .chain(fixes)
        .chain(total)
        .chain(update.repull.iter().map(|repull| format!("consumers pull {}", text::line(repull))))
        .collect();
    if !rows.is_empty() && !lines.is_empty() {
        out.push('\n');
    }
    for line in lines {
        let _ = writeln!(out, "- {line}");
    }
    if !update.above.is_empty() {
        let names: Vec<String> = update.above.iter().map(|image| name(image)).collect();
        let _ = writeln!(out, "- also changes: {}", names.join(", "));
    }
}

/// Writes what is not taken, why, and what decision is needed.
fn blocked(update: &ImageUpdate, out: &mut String) {
    if !update.is_blocked() {
        return;
    }
    let _ = writeln!(out, "\n### {}: held back\n", name(&update.image));
    let mut rows = String::new();
    for blocked in text::own_blocked(update) {
        let locked = blocked.locked.as_deref().map_or_else(|| "-".to_owned(), name);
        let (package, newer, from) = (name(&blocked.package), name(&blocked.newer), cell(&blocked.from));
        let _ = writeln!(rows, "| {package} | {locked} | {newer} | {from} | {} |", cell(&blocked.reason.to_string()));
    }
    if !rows.is_empty() {
        let _ = writeln!(out, "| package | stays at | not taken | pocket | why |\n|---|---|---|---|---|\n{rows}");
    }

    let mut lines = Vec::new();
    for blocked in text::own_blocked(update) {
        let package = name(&blocked.package);
        for script in &blocked.scripts {
            let (kind, effects) = (&script.script.kind, &script.script.effects);
            lines.extend(effects.iter().map(|effect| format!("{package}: {kind}, to decide: {}", name(effect))));
        }
        lines.extend(blocked.gone.iter().map(|effect| format!("{package}: no more: {}", name(effect))));
    }
    let below = text::blocked_below(update).into_iter();
    lines.extend(below.map(|(level, image)| format!("level {level} as in {}", name(image))));
    lines.extend(update.broken_pockets.iter().map(|broken| format!("not read: {}", cell(&broken.to_string()))));
    lines.extend(text::held_back(update).iter().map(|line| cell(line)));
    for line in lines {
        let _ = writeln!(out, "- {line}");
    }
}

fn row(level: &str, change: &PackageChange, rows: &mut String) {
    let version = |version: &Option<String>| version.as_deref().map_or_else(|| "-".to_owned(), name);
    let platforms: Vec<String> = change.platforms.iter().map(ToString::to_string).collect();
    let platforms = if change.everywhere { "all".to_owned() } else { platforms.join(", ") };
    let (old, new, from) = (version(&change.old), version(&change.new), cell(&change.from));
    let _ = writeln!(rows, "| {} | {old} | {new} | {from} | {level} | {platforms} |", name(&change.name));
}

/// Quotes what must not be read as Markdown.
fn name(text: &str) -> String {
    format!("`{}`", shown(text).replace(['`', '|'], "_"))
}

/// Makes text fit into a cell: on one line, with nothing that begins a link, an image, HTML, a character by its number (which
/// may be one that is not seen), a formula or another cell.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in shown(text).chars() {
        if matches!(c, '|' | '<' | '>' | '[' | ']' | '`' | '*' | '_' | '\\' | '!' | '#' | '@' | '&' | '~' | '$') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(name("a`b|c"), "`a_b_c`");
        assert_eq!(cell("<b> [x](y) @all"), "\\<b\\> \\[x\\](y) \\@all");
        assert_eq!(cell("a\n/close\u{202e}&#x202e;"), "a\\\\n/close\\\\u{202e}\\&\\#x202e;");
        assert_eq!(name("a\u{202e}\n"), "`a\\u{202e}\\n`");
    }
}
