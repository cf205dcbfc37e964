//! Times in images. Builders write them in many forms of RFC 3339: with fractions, with offsets, with small letters.

use crate::values::Epoch;

/// A point in time: seconds since 1970 in UTC, and nanoseconds.
pub type Instant = (i64, u32);

/// Reads a time of RFC 3339, 5.6, with any fraction and offset.
#[must_use]
pub fn parse(text: &str) -> Option<Instant> {
    // `2026-01-01T00:00:00`; the letter in between may be a small one or a space
    let (whole, rest) = (text.get(..19)?, text.get(19..)?);
    let Epoch(seconds) = format!("{}T{}Z", whole.get(..10)?, whole.get(11..)?).parse().ok()?;

    let (digits, offset) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            // a dot needs a digit after it
            if end == 0 {
                return None;
            }
            fraction.split_at(end)
        }
        None => ("", rest),
    };

    // what is finer than a nanosecond is cut off
    let nanoseconds = format!("{digits:0<9}").get(..9)?.parse().ok()?;
    Some((seconds - offset_seconds(offset)?, nanoseconds))
}

/// Reads `Z`, `+02:00` or `-00:30`.
fn offset_seconds(text: &str) -> Option<i64> {
    if text == "Z" || text == "z" {
        return Some(0);
    }
    let (sign, offset) = (text.get(..1)?, text.get(1..)?);
    let (hours, minutes) = offset.split_once(':')?;
    let seconds = two_digits(hours)? * 3600 + two_digits(minutes)? * 60;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

fn two_digits(text: &str) -> Option<i64> {
    text.parse::<u8>().ok().filter(|_| text.len() == 2).map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_compared_whatever_their_form() {
        let order = [
            "no time",
            "1970-01-01T00:00:00Z",
            "2026-01-01T00:00:00+14:00",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00.000000001Z",
            "2026-01-01T00:00:00.1Z",
            "2026-01-01T00:00:00.123456789123-00:30",
            "2026-01-01t02:00:00z",
        ];
        let times: Vec<_> = order.iter().map(|text| parse(text)).collect();
        assert!(times.is_sorted() && times[0].is_none() && times[1..].iter().all(Option::is_some), "{times:?}");
        for text in [
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00.",
            "2026-01-01T00:00:00.Z",
            "ää-01-01T00:00:00Z",
            "2026-01-01T00:00:00+-1:0",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
