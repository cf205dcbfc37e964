//! The only two points in time that an image may contain.

use serde::Deserialize;
use serde::Serialize;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Modification time of everything that sockel itself writes, and of all directories: 1980-01-01T00:00:00Z.
///
/// It is a constant so that a newer lock leaves untouched layers untouched. 1980 is the earliest time that ZIP (and so
/// JAR) files can carry (APPNOTE.TXT 4.4.6), which spares programs that refuse 1970.
pub const CONTENT_MTIME: i64 = 315_532_800;

const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time in seconds since 1970-01-01T00:00:00Z, written as RFC 3339 with `Z`.
///
/// It comes from a lock file, never from a clock, and is the latest time that may appear in an image
/// (`SOURCE_DATE_EPOCH`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch(pub i64);

/// The text is not `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time of the form 2026-11-23T00:00:00Z")]
pub struct InvalidEpoch(pub String);

/// A date of the Gregorian calendar; months and days count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CivilDate {
    pub(super) year: i64,
    pub(super) month: u32,
    pub(super) day: u32,
}

/// A time of day in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeOfDay {
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

impl Epoch {
    /// Returns the first moment after the day (UTC) that contains this moment.
    #[must_use]
    pub fn end_of_day(self) -> Self {
        Self((self.0.div_euclid(SECONDS_PER_DAY) + 1) * SECONDS_PER_DAY)
    }

    /// Returns `YYYYMMDD`, for tags.
    #[must_use]
    pub fn date(self) -> String {
        let CivilDate { year, month, day } = self.civil_date();
        format!("{year:04}{month:02}{day:02}")
    }

    /// Returns `YYYYMMDDTHHMMSSZ`, as the snapshot services name their folders.
    #[must_use]
    pub fn compact(self) -> String {
        self.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
    }

    /// Returns the point in time of a date and time of day in UTC. A day that the month does not have counts on
    /// into the next month; callers that need a real date compare it with [`Self::civil_date`].
    pub(super) fn from_civil(date: CivilDate, time: TimeOfDay) -> Self {
        let seconds = time.hour * 3600 + time.minute * 60 + time.second;
        Self(date.days_since_1970() * SECONDS_PER_DAY + i64::from(seconds))
    }

    /// Returns the date in UTC.
    pub(super) fn civil_date(self) -> CivilDate {
        // times before 1970 are negative and belong to the day before, hence the Euclidean division
        CivilDate::from_days_since_1970(self.0.div_euclid(SECONDS_PER_DAY))
    }
}

/// Both conversions are H. Hinnant's, "chrono-Compatible Low-Level Date Algorithms" (`days_from_civil`,
/// `civil_from_days`). They count in eras of 400 years, after which the calendar repeats, and in years that
/// begin in March, so that a leap day is the last day of its year.
impl CivilDate {
    /// Days from 0000-03-01, where the first era begins, to 1970-01-01.
    const ERA_TO_1970: i64 = 719_468;

    /// Days in 400 years.
    const DAYS_PER_ERA: i64 = 146_097;

    fn days_since_1970(self) -> i64 {
        // January and February belong to the year that began in March before
        let year = self.year - i64::from(self.month <= 2);
        let month = i64::from(self.month);
        let month_from_march = if month > 2 { month - 3 } else { month + 9 };

        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);

        // months from March on have 31, 30, 31, 30, 31 days, again and again, which is 153 days in five months
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * Self::DAYS_PER_ERA + day_of_era - Self::ERA_TO_1970
    }

    fn from_days_since_1970(days: i64) -> Self {
        let days = days + Self::ERA_TO_1970;
        let era = days.div_euclid(Self::DAYS_PER_ERA);
        let day_of_era = days.rem_euclid(Self::DAYS_PER_ERA);

        // takes off the leap days: one in 4 years (1,460 days), none in 100 (36,524), one in 400
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);

        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;

        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            // both are small and positive by construction
            month: u32::try_from(month).unwrap_or(1),
            day: u32::try_from(day).unwrap_or(1),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CivilDate { year, month, day } = self.civil_date();
        let second = self.0.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Epoch {
    type Err = InvalidEpoch;

    fn from_str(text: &str) -> Result<Self, InvalidEpoch> {
        // printing again catches wrong separators, the 31st of February, the 25th hour and trailing text alike
        read_numbers(text).filter(|epoch| epoch.to_string() == text).ok_or_else(|| InvalidEpoch(text.to_owned()))
    }
}

/// Reads the numbers of `YYYY-MM-DDTHH:MM:SSZ` at their places, whatever is between them.
fn read_numbers(text: &str) -> Option<Epoch> {
    let date =
        CivilDate { year: i64::from(number(text, 0..4)?), month: number(text, 5..7)?, day: number(text, 8..10)? };
    let time = TimeOfDay { hour: number(text, 11..13)?, minute: number(text, 14..16)?, second: number(text, 17..19)? };
    Some(Epoch::from_civil(date, time))
}

fn number(text: &str, place: Range<usize>) -> Option<u32> {
    text.get(place)?.parse().ok()
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
