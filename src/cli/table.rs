//! Small aligned tables, and sizes and times as people write them.

use std::time::Duration;

/// Which side a column keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Returns a table with two spaces between columns and no space at the end of lines; the first row is the heading.
pub(super) fn table(sides: &[Side], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..sides.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for ((cell, side), width) in row.iter().zip(sides).zip(&widths) {
            let space = " ".repeat(width - cell.chars().count());
            match side {
                Side::Left => line.push_str(&format!("{cell}{space}  ")),
                Side::Right => line.push_str(&format!("{space}{cell}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns a size in decimal units with one digit behind the point, as registries show it.
pub(super) fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Returns a duration: milliseconds below a second, tenths below a minute, else minutes and seconds.
pub(super) fn human_time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        _ if seconds < 1.0 => format!("{} ms", duration.as_millis()),
        _ if seconds < 60.0 => format!("{seconds:.1} s"),
        _ => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (104_857_600, "104.9 MB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
        for (millis, text) in [(7, "7 ms"), (1500, "1.5 s"), (61_000, "1 min 1 s")] {
            assert_eq!(human_time(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [["name", "size"], ["a", "1.0 kB"], ["longer", "3 B"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&[Side::Left, Side::Right], &rows), "name      size\na       1.0 kB\nlonger     3 B\n");
    }
}
