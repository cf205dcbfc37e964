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
    /// Where: an absolute path of the image, a key of its configuration (`config.env.NAME`), or a place in a recipe.
    pub path: String,
    /// Name of its [`CheckKind`].
    pub finding: String,
    /// How bad it is.
    pub severity: FindingSeverity,
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
        let Self { path, finding, origin, cause, remedy, .. } = self;
        let origin = origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
        write!(f, "{finding}: `{path}`{origin}: {cause}; {remedy}")
    }
}

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
        found.push(CheckFinding { path, finding, severity: kind.severity, origin, cause, remedy });
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
