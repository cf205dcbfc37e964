//! Names that Kubernetes and its workflow engines accept.

use crate::values::Digest;

/// Longest DNS label (RFC 1123 §2.1); Tekton and Argo name tasks by such labels.
const LONGEST: usize = 63;
/// Digits of a digest that keep changed names apart: 32 bits for the few hundred names of one pipeline.
const DIGITS: usize = 8;

/// Returns a DNS label for a text: the text itself if it is one, otherwise its allowed characters and digits of its digest.
#[must_use]
pub(super) fn label(text: &str) -> String {
    // Names that are labels already stay as they are, so that people find their images.
    if is_label(text) {
        return text.to_owned();
    }

    let allowed: String = text.chars().map(|c| if is_allowed(c) { c } else { '-' }).collect();
    let prefix: String = allowed.trim_matches('-').chars().take(LONGEST - DIGITS - 1).collect();

    // Of the whole text, so that `a.b` and `a_b`, or two long names with the same beginning, stay different.
    let digits = &Digest::of(text.as_bytes()).hex()[..DIGITS];
    match prefix.trim_end_matches('-') {
        "" => digits.to_owned(),
        prefix => format!("{prefix}-{digits}"),
    }
}

fn is_allowed(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-'
}

/// Tells whether a text is a DNS label (RFC 1123 §2.1).
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && text.chars().all(is_allowed) && text.trim_matches('-') == text
}

/// Returns the label of a job, such as `publish-tomcat-11`.
///
/// All job names contain a colon and no image name does. Replacing the colon keeps names apart unless an image has the
/// name of another image's job; for those the label gets digits.
#[must_use]
pub(super) fn task(job: &str) -> String {
    match job.split_once(':') {
        Some(("publish", image)) => label(&format!("publish-{image}")),
        // `build:a:amd64` and the image `a-amd64` must not get the same label.
        _ => label(job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels() {
        let long = "a".repeat(70);
        for (text, expected) in [
            ("tomcat-11", "tomcat-11"),
            ("ubuntu-26.04", "ubuntu-26-04-"),
            ("a-", "a-"),
            ("..", ""),
            (long.as_str(), &long[..54]),
        ] {
            let label = label(text);
            assert!(label.starts_with(expected), "{text}: {label}");
        }
        assert_eq!(task("publish:java-21"), "publish-java-21");
        assert_ne!(label("a.b"), label("a-b"));
    }

    proptest! {
        #[test]
        fn are_valid_and_differ(one in "[a-z0-9.:-]{0,80}", other in "[a-z0-9.:-]{0,80}") {
            let (a, b) = (label(&one), label(&other));
            prop_assert!(!a.is_empty() && a.len() <= 63);
            prop_assert!(a.starts_with(|c: char| c.is_ascii_alphanumeric()) && a.ends_with(|c: char| c.is_ascii_alphanumeric()));
            prop_assert!(a.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
            prop_assert_eq!(one == other, a == b);
        }
    }
}
