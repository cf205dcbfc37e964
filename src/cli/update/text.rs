//! The answer of `update` for people at a terminal.

use crate::cli::table::printable;
use crate::cli::table::size;
use crate::cli::update::answer::Image;
use crate::update::ImageUpdate;
use crate::update::State;
use crate::update::repull::Repull;
use std::fmt::Write;

/// Returns a paragraph for every image; images without news share a line at the end.
pub(super) fn render(images: &[Image]) -> String {
    let mut text = String::new();
    for Image { update, error } in images {
        let what = match update.state {
            State::Current => continue,
            State::Changed => "changed",
            State::New => "locked for the first time",
            State::Failed => "FAILED, see below",
        };
        let also = if error.is_some() && update.state != State::Failed { ", FAILED, see below" } else { "" };
        let _ = writeln!(text, "{}: {what}{also}", update.image);
        changes(update, &mut text);
        for repull in &update.repull {
            let _ = writeln!(text, "  consumers pull {}", line(repull));
        }
        if !update.above.is_empty() {
            let _ = writeln!(text, "  also changes: {}", update.above.join(", "));
        }
    }
    let current: Vec<&str> = images
        .iter()
        .filter(|image| image.update.state == State::Current)
        .map(|image| image.update.image.as_str())
        .collect();
    if !current.is_empty() {
        let _ = writeln!(text, "nothing new: {}", current.join(", "));
    }
    text
}

fn changes(update: &ImageUpdate, text: &mut String) {
    let Some(difference) = &update.difference else { return };
    let own = crate::lock::diff::Difference {
        levels: difference
            .levels
            .iter()
            .filter(|level| !update.inherited.contains_key(&level.recipe))
            .cloned()
            .collect(),
        ..difference.clone()
    };
    for line in own.to_string().lines() {
        let _ = writeln!(text, "  {}", printable(line));
    }
    for level in difference.levels.iter().filter(|level| update.inherited.contains_key(&level.recipe)) {
        let _ = writeln!(text, "  level {}: as in {}", level.recipe, update.inherited[&level.recipe]);
    }
}

/// Returns what consumers of one platform pull again.
pub(super) fn line(repull: &Repull) -> String {
    let about = if repull.exact { "" } else { "about " };
    let (bytes, whole) = (size(repull.bytes), size(repull.whole));
    let Repull { platform, layers, .. } = repull;
    let layers = if *layers == 1 { "1 layer".to_owned() } else { format!("{layers} layers") };
    format!("{about}{bytes} of {whole} ({} %, {layers}) for {platform}", repull.percent())
}
