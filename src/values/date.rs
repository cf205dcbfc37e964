//! Dates in words: RFC 5322 in UTC, as in Release files (apt's `RFC1123StrToTime`) and HTTP headers (RFC 9110, 5.6.7).

use crate::values::Epoch;
use crate::values::epoch::CivilDate;
use crate::values::epoch::TimeOfDay;
use std::ops::RangeInclusive;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Reads `Sat, 21 Nov 2026 00:45:00 UTC`. Returns `None` for any other form, and for zones other than UTC,
/// which neither apt nor HTTP accepts.
#[must_use]
pub fn parse(text: &str) -> Option<Epoch> {
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let &[weekday, day, month, year, time, zone] = parts.as_slice() else { return None };

    // the name of a weekday is enough: as in apt, a wrong one does not make the date wrong
    if !DAYS.contains(&weekday.strip_suffix(',')?) || !matches!(zone, "UTC" | "GMT" | "Z" | "+0000") {
        return None;
    }

    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let date = CivilDate {
        year: i64::from(number(year, 4..=4)?),
        month: u32::try_from(month).ok()?,
        day: number(day, 1..=2)?,
    };
    let epoch = Epoch::from_civil(date, time_of_day(time)?);

    // the 31st of February would become a day in March
    (epoch.civil_date() == date).then_some(epoch)
}

/// Reads `00:45:00`; an hour below ten may have one digit.
fn time_of_day(text: &str) -> Option<TimeOfDay> {
    let parts: Vec<&str> = text.split(':').collect();
    let &[hour, minute, second] = parts.as_slice() else { return None };
    let time = TimeOfDay { hour: number(hour, 1..=2)?, minute: number(minute, 2..=2)?, second: number(second, 2..=2)? };

    // there are no leap seconds in seconds since 1970
    (time.hour <= 23 && time.minute <= 59 && time.second <= 59).then_some(time)
}

/// Reads a decimal number with as many digits as allowed.
fn number(text: &str, digits: RangeInclusive<usize>) -> Option<u32> {
    // `parse` alone would also take a plus sign
    let is_number = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_dates() {
        let table = [
            ("Sat, 21 Nov 2026 00:45:00 UTC", Some("2026-11-21T00:45:00Z")),
            ("Sat, 21 Nov 2026  0:45:00 UTC", Some("2026-11-21T00:45:00Z")),
            ("Thu, 01 Feb 2024 09:52:01 +0000", Some("2024-02-01T09:52:01Z")),
            ("Thu, 1 Feb 2024 09:52:01 GMT", Some("2024-02-01T09:52:01Z")),
            ("Thu, 31 Feb 2024 09:52:01 UTC", None),
            ("Thu, 1 Feb 2024 24:00:00 UTC", None),
            ("Thu, 1 Feb 2024 09:52:01 +0200", None),
            ("Thu, 1 Feb 2024 09:52:01", None),
            ("1 Feb 2024 09:52:01 UTC", None),
            ("Thu, +1 Feb 2024 09:52:01 UTC", None),
            ("Thu, 1 Feb 24 09:52:01 UTC", None),
            ("2026-11-21T00:45:00Z", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).map(|epoch| epoch.to_string()).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "(Sat, [0-9]{1,3} (Nov|Dec) [0-9]{3,5} [0-9:]{0,9} UTC|.{0,60})") {
            let _any = parse(&text);
        }
    }
}
