//! Updates that could not be taken: which package, from which version to which, and what is in the way.

use crate::fault::Turn;
use crate::lock::scripts::UndecidedScript;
use crate::values::Digest;
use crate::values::Epoch;
use crate::values::Platform;
use serde::Serialize;
use std::fmt;

/// A package that stays at its locked version although the archives have a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockedPackage {
    /// Recipe of its level.
    pub level: String,
    /// Binary package name.
    pub package: String,
    /// Source package name.
    pub source: String,
    /// The version that stays; none for a package that a newer version of another one would bring.
    pub locked: Option<String>,
    /// The version that is not taken.
    pub newer: String,
    /// Archive and pocket of the newer version.
    pub from: String,
    /// Platforms on which it stays.
    pub platforms: Vec<Platform>,
    /// What is in the way.
    #[serde(flatten)]
    pub reason: BlockReason,
    /// Scripts with effects that somebody must decide about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<BlockedScript>,
    /// Effects of the locked version that the newer one does not have, where its scripts are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<String>,
    /// Source versions before and after, where they differ from the package's.
    #[serde(skip)]
    pub source_versions: (Option<String>, Option<String>),
    /// SHA-256 of the newer `.deb`.
    #[serde(skip)]
    pub deb: Digest,
}

/// What is in the way of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum BlockReason {
    /// Its scripts have effects that nobody has decided about.
    UndecidedEffects,
    /// It needs to stay together with packages that cannot be taken.
    StaysWith {
        /// Those packages.
        packages: Vec<String>,
    },
    /// There is no choice of packages with it.
    NoSolution {
        /// Why there is none.
        reasons: Vec<String>,
    },
}

/// A script of a newer version, compared with that of the locked version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockedScript {
    /// The script, with the effects to decide about.
    #[serde(flatten)]
    pub script: UndecidedScript,
    /// Lines that differ from the script of the locked version, `+` and `-` before them; none where that script is not
    /// known here, or there was none.
    pub difference: Option<Vec<String>>,
    /// Entry for the ledger, with decision and reason left open.
    pub entry: String,
}

/// A pocket that cannot be read, so that its locked state stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BrokenPocket {
    /// Archive and pocket.
    pub pocket: String,
    /// Date of the state that stays.
    pub state: Epoch,
    /// Why no newer state can be read.
    pub cause: String,
    /// What helps.
    pub hints: Vec<String>,
    /// Who has to act.
    #[serde(skip)]
    pub turn: Turn,
}

impl BlockReason {
    /// Returns the reason in a few words, as locks have it.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::UndecidedEffects => "undecided effects".to_owned(),
            Self::StaysWith { packages } => format!("stays with {}", packages.join(" ")),
            Self::NoSolution { .. } => "no choice of packages".to_owned(),
        }
    }
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UndecidedEffects => f.write_str("its scripts have effects that nobody has decided about"),
            Self::StaysWith { packages } => write!(f, "it has to stay with {}", packages.join(", ")),
            Self::NoSolution { reasons } => write!(f, "there is no choice of packages with it: {}", reasons.join("; ")),
        }
    }
}

impl fmt::Display for BlockedPackage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, newer, from, .. } = self;
        match &self.locked {
            Some(locked) => write!(f, "{package} stays at {locked}, {newer} ({from}) is not taken: {}", self.reason),
            None => write!(f, "{package} {newer} ({from}) is not taken: {}", self.reason),
        }
    }
}

impl fmt::Display for BrokenPocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stays at its state of {}: {}", self.pocket, self.state, self.cause)
    }
}

impl fmt::Display for BlockedScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(difference) = &self.difference else { return self.script.fmt(f) };
        f.write_str(&self.script.heading())?;
        writeln!(f, "what differs from the script of the version that stays:")?;
        for line in difference {
            writeln!(f, "    | {line}")?;
        }
        f.write_str(&self.script.proposal())
    }
}

impl BlockedScript {
    /// Compares a script with that of the locked version.
    pub(super) fn new(script: UndecidedScript, texts: Option<(&[u8], &[u8])>) -> Self {
        let entry = script.ledger_entry();
        let difference =
            texts.map(|(old, new)| difference(&String::from_utf8_lossy(old), &String::from_utf8_lossy(new)));
        Self { script, difference, entry }
    }
}

/// Most lines of a script that are compared; almost all scripts have fewer than 200.
const MOST_COMPARED: usize = 2_000;

/// Most lines of a difference that are shown.
const MOST_SHOWN: usize = 200;

/// Returns the lines that differ between two texts, `-` and `+` before them, in order.
fn difference(old: &str, new: &str) -> Vec<String> {
    let lines = |text: &str| text.lines().take(MOST_COMPARED).map(crate::lock::scripts::printable).collect::<Vec<_>>();
    let (old, new) = (lines(old), lines(new));

    // length of the longest common part of all ends of both (longest common subsequence)
    let width = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let (down, right) = (common[(i + 1) * width + j], common[i * width + j + 1]);
            let same = old[i] == new[j];
            common[i * width + j] = if same { common[(i + 1) * width + j + 1] + 1 } else { down.max(right) };
        }
    }

    let (mut i, mut j, mut all) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1] {
            all.push(format!("-{}", old[i]));
            i += 1;
        } else {
            all.push(format!("+{}", new[j]));
            j += 1;
        }
    }

    let more = all.len().saturating_sub(MOST_SHOWN);
    all.truncate(MOST_SHOWN);
    if more > 0 {
        all.push(format!("({more} more lines)"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_lines() {
        let table = [
            ("a\nb\nc", "a\nx\nc\nd", "-b +x +d"),
            ("", "a", "+a"),
            ("a\nb", "", "-a -b"),
            ("a\nb", "a\nb", ""),
            ("b", "a\nb\nb", "+a +b"),
        ];
        for (old, new, expected) in table {
            assert_eq!(difference(old, new).join(" "), expected, "{old:?} {new:?}");
        }
        let long: String = (0..5_000).map(|number| format!("{number}\n")).collect();
        assert_eq!(difference("", &long).len(), MOST_SHOWN + 1);
    }
}
