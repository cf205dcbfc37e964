//! Points in time as Harbor and scanners write them.

use crate::values::Epoch;

/// Reads RFC 3339, with any fraction of a second and any offset, as whole seconds. Go's zero time counts as no time.
#[must_use]
pub(crate) fn parse(text: &str) -> Option<Epoch> {
    if text.len() > 64 || !text.is_ascii() {
        return None;
    }

    // `2026-11-23T05:30:45`; RFC 3339 also allows a small `t` or a space
    let (seconds, rest) = text.split_at_checked(19)?;
    let mut normal = seconds.replacen(['t', ' '], "T", 1);
    normal.push('Z');
    let Epoch(local) = normal.parse().ok()?;

    // a point must be followed by a digit
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            (zone.len() < fraction.len()).then_some(zone)?
        }
        None => rest,
    };

    let offset = match zone.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(*h1, *h2)?, number(*m1, *m2)?);
            let seconds = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };

    // 0001-01-01T00:00:00Z stands for "no time" in Go
    Some(Epoch(local - offset)).filter(|epoch| epoch.0 > 0)
}

/// Reads two digits.
fn number(tens: u8, units: u8) -> Option<i64> {
    (tens.is_ascii_digit() && units.is_ascii_digit()).then(|| i64::from(tens - b'0') * 10 + i64::from(units - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_times() {
        let table = [
            ("2026-11-23T05:30:45Z", Some("2026-11-23T05:30:45Z")),
            ("2026-11-23T05:30:45.123456789Z", Some("2026-11-23T05:30:45Z")),
            ("2026-11-23T05:30:45.000+02:00", Some("2026-11-23T03:30:45Z")),
            ("2026-11-23 05:30:45-00:30", Some("2026-11-23T06:00:45Z")),
            ("0001-01-01T00:00:00Z", None),
            ("0001-01-01T00:00:00.000Z", None),
            ("2026-11-23T05:30:45", None),
            ("2026-11-23T05:30:45.Z", None),
            ("2026-11-23T05:30:45+2:00", None),
            ("2026-11-23T05:30:45+99:00", None),
            ("2026-02-30T05:30:45Z", None),
            ("1795411845", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).map(|epoch| epoch.to_string()).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\\.[0-9]{0,9})?(Z|[+-][0-9:]{0,6})|.{0,40})") {
            let _any = parse(&text);
        }
    }
}
