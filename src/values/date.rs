//! Dates in words: RFC 5322 in UTC, as Release files (apt's `RFC1123StrToTime`) and HTTP headers (RFC 9110, 5.6.7) have
//! them.

use crate::values::Epoch;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Reads `Sat, 21 Nov 2026 00:45:00 UTC`; only UTC zones are dates to apt and HTTP. `None` for everything else.
#[must_use]
pub fn parse(text: &str) -> Option<Epoch> {
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let &[weekday, day, month, year, time, zone] = parts.as_slice() else { return None };
    if !DAYS.contains(&weekday.strip_suffix(',')?) || !matches!(zone, "UTC" | "GMT" | "Z" | "+0000") {
        return None;
    }
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let year = number(year, 4..=4)?;
    let date = (i64::from(year), u32::try_from(month).ok()?, number(day, 1..=2)?);
    let mut clock = time.split(':');
    let (hour, minute, second) = (clock.next()?, clock.next()?, clock.next()?);
    let time = (number(hour, 1..=2)?, number(minute, 2..=2)?, number(second, 2..=2)?);
    if clock.next().is_some() || time.0 > 23 || time.1 > 59 || time.2 > 59 {
        return None;
    }
    let epoch = Epoch::from_civil(date, time);
    // printing catches the 31st of February
    (epoch.date() == format!("{year:04}{month:02}{:02}", date.2)).then_some(epoch)
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let fits = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
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
