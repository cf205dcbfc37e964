//! A finding: what is wrong where, why, and what to do about it.

use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSeverity {
    /// The image is not finished until somebody mends or accepts it.
    Error,
    /// Somebody should look at it.
    Warning,
}

/// Something that a check can find.
#[derive(Debug, PartialEq, Eq)]
pub struct CheckKind {
    /// Name, for acceptances and programs.
    pub name: &'static str,
    /// How bad it is.
    pub severity: FindingSeverity,
    /// What it means, in one sentence.
    pub about: &'static str,
}

/// Returns a kind whose findings stop an image.
pub(super) const fn error(name: &'static str, about: &'static str) -> CheckKind {
    CheckKind { name, severity: FindingSeverity::Error, about }
}

/// Returns a kind whose findings people should look at.
pub(super) const fn warning(name: &'static str, about: &'static str) -> CheckKind {
    CheckKind { name, severity: FindingSeverity::Warning, about }
}

/// Something that is wrong with an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CheckFinding {
    /// Where: an absolute path of the image, a key of its configuration (`config.env.NAME`), or a line of a recipe.
    pub path: String,
    /// Name of its [`CheckKind`].
    pub finding: String,
    /// How bad it is.
    pub severity: FindingSeverity,
    /// File and number of a line of a recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What brought the path into the image; absent where it is no path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<EntryOrigin>,
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for CheckFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(&[self.title()]))
    }
}

impl CheckFinding {
    /// Returns findings as lines for people, in their order. A package may have a hundred scripts for one interpreter
    /// that is missing: findings of one origin with the same cause and remedy share a line.
    #[must_use]
    pub fn lines<'f>(findings: impl IntoIterator<Item = &'f Self>) -> Vec<String> {
        let mut groups: Vec<(&Self, Vec<String>)> = Vec::new();
        let mut places = BTreeMap::new();
        for finding in findings {
            let Self { finding: name, origin, cause, remedy, .. } = finding;
            let group = *places.entry((name, origin, cause, remedy)).or_insert(groups.len());
            match groups.get_mut(group) {
                Some((_, titles)) => titles.push(finding.title()),
                None => groups.push((finding, vec![finding.title()])),
            }
        }
        groups.iter().map(|(finding, titles)| finding.line(titles)).collect()
    }

    fn title(&self) -> String {
        let place = self.place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
        format!("`{}`{place}", self.path)
    }

    /// Returns the line of a finding that several paths share.
    fn line(&self, titles: &[String]) -> String {
        let Self { finding, origin, cause, remedy, .. } = self;
        let shown = titles.get(..MOST_SHOWN).unwrap_or(titles);
        let others = match titles.len() - shown.len() {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let origin = origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        format!("{finding}: {}{others}{origin}: {cause}; {remedy}", shown.join(", "))
    }
}

/// Most paths that a line for people names.
const MOST_SHOWN: usize = 3;

/// Most findings of one kind that are kept: nobody reads more, and a hostile package could cause any number.
const MOST: usize = 200;

/// Findings while an image is checked, by kind.
#[derive(Debug, Default)]
pub(super) struct FindingList {
    findings: BTreeMap<&'static str, Vec<CheckFinding>>,
}

/// Where a finding is, and why.
pub(super) struct FindingDetails<'a> {
    pub(super) path: String,
    pub(super) origin: Option<&'a EntryOrigin>,
    pub(super) cause: String,
    pub(super) remedy: String,
}

impl FindingList {
    /// Adds a finding.
    pub(super) fn add(&mut self, kind: &CheckKind, details: FindingDetails<'_>) {
        let found = self.findings.entry(kind.name).or_default();
        if found.len() >= MOST {
            return;
        }
        let FindingDetails { path, origin, cause, remedy } = details;
        let (finding, origin) = (kind.name.to_owned(), origin.cloned());
        found.push(CheckFinding { path, finding, severity: kind.severity, place: None, origin, cause, remedy });
    }

    /// Adds a finding about a path of the image.
    pub(super) fn at(
        &mut self,
        entry: &TreeEntry,
        kind: &CheckKind,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (path, cause, remedy) = (format!("/{}", entry.path), cause.into(), remedy.into());
        self.add(kind, FindingDetails { path, origin: Some(&entry.origin), cause, remedy });
    }

    /// Returns all findings: errors first, then by path. Each once.
    pub(super) fn sorted(self) -> Vec<CheckFinding> {
        let mut findings: Vec<CheckFinding> = self.findings.into_values().flatten().collect();
        findings.sort_by(|first, second| (first.severity, first).cmp(&(second.severity, second)));
        findings.dedup();
        findings
    }
}
