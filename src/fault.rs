//! Whose turn it is after an error, and what helps. Every stage's error answers both, so that callers need not know its
//! variants.

/// Who has to act before the same request can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// People: recipes, locks, settings or rights must change. Another try without a change fails as well.
    Input,
    /// The caller: the request itself makes no sense.
    Usage,
    /// Nobody yet: network, archive, registry or disk failed, and another try may succeed.
    Outside,
    /// Whoever decides about policy: a rule refused the result.
    Policy,
    /// The authors of sockel: this is a bug.
    Internal,
}

/// An error that says whose turn it is and what helps.
pub trait Explain: std::error::Error {
    /// Returns who has to act.
    fn turn(&self) -> Turn;

    /// Returns what a person can do about it, one sentence each.
    fn hints(&self) -> Vec<String> {
        Vec::new()
    }

    /// Tells whether the message is a summary line with one reason on each line below it.
    fn lists_reasons(&self) -> bool {
        false
    }

    /// Tells whether the archives have dropped something that a lock names, so that a new lock may help.
    fn asks_for_new_lock(&self) -> bool {
        false
    }

    /// Notes that the archives' newest index lists what they do not have: then a new lock does not help.
    fn note_still_listed(&mut self) {}

    /// Returns the error with that note: for packages that were chosen from an index that was read just now.
    fn still_listed(mut self) -> Self
    where
        Self: Sized,
    {
        self.note_still_listed();
        self
    }
}

/// Returns reasons for a message that lists them ([`Explain::lists_reasons`]): each on a line of its own below the summary.
pub(crate) fn reasons(reasons: impl IntoIterator<Item: std::fmt::Display>) -> String {
    reasons.into_iter().map(|reason| format!("\n  {reason}")).collect()
}

/// Any explained error, where a stage hands on what its caller brought and need not know its type.
#[derive(Debug)]
pub struct AnyError(Box<dyn Explain + Send + Sync>);

impl AnyError {
    /// Wraps an error.
    pub fn new(error: impl Explain + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl std::fmt::Display for AnyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for AnyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Explain for AnyError {
    fn turn(&self) -> Turn {
        self.0.turn()
    }

    fn hints(&self) -> Vec<String> {
        self.0.hints()
    }

    fn lists_reasons(&self) -> bool {
        self.0.lists_reasons()
    }

    fn asks_for_new_lock(&self) -> bool {
        self.0.asks_for_new_lock()
    }

    fn note_still_listed(&mut self) {
        self.0.note_still_listed();
    }
}
