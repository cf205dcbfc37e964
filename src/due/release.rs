//! Until when a distribution supports a release: the data of Debian's package distro-info-data (ISC licence, Copyright
//! 2009-2023 Benjamin Drung, Stefano Rivera), shipped as it is.

use crate::values::Epoch;
use serde::Serialize;

/// Version of distro-info-data that the tables come from.
pub const DATA: &str = "0.58+deb12u7";

const DEBIAN: &str = include_str!("data/debian.csv");
const UBUNTU: &str = include_str!("data/ubuntu.csv");

/// How a release is supported at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Support {
    /// Its name: `trixie`.
    pub series: String,
    /// At that time.
    pub state: SupportState,
    /// Last day of the support that everybody gets.
    pub until: Epoch,
    /// Last day of what comes after it without payment: Debian's LTS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended: Option<Epoch>,
}

/// Whether a release still gets patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SupportState {
    /// By the distribution itself.
    Supported,
    /// By Debian's LTS team, for some packages and architectures.
    Extended,
    /// Not any more.
    Ended,
}

/// Returns what the tables say about a version (`26.04`, `13`) of a distribution, as its archive's `Origin` names it.
#[must_use]
pub fn support(origin: &str, version: &str, now: Epoch) -> Option<Support> {
    let (table, extended) = match origin {
        "Debian" => (DEBIAN, Some("eol-lts")),
        // what comes after `eol` there is for subscribers
        "Ubuntu" => (UBUNTU, None),
        _ => return None,
    };
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next()?.split(',').collect();
    let row = |line: &'static str| -> Vec<&'static str> { line.split(',').collect() };
    let is_wanted = |fields: &Vec<&str>| fields[0] == version || fields[0].strip_suffix(" LTS") == Some(version);
    let fields = lines.map(row).find(is_wanted)?;
    let field = |name: &str| fields.get(columns.iter().position(|column| *column == name)?).copied();
    let day = |name: &str| midnight(field(name)?);
    let until = day("eol")?;
    let extended = extended.and_then(day);
    // the day itself is still supported
    let is_over = |day: Epoch| now >= day.end_of_day();
    let state = match (is_over(until), extended.is_some_and(|day| !is_over(day))) {
        (false, _) => SupportState::Supported,
        (true, true) => SupportState::Extended,
        (true, false) => SupportState::Ended,
    };
    Some(Support { series: field("series")?.to_owned(), state, until, extended })
}

/// Returns the beginning of a day written as 2026-11-23.
fn midnight(day: &str) -> Option<Epoch> {
    format!("{day}T00:00:00Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_last_day_counts() {
        let table = [
            ("Debian", "13", "2026-11-23", Some(("trixie", SupportState::Supported))),
            ("Debian", "13", "2028-08-09", Some(("trixie", SupportState::Supported))),
            ("Debian", "13", "2028-08-10", Some(("trixie", SupportState::Extended))),
            ("Debian", "13", "2030-06-30", Some(("trixie", SupportState::Extended))),
            ("Debian", "13", "2030-07-01", Some(("trixie", SupportState::Ended))),
            ("Debian", "12", "2026-11-23", Some(("bookworm", SupportState::Extended))),
            ("Ubuntu", "26.04", "2031-05-29", Some(("resolute", SupportState::Supported))),
            ("Ubuntu", "26.04", "2031-05-30", Some(("resolute", SupportState::Ended))),
            ("Ubuntu", "24.04", "2026-11-23", Some(("noble", SupportState::Supported))),
            ("Ubuntu", "25.10", "2026-11-23", Some(("questing", SupportState::Ended))),
            ("Debian", "14", "2026-11-23", None),
            ("Debian", "", "2026-11-23", None),
            ("Other", "13", "2026-11-23", None),
        ];
        for (origin, version, day, expected) in table {
            let now = midnight(day).unwrap();
            for now in [now, Epoch(now.0 + 86_399)] {
                let found = support(origin, version, now);
                let found = found.as_ref().map(|support| (support.series.as_str(), support.state));
                assert_eq!(found, expected, "{origin} {version} {day}");
            }
        }
    }
}
