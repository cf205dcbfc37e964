//! Tags that never move, chosen by patterns as Harbor's rules do.

use globset::GlobBuilder;

/// Names by a pattern in Harbor's doublestar grammar.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    pub(crate) pattern: String,
    /// All but what fits.
    pub(crate) is_excluding: bool,
}

impl Selector {
    fn selects(&self, text: &str) -> bool {
        doublestar(&self.pattern, text) != self.is_excluding
    }
}

/// Tags that never move.
#[derive(Clone, Debug)]
pub(crate) struct Immutable {
    pub(crate) project: String,
    /// Repositories, named without their project.
    pub(crate) repository: Selector,
    pub(crate) tag: Selector,
}

impl Immutable {
    pub(crate) fn holds(&self, repository: &str, tag: &str) -> bool {
        let (project, name) = repository.split_once('/').unwrap_or(("", repository));
        project == self.project && self.repository.selects(name) && self.tag.selects(tag)
    }
}

/// Tells whether a text fits a pattern where `*` stops at slashes and `**` does not.
fn doublestar(pattern: &str, text: &str) -> bool {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.is_ok_and(|glob| glob.compile_matcher().is_match(text))
}
