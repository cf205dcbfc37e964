//! Small text tables, sizes and durations as people read them.

use crate::values::shown::shown;
use std::time::Duration;

/// What may happen to a column that is too wide for the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text to the left; shortened with `…`, after the digests.
    Text,
    /// Text to the right, never shortened: numbers, sizes.
    Number,
    /// A digest to the left; the first to be shortened, to 12 digits at once so that none is mistaken for a whole one.
    Digest,
}

/// Rows of text under headings.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Column)>,
    rows: Vec<Vec<String>>,
}

/// Blanks between columns; one where everything else was shortened already.
const GAP: usize = 2;
/// No text column becomes narrower.
const LEAST_TEXT: usize = 8;
/// Digits of a short digest, as [`crate::values::Digest::short`] has.
const SHORT_DIGEST: usize = 12;

impl Table {
    /// Returns an empty table.
    pub(crate) fn new(columns: &[(&'static str, Column)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| shown(&cell)).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Returns the text, one line a row, at most `width` columns wide where shortening digests and texts allows it.
    pub(crate) fn render(&self, width: usize) -> String {
        let (widths, gap) = self.fit(width);
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        let mut text = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, column)) in row.iter().zip(&widths).zip(&self.columns) {
                let cell = shorten(cell, *width);
                let blanks = " ".repeat(width.saturating_sub(columns_of(&cell)));
                match column {
                    Column::Number => line.extend([blanks.as_str(), &cell]),
                    Column::Text | Column::Digest => line.extend([cell.as_str(), &blanks]),
                }
                line.push_str(&" ".repeat(gap));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Returns the width of each column, and the blanks between them.
    fn fit(&self, width: usize) -> (Vec<usize>, usize) {
        let mut widths: Vec<usize> = self.columns.iter().map(|(title, _)| columns_of(title)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(columns_of(cell));
            }
        }
        let all = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        if all(&widths) > width {
            for (width, (title, column)) in widths.iter_mut().zip(&self.columns) {
                if *column == Column::Digest {
                    *width = SHORT_DIGEST.max(columns_of(title));
                }
            }
        }
        // the widest gives way, one column at a time, so that equally wide texts stay equally readable
        while all(&widths) > width {
            let texts = self.columns.iter().zip(&mut widths).filter(|((_, column), _)| *column == Column::Text);
            match texts.map(|(_, width)| width).max() {
                Some(widest) if *widest > LEAST_TEXT => *widest -= 1,
                _ => break,
            }
        }
        let gap = if all(&widths) > width { 1 } else { GAP };
        (widths, gap)
    }
}

/// Returns how many terminal columns a text takes.
pub(crate) fn columns_of(text: &str) -> usize {
    console::measure_text_width(text)
}

/// Returns the text cut to `width` columns, with `…` at its end when something was cut; digests keep their first digits.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    match text.strip_prefix("sha256:") {
        Some(digits) if text.len() > width => digits.chars().take(width.min(SHORT_DIGEST)).collect(),
        _ => console::truncate_str(text, width, "…").into_owned(),
    }
}

/// Returns a number of bytes in decimal units (IEC 80000-13 leaves kB, MB to powers of ten): `999 B`, `12.3 MB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    // tenths of a unit, rounded half up, in whole numbers
    let mut unit: u64 = 1000;
    for name in ["kB", "MB", "GB", "TB"] {
        let tenths = u128::from(bytes) * 10 + u128::from(unit) / 2;
        let tenths = tenths / u128::from(unit);
        if tenths < 10_000 || name == "TB" {
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
        unit = unit.saturating_mul(1000);
    }
    format!("{bytes} B")
}

/// Returns a time span: `0.4 s`, `59.9 s`, `2 min 05 s`, `1 h 02 min`.
pub(crate) fn duration(span: Duration) -> String {
    let tenths = (span.as_millis() + 50) / 100;
    let seconds = (span.as_millis() + 500) / 1000;
    if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else if seconds < 3600 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60)
    }
}

/// Returns a time span that is only a guess, without fractions: `56 s`, `2 min 05 s`.
pub(crate) fn rough(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => duration(Duration::from_secs(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_move_together_at_last() {
        let mut table = Table::new(&[("state", Column::Text), ("sent", Column::Number)]);
        table.row(["published".to_owned(), "12.4 MB".to_owned()]);
        assert_eq!(table.render(17), "state        sent\npublish…  12.4 MB\n");
        assert_eq!(table.render(16), "state       sent\npublish… 12.4 MB\n");
    }

    #[test]
    fn sizes() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1049, "1.0 kB"),
            (1050, "1.1 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (3_400_000_000, "3.4 GB"),
            (u64::MAX, "18446744.1 TB"),
        ];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn durations() {
        let table = [
            (0, "0.0 s"),
            (49, "0.0 s"),
            (50, "0.1 s"),
            (12_340, "12.3 s"),
            (59_949, "59.9 s"),
            (59_950, "1 min 00 s"),
            (125_000, "2 min 05 s"),
            (3_599_499, "59 min 59 s"),
            (3_599_500, "1 h 00 min"),
            (3_720_000, "1 h 02 min"),
        ];
        for (milliseconds, text) in table {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }

    fn sample() -> Table {
        let mut table = Table::new(&[("image", Column::Text), ("digest", Column::Digest), ("size", Column::Number)]);
        let digest = crate::values::Digest::of(b"").to_string();
        table.row(["tomcat-11-jre25-long-name".to_owned(), digest.clone(), size(123_456_789)]);
        table.row(["java\u{1b}[31m".to_owned(), digest, size(7)]);
        table
    }

    #[test]
    fn wide_terminals_show_everything() {
        insta::assert_snapshot!(sample().render(120), @r#"
        image                      digest                                                                       size
        tomcat-11-jre25-long-name  sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  123.5 MB
        java\u{1b}[31m             sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855       7 B
        "#);
    }

    #[test]
    fn digests_give_way_first_then_texts() {
        insta::assert_snapshot!(sample().render(60), @r#"
        image                      digest            size
        tomcat-11-jre25-long-name  e3b0c44298fc  123.5 MB
        java\u{1b}[31m             e3b0c44298fc       7 B
        "#);
        insta::assert_snapshot!(sample().render(40), @r#"
        image             digest            size
        tomcat-11-jre25…  e3b0c44298fc  123.5 MB
        java\u{1b}[31m    e3b0c44298fc       7 B
        "#);
    }

    #[test]
    fn no_width_is_too_small() {
        for width in 0..140 {
            let text = sample().render(width);
            let widest = text.lines().map(columns_of).max().unwrap_or(0);
            assert!(widest <= width.max(8 + 12 + 8 + 4), "{width}: {widest}");
        }
    }
}
