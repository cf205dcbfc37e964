//! Debian version order (deb-version(7)).

use std::cmp::Ordering;
use std::fmt;

/// A Debian package version, `[epoch:]upstream[-revision]`, ordered as dpkg orders.
///
/// Two versions are equal when dpkg says so, even if their texts differ (`1.0` and `0:1.0`).
#[derive(Debug, Clone)]
pub struct Version(String);

impl Version {
    /// Takes a version as written; any text is accepted, because order is defined for all.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the upstream version, without epoch and revision.
    #[must_use]
    pub fn upstream(&self) -> &str {
        self.parts().1
    }

    /// Returns epoch, upstream version and revision; an absent epoch or revision is empty.
    fn parts(&self) -> (&str, &str, &str) {
        let (epoch, rest) = self.0.split_once(':').unwrap_or(("", &self.0));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch, upstream, revision)
    }
}

/// Compares upstream versions or revisions: non-digit and digit runs in turn.
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let text = |bytes: &[u8]| bytes.iter().position(u8::is_ascii_digit).unwrap_or(bytes.len());
        let (text_a, text_b) = (text(a), text(b));
        for index in 0..text_a.max(text_b) {
            let weight_of = |bytes: &[u8], end: usize| bytes[..end].get(index).map_or(0, |byte| weight(*byte));
            match weight_of(a, text_a).cmp(&weight_of(b, text_b)) {
                Ordering::Equal => {}
                other => return other,
            }
        }
        (a, b) = (&a[text_a..], &b[text_b..]);
        let number = |bytes: &[u8]| bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
        let (number_a, number_b) = (number(a), number(b));
        match compare_numbers(&a[..number_a], &b[..number_b]) {
            Ordering::Equal => {}
            other => return other,
        }
        (a, b) = (&a[number_a..], &b[number_b..]);
    }
    Ordering::Equal
}

/// Compares digit runs of any length by value.
fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// `~` sorts before the end of a part (0), then letters, then everything else.
fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        letter if letter.is_ascii_alphabetic() => i32::from(letter),
        other => i32::from(other) + 256,
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (epoch_a, upstream_a, revision_a) = self.parts();
        let (epoch_b, upstream_b, revision_b) = other.parts();
        compare(epoch_a.as_bytes(), epoch_b.as_bytes())
            .then_with(|| compare(upstream_a.as_bytes(), upstream_b.as_bytes()))
            .then_with(|| compare(revision_a.as_bytes(), revision_b.as_bytes()))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_as_dpkg_does() {
        // from dpkg's lib/dpkg/t/t-version.c and deb-version(7)
        let ascending = [
            "0~~",
            "0~~a",
            "0~",
            "0-0~1",
            "0",
            "0-1",
            "0a-1",
            "0.0",
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0-10",
            "1.0a-1",
            "1.0+git1-1",
            "1.0.1-1",
            "1.9-1",
            "1.10-1",
            "2.38-4ubuntu1~24.04.1",
            "2.38-4ubuntu1",
            "1:0.1",
            "2:0",
        ];
        for (index, low) in ascending.iter().enumerate() {
            for high in &ascending[index + 1..] {
                assert!(Version::new(low) < Version::new(high), "{low} < {high}");
            }
        }
        for (a, b) in
            [("0", "00"), ("1.0", "0:1.0"), ("1.0", "1.0-"), ("1.0-0", "1.0"), ("0:0-0", "0"), ("1.02", "1.2")]
        {
            assert_eq!(Version::new(a), Version::new(b), "{a} = {b}");
        }
    }

    #[test]
    fn upstream_is_what_people_call_the_version() {
        for (text, upstream) in [("1:2.3-4ubuntu1", "2.3"), ("11.0.6-1", "11.0.6"), ("3", "3"), ("1-2-3", "1-2")] {
            assert_eq!(Version::new(text).upstream(), upstream);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_an_independent_implementation(a in "([0-9]:)?[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,5})?", b in "([0-9]:)?[0-9][0-9a-z.+~]{0,8}(-[0-9a-z.+~]{1,5})?") {
            let theirs = |text: &str| text.parse::<debversion::Version>();
            if let (Ok(their_a), Ok(their_b)) = (theirs(&a), theirs(&b)) {
                prop_assert_eq!(Version::new(&a).cmp(&Version::new(&b)), their_a.cmp(&their_b));
            }
        }

        #[test]
        fn is_an_order_for_any_text(a in ".{0,12}", b in ".{0,12}") {
            let (a, b) = (Version::new(&a), Version::new(&b));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            let _panics_never = a.upstream();
        }
    }
}
