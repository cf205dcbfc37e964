//! Patterns of tags: which of them move.

/// Tells whether a tag follows the newest release. A tag that is filled in with `{fixed}` always names one lock, and one
/// with `{date}` one state of the archives.
#[must_use]
pub fn is_moving(pattern: &str) -> bool {
    !pattern.contains("{date}") && !pattern.contains("{fixed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_name_a_state_never_move() {
        assert!(is_moving("11-jre25") && is_moving("{version}"));
        assert!(!is_moving("{version}-{date}") && !is_moving("{fixed}") && !is_moving("{fixed}-debian"));
    }
}
