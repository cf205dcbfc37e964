//! The only two points in time that an image may contain.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// Modification time of everything that sockel itself writes, and of all directories: 1980-01-01T00:00:00Z.
///
/// It is a constant so that a newer lock leaves untouched layers untouched. 1980 is the earliest time that ZIP (and so
/// JAR) files can carry (APPNOTE.TXT 4.4.6), which spares programs that refuse 1970.
pub const CONTENT_MTIME: i64 = 315_532_800;

/// A point in time in seconds since 1970-01-01T00:00:00Z, written as RFC 3339 with `Z`.
///
/// Comes from a lock file, never from a clock; the latest time that may appear in an image (`SOURCE_DATE_EPOCH`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch(pub i64);

/// The text is not `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of the form 2026-11-23T00:00:00Z")]
pub struct InvalidEpoch(pub String);

impl Epoch {
    /// Returns the first moment after the day (UTC) that this moment belongs to.
    #[must_use]
    pub fn end_of_day(self) -> Self {
        Self((self.0.div_euclid(86_400) + 1) * 86_400)
    }

    /// Returns `YYYYMMDD`, for tags.
    #[must_use]
    pub fn date(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(86_400));
        format!("{year:04}{month:02}{day:02}")
    }

    /// Returns `YYYYMMDDTHHMMSSZ`, as the snapshot services name their folders.
    #[must_use]
    pub fn compact(self) -> String {
        self.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
    }

    /// Returns the time for a calendar date and time of day in UTC.
    #[must_use]
    pub fn from_civil(date: (i64, u32, u32), time: (u32, u32, u32)) -> Self {
        let (hour, minute, second) = time;
        Self(days(date) * 86_400 + i64::from(hour * 3600 + minute * 60 + second))
    }
}

/// Days since 1970-01-01 of a Gregorian date (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`).
fn days((year, month, day): (i64, u32, u32)) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from(month);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days`] (same source, `civil_from_days`).
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = u32::try_from(day_of_year - (153 * month_index + 2) / 5 + 1).unwrap_or(1);
    let month = u32::try_from(month_index + if month_index < 10 { 3 } else { -9 }).unwrap_or(1);
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(86_400));
        let second = self.0.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Epoch {
    type Err = InvalidEpoch;

    fn from_str(text: &str) -> Result<Self, InvalidEpoch> {
        let invalid = || InvalidEpoch(text.to_owned());
        let number = |from: usize, to: usize| -> Result<u32, InvalidEpoch> {
            let digits = text.get(from..to).ok_or_else(invalid)?;
            digits.parse().map_err(|_| invalid())
        };
        let date = (i64::from(number(0, 4)?), number(5, 7)?, number(8, 10)?);
        let time = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let epoch = Self::from_civil(date, time);
        // printing again catches wrong separators, the 31st of February and trailing text alike
        if epoch.to_string() == text { Ok(epoch) } else { Err(invalid()) }
    }
}

impl TryFrom<String> for Epoch {
    type Error = InvalidEpoch;

    fn try_from(text: String) -> Result<Self, InvalidEpoch> {
        text.parse()
    }
}

impl From<Epoch> for String {
    fn from(epoch: Epoch) -> Self {
        epoch.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_calendar() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (CONTENT_MTIME, "1980-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_411_845, "2026-11-23T05:30:45Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ];
        for (seconds, text) in table {
            assert_eq!(Epoch(seconds).to_string(), text);
            assert_eq!(text.parse(), Ok(Epoch(seconds)));
        }
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "2026-11-23",
            "2026-02-30T00:00:00Z",
            "2026-11-23T05:30:45",
            "2026-11-23t05:30:45Z",
            "äääääääääääääääääääää",
        ] {
            assert!(text.parse::<Epoch>().is_err(), "{text}");
        }
    }
}
