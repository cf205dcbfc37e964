//! Moves an application image onto a patched base without rebuilding it.
//!
//! - **In**: an application image that anybody built `FROM` one of ours (docker build, buildah, kaniko, jib), and the
//!   repository of its base.
//! - **Out**: the same application on the newest compatible base: a new configuration, manifest and index, whose upper layers
//!   have the same digests. [`RebaseResult`] says what that means for those who pull it.
//! - **Invariants**: nothing moves without proof. The application's layers begin with the old base's (by diffID), and the new
//!   base is of the same line ([`judge`]); otherwise all objections are reported together. The same inputs give the same
//!   digests: no clock is read. An application on the newest base is not touched. No layer is read or sent if both are in one
//!   registry, except to check files ([`files`]). Manifests are written before tags, and a tag that somebody else moved in the
//!   meantime is not touched.
//! - **Not here**: new bases (`build`, `publish`), layers of images that we build ourselves ([`crate::layer`]).
//!
//! ```text
//! picture (application) ─► search (old base, successor) ─► judge ─► files ─► splice ─► deliver
//! ```
//!
//! Signatures, SBOMs and attestations are not carried over: they name the old digest and are not valid for the new one.
//! BuildKit keeps its attestations in the index; they are dropped, with a note.

mod blocking;
mod deliver;
mod error;
pub mod files;
pub mod judge;
pub mod merge;
pub mod picture;
pub mod place;
mod platforms;
mod search;
pub mod splice;
pub mod time;

pub use deliver::TransferSummary;
pub use error::Error;
pub use picture::LoadedImage;
pub use place::DocumentReader;
pub use place::OpenRepository;
pub use search::BaseHints;
pub use search::trace;

use crate::rebase::platforms::PlatformMove;
use crate::rebase::search::BaseSearch;
use crate::values::Digest;
use serde::Serialize;

/// A request to move an application onto another base.
#[derive(Clone, Copy)]
pub struct RebaseOrder<'a> {
    /// The application.
    pub application: &'a LoadedImage,
    /// Where the application is, and where the result goes.
    pub place: &'a OpenRepository<'a>,
    /// The tag, name or digest of the application.
    pub reference: &'a str,
    /// Where its bases are.
    pub base: &'a OpenRepository<'a>,
    /// The new base. By default, the newest of the current base's line.
    pub onto: Option<&'a str>,
    /// Whether the new base may be older than the current one.
    pub older: bool,
    /// Tags that will point to the result.
    pub tags: &'a [String],
    /// Whether layers are read to compare files.
    pub check: files::FileCheckMode,
    /// Whether to report only, and write nothing.
    pub dry_run: bool,
}

impl RebaseOrder<'_> {
    fn refused(&self, reasons: Vec<String>) -> Error {
        Error::Refused { image: self.place.name_of(self.reference), reasons }
    }
}

/// The result of a move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RebaseResult {
    /// Reference of the application.
    pub image: String,
    /// What happened.
    pub state: RebaseState,
    /// Reference of its base after the move.
    pub base: String,
    /// Digest of the application before.
    pub old: Digest,
    /// Digest of the application after.
    pub new: Digest,
    /// Its platforms.
    pub platforms: Vec<RebasedPlatform>,
    /// What was transferred; none if nothing was written.
    pub transfer: Option<TransferSummary>,
    /// Tags that moved to the result.
    pub tags: Vec<String>,
    /// Whether files of the application were compared with what the base changed.
    pub files_checked: bool,
    /// Findings that did not prevent the move.
    pub notes: Vec<String>,
}

/// What happened to an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebaseState {
    /// It has that base already.
    UpToDate,
    /// It was moved onto the new base.
    Rebased,
    /// It would have been moved, but this was a dry run.
    WouldRebase,
}

/// What happened to one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RebasedPlatform {
    /// `linux/amd64`
    pub platform: String,
    /// Digest of the old base's manifest.
    pub old_base: Digest,
    /// Digest of the new base's manifest.
    pub new_base: Digest,
    /// Number of layers that the application had before.
    pub kept: usize,
    /// Number of layers that it did not have before.
    pub replaced: usize,
    /// Bytes of the layers that it did not have before: what a consumer pulls.
    pub pull_bytes: u64,
    /// Bytes of all layers.
    pub total_bytes: u64,
    /// Digest of the application's manifest before.
    pub old: Digest,
    /// Digest of the application's manifest after.
    pub new: Digest,
}

/// Moves an application onto another base.
///
/// # Errors
/// [`Error::Refused`] with every objection; [`Error::Moved`]; others as named. No tag has moved then.
pub async fn rebase(request: &RebaseOrder<'_>, reader: &DocumentReader<'_>) -> Result<RebaseResult, Error> {
    let trace = trace(request.application);
    let search = BaseSearch { request, trace: &trace, reader };
    let candidates = search.candidates().await?;
    let current = search.current_bases(&candidates).await?;
    let successor = search.successor(&current, &candidates).await?;

    // objections that cost nothing come before those that need layers to be read
    let moves = platforms::pair(request, &current, &successor)?;
    let checked = files::check(&moves, request, reader).await?;
    if !checked.reasons.is_empty() {
        return Err(request.refused(checked.reasons));
    }

    // documents are made in a dry run, too: their digests are the answer
    let (documents, platforms) = platforms::documents(request, &moves, &current, &successor)?;
    let is_same = documents.digest == request.application.digest;
    let mut notes = checked.notes;
    for name in &documents.conflicts {
        notes.push(format!("`{name}` keeps the application's value; the new base has changed it, too"));
    }
    // an index that stays the same keeps its attestations
    if !is_same {
        let foreign = request.application.foreign.iter();
        notes.extend(foreign.map(|entry| format!("dropped, because it describes the old image: {entry}")));
    }

    let (transfer, tags) = if request.dry_run {
        (None, deliver::tags_to_move(request, &documents).await?)
    } else {
        deliver::deliver(&documents, request, reader).await?
    };
    let state = match (is_same, request.dry_run) {
        (true, _) => RebaseState::UpToDate,
        (false, true) => RebaseState::WouldRebase,
        (false, false) => RebaseState::Rebased,
    };
    Ok(RebaseResult {
        image: request.place.name_of(request.reference),
        state,
        base: successor.name,
        old: request.application.digest,
        new: documents.digest,
        platforms,
        transfer,
        tags,
        files_checked: checked.is_checked,
        notes,
    })
}
