//! Debian version order (deb-version(7)).

use std::cmp::Ordering;
use std::fmt;
use std::hash::Hash;
use std::hash::Hasher;

/// A Debian package version in the order of dpkg. Different spellings of one version (`1.0`, `0:1.00-0`) are equal.
#[derive(Debug, Clone)]
pub struct DebianVersion(String);

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read version `{}`: {problem}", text.escape_debug())]
pub struct InvalidVersion {
    /// The offending text.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl DebianVersion {
    /// Takes a version as written. Any text is accepted; the order follows deb-version(7).
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Reads a version by the grammar of deb-version(7), as strictly as dpkg reads it from its database.
    ///
    /// # Errors
    /// [`InvalidVersion`] for an empty part, an epoch that is not a number, or characters that are not allowed.
    pub fn parse(text: &str) -> Result<Self, InvalidVersion> {
        match problem(text) {
            Some(problem) => Err(InvalidVersion { text: text.to_owned(), problem }),
            None => Ok(Self::new(text)),
        }
    }

    /// Returns the version as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the upstream version: without epoch and revision.
    #[must_use]
    pub fn upstream(&self) -> &str {
        Parts::of(&self.0).upstream
    }
}

/// Compares two texts as [`DebianVersion`]s.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    compare_part(left.epoch, right.epoch)
        .then_with(|| compare_part(left.upstream, right.upstream))
        .then_with(|| compare_part(left.revision, right.revision))
}

/// The parts of a version; absent ones are empty.
struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    /// Splits any text. Only decimal digits before a colon are an epoch, so that other text there still counts
    /// in the order.
    fn of(text: &'a str) -> Self {
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if !epoch.is_empty() && is_digits(epoch) => (epoch, rest),
            _ => ("", text),
        };

        // upstream versions may contain hyphens, revisions may not
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch, upstream, revision }
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns what is wrong with a version. Follows dpkg's `parseversion`, except that an upstream version may
/// begin with a letter, about which dpkg only warns.
fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }

    let rest = match text.split_once(':') {
        // dpkg's epochs are integers; nine digits always fit 32 bits
        Some((epoch, _)) if epoch.is_empty() || epoch.len() > 9 || !is_digits(epoch) => {
            return Some("the epoch is not a number");
        }
        Some((_, rest)) => rest,
        None => text,
    };

    let (upstream, revision) = match rest.rsplit_once('-') {
        // a hyphen announces a revision
        Some((_, "")) => return Some("the revision is empty"),
        Some((upstream, revision)) => (upstream, revision),
        None => (rest, ""),
    };

    if upstream.is_empty() {
        Some("the upstream version is empty")
    } else if !has_only(upstream, b"-+._~:") || !has_only(revision, b"+._~") {
        Some("it has characters that are not allowed in versions")
    } else {
        None
    }
}

/// Tells whether a text has only letters, digits and the given marks.
fn has_only(text: &str, marks: &[u8]) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || marks.contains(&byte))
}

/// Compares epochs, upstream versions or revisions (deb-version(7), "Sorting algorithm"): text without digits, then a
/// number, and so on.
fn compare_part(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());

    // after its end a part goes on with empty texts and zeros: `1.0` equals `1.`, and `1.0~` comes before `1.0`
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_number) = take_pair(&mut left);
        let (right_text, right_number) = take_pair(&mut right);
        let order = compare_text(left_text, right_text).then_with(|| compare_number(left_number, right_number));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Splits off the leading text without digits, and the number after it without leading zeros.
fn take_pair<'a>(rest: &mut &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let length = rest.iter().position(u8::is_ascii_digit).unwrap_or(rest.len());
    let (text, after) = rest.split_at(length);

    let length = after.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(after.len());
    let (number, after) = after.split_at(length);
    *rest = after;

    // an absent number, `0` and `00` are all empty now
    let zeros = number.iter().take_while(|&&digit| digit == b'0').count();
    (text, &number[zeros..])
}

/// Compares texts without digits: `~` before the end of the text, the end before letters, letters before
/// everything else.
fn compare_text(left: &[u8], right: &[u8]) -> Ordering {
    for at in 0..left.len().max(right.len()) {
        let order = weight(left.get(at)).cmp(&weight(right.get(at)));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Returns the rank of a byte, or of the end of a text (dpkg's `order`).
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// Compares decimal numbers of any length that have no leading zeros.
fn compare_number(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

/// Hashes a part so that equal parts have equal hashes, whatever their spelling.
fn hash_part<H: Hasher>(mut part: &[u8], state: &mut H) {
    loop {
        let (text, number) = take_pair(&mut part);
        text.hash(state);
        number.hash(state);

        // at least one pair, as an absent revision equals `0`
        if part.is_empty() {
            break;
        }
    }
}

impl fmt::Display for DebianVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for DebianVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for DebianVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DebianVersion {
    // not derived: equality must agree with the order
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DebianVersion {}

impl Hash for DebianVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Parts { epoch, upstream, revision } = Parts::of(&self.0);
        for part in [epoch, upstream, revision] {
            hash_part(part.as_bytes(), state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::DefaultHasher;

    fn hash_of(version: &DebianVersion) -> u64 {
        let mut hasher = DefaultHasher::new();
        version.hash(&mut hasher);
        hasher.finish()
    }

    /// dpkg's `lib/dpkg/t/t-version.c` and `scripts/t/Dpkg_Version.t`.
    #[test]
    fn orders_like_dpkg() {
        use Ordering::*;
        let table = [
            ("0:0-0", Equal, "0:0-0"),
            ("0:00-00", Equal, "0:0-0"),
            ("0", Equal, "0:0-0"),
            ("1.2.3", Equal, "1.2.3"),
            ("4.4.3-2", Equal, "4.4.3-2"),
            ("1:2ab:5", Equal, "1:2ab:5"),
            ("7:1-a:b-5", Equal, "7:1-a:b-5"),
            ("57:1.2.3abYZ+~-4-5", Equal, "57:1.2.3abYZ+~-4-5"),
            ("1.2.3", Equal, "0:1.2.3"),
            ("1.2.3", Equal, "1.2.3-0"),
            ("009", Equal, "9"),
            ("009ab5", Equal, "9ab5"),
            ("1.0", Equal, "1."),
            ("1.2.3", Less, "1.2.3-1"),
            ("1.2.3", Less, "1.2.4"),
            ("1.2.4", Less, "1.2.24"),
            ("0.8.7", Less, "0.10.0"),
            ("3.2", Less, "3.10"),
            ("3.1.1", Less, "3.2"),
            ("0:0-0", Less, "1:0-0"),
            ("0:1-0", Less, "1:0"),
            ("0:0-0", Less, "0:0-1"),
            ("0:0-0", Less, "0:1-0"),
            ("0:1-1.0", Less, "0:1-2.0"),
            ("0.0.0-0", Less, "0.1.1-1"),
            ("1.0~rc1", Less, "1.0"),
            ("1.0~", Less, "1.0"),
            ("1.0~~", Less, "1.0~"),
            ("1.0~~a", Less, "1.0~"),
            ("1.0-1~", Less, "1.0-1"),
            ("1.0-1~bpo12+1", Less, "1.0-1"),
            ("1.0", Less, "1.0a"),
            ("1.0a", Less, "1.0+"),
            ("1.0Z", Less, "1.0a"),
            ("1.0-1", Less, "1.0-1ubuntu1"),
            ("1.0-1ubuntu1", Less, "1.0-1ubuntu1.1"),
            ("1.0-1build1", Less, "1.0-1ubuntu1"),
            ("a0b", Less, "ab"),
            ("99999999999999999999998", Less, "99999999999999999999999"),
            ("2.38-1", Less, "1:0.1"),
            ("1-2-3", Greater, "1-2-2"),
            ("1-2-3", Greater, "1-1-9"),
        ];
        for (left, order, right) in table {
            let (left, right) = (DebianVersion::new(left), DebianVersion::new(right));
            assert_eq!(left.cmp(&right), order, "{left} {right}");
            assert_eq!(right.cmp(&left), order.reverse(), "{right} {left}");
            assert!(order != Equal || hash_of(&left) == hash_of(&right), "{right} {left}");
        }
    }

    #[test]
    fn finds_the_upstream_version() {
        let table = [
            ("1.0", "1.0"),
            ("1:1.0-2ubuntu3", "1.0"),
            ("2:1.0-rc-1", "1.0-rc"),
            ("1:2:3-4", "2:3"),
            ("", ""),
            ("25~36ea-1", "25~36ea"),
        ];
        for (text, upstream) in table {
            assert_eq!(DebianVersion::new(text).upstream(), upstream, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", ":1", "a:1", "1:", "1-", "-1", "1 0", "1/0", "1.0-1-", "ä", "9999999999:1", "1.0\n"] {
            assert!(DebianVersion::parse(text).is_err(), "{text}");
        }
        for text in ["0", "1:2:3-4", "1.0-2+b1", "1.0~rc1-1~deb12u1", "a", "1.0+dfsg-1_1"] {
            assert!(DebianVersion::parse(text).is_ok(), "{text}");
        }
        let message = DebianVersion::parse("1.0-").unwrap_err().to_string();
        assert_eq!(message, "cannot read version `1.0-`: the revision is empty");
    }

    /// Versions in which every stretch without digits has a number other than 0 after it: debversion 0.5.5
    /// takes a missing number for less than 0 and keeps an empty revision, where dpkg sees no difference.
    fn any_version() -> impl Strategy<Value = DebianVersion> {
        "([0-9]{1,2}:)?0?[1-9]{1,3}([abZ~+.-]{1,2}0?[1-9]){0,3}(-0?[1-9]([a~+.]{1,2}0?[1-9]){0,2})?"
            .prop_map(|text| DebianVersion::new(&text))
    }

    proptest! {
        #[test]
        fn agrees_with_debversion(left in any_version(), right in any_version()) {
            let oracle = |version: &DebianVersion| version.as_str().parse::<debversion::Version>();
            if let (Ok(a), Ok(b)) = (oracle(&left), oracle(&right)) {
                prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            }
        }

        #[test]
        fn is_a_total_order(mut versions in prop::collection::vec("[0-1a~+:.é-]{0,5}", 3)) {
            versions.sort();
            let mut versions: Vec<_> = versions.iter().map(|text| DebianVersion::new(text)).collect();
            versions.sort();
            prop_assert!(versions[0] <= versions[1] && versions[1] <= versions[2] && versions[0] <= versions[2]);
            for (left, right) in [(0, 1), (1, 2), (0, 2)] {
                let (left, right) = (&versions[left], &versions[right]);
                prop_assert_eq!(left.cmp(right), right.cmp(left).reverse());
                prop_assert_eq!(left.cmp(left), Ordering::Equal);
                prop_assert!(left != right || hash_of(left) == hash_of(right));
            }
        }

        #[test]
        fn takes_any_text(text in ".*") {
            let _ = DebianVersion::parse(&text);
            let _ = DebianVersion::new(&text).upstream();
        }
    }
}
