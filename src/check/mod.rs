//! Looks at the finished tree of an image before its documents exist: does it start, is it safe, is it complete?
//!
//! - **In**: the complete tree of one image for one platform with origins, its definition, its lock, its packages.
//! - **Out**: [`CheckFinding`]s, and the requests of recipes that had no effect ([`UnusedRequest`]).
//! - **Invariants**: the same input gives the same findings in the same order; nothing of the image is executed; every
//!   length read from a file has a limit. What is judged is the result, whoever caused it: a package, a recipe or a
//!   generator.
//! - **Not here**: what rules say about inputs (`recipe`, `layer`); what happens with findings (`build`, `jobs`).
//!
//! # How to add a check
//! Add a [`CheckKind`] to the file of its topic, list it in that file's `KINDS`, and report it in that file's `run`. A new
//! topic is one more file and one more row of `TOPICS`. Every kind has a planted fault in `tests/it/check.rs`.

mod accounts;
pub mod acceptance;
mod access;
mod copyright;
mod finding;
mod java;
mod libraries;
mod links;
mod locales;
mod minimal;
mod records;
pub mod requests;
mod scripts;
mod secrets;
mod start;
mod view;

pub use finding::CheckFinding;
pub use finding::CheckKind;
pub use finding::FindingSeverity;
pub use requests::UnusedRequest;

use crate::check::finding::FindingList;
use crate::check::view::ImageView;
use crate::layer::unpack::UnpackedPackage;
use crate::lock::file::Lock;
use crate::recipe::ImageDefinition;
use crate::store;
use crate::tree::ContentReader;
use crate::tree::Tree;
use crate::values::Platform;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Version of the checks: part of every build key, so that an image is checked again when they change.
pub const VERSION: u32 = 3;

/// One image for one platform, completely assembled.
#[derive(Debug, Clone, Copy)]
pub struct CheckSubject<'a> {
    /// What the recipes say.
    pub definition: &'a ImageDefinition,
    /// What was locked.
    pub lock: &'a Lock,
    /// The platform.
    pub platform: Platform,
    /// One tree a level, from the root up: what that level adds or replaces.
    pub levels: &'a [Tree],
    /// All levels laid over each other.
    pub whole: &'a Tree,
    /// Package trees by level and name.
    pub packages: &'a [BTreeMap<String, Arc<UnpackedPackage>>],
    /// Reads the bytes of all trees.
    pub contents: &'a ContentReader<'a>,
}

/// What the checks say about one image for one platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// All findings, sorted by path and kind.
    pub findings: Vec<CheckFinding>,
    /// Requests of its recipes that had no effect in this image.
    pub unused: Vec<UnusedRequest>,
}

/// Checks that belong together and share what they look at.
struct CheckTopic {
    /// What it can find.
    kinds: &'static [&'static CheckKind],
    run: fn(&ImageView<'_>, &mut FindingList) -> Result<(), store::Error>,
}

/// All topics.
const TOPICS: &[CheckTopic] = &[
    CheckTopic { kinds: start::KINDS, run: start::run },
    CheckTopic { kinds: libraries::KINDS, run: libraries::run },
    CheckTopic { kinds: scripts::KINDS, run: scripts::run },
    CheckTopic { kinds: links::KINDS, run: links::run },
    CheckTopic { kinds: java::KINDS, run: java::run },
    CheckTopic { kinds: locales::KINDS, run: locales::run },
    CheckTopic { kinds: access::KINDS, run: access::run },
    CheckTopic { kinds: accounts::KINDS, run: accounts::run },
    CheckTopic { kinds: secrets::KINDS, run: secrets::run },
    CheckTopic { kinds: minimal::KINDS, run: minimal::run },
    CheckTopic { kinds: copyright::KINDS, run: copyright::run },
    CheckTopic { kinds: records::KINDS, run: records::run },
];

/// Returns everything that a check can find, in the order of the topics; last what only all images together show.
pub fn kinds() -> impl Iterator<Item = &'static CheckKind> {
    TOPICS.iter().flat_map(|topic| topic.kinds).chain(requests::KINDS).chain(acceptance::KINDS).copied()
}

/// Checks an image.
///
/// # Errors
/// When the store cannot be read. A finding is no error.
pub fn check(subject: CheckSubject<'_>) -> Result<CheckReport, store::Error> {
    let image = ImageView::new(subject)?;
    let mut findings = FindingList::default();
    for topic in TOPICS {
        (topic.run)(&image, &mut findings)?;
    }
    Ok(CheckReport { findings: findings.sorted(), unused: requests::unused(&image) })
}
