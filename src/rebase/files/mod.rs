//! Whether an application's own files stand in the way of what the new base changes.
//!
//! Only layers that differ are read: the application's own, and those that the old and the new base do not share. Their
//! entries for the same path are compared, and these findings are objections to a move:
//! - the application replaces a file that the new base patches (a library, or dpkg's records): the patch would not reach the
//!   application, and a scanner would read the wrong record;
//! - it has files below a path that is not a folder in the new base, or a folder where the new base has a file or link;
//! - it hides a folder to which the new base adds files;
//! - it has a link to a file that the new base removes.
//!
//! Configuration below `/etc` and documentation are replaced on purpose: such findings are notes.

mod compare;
mod layers;

pub use compare::compare;
pub use layers::StackedLayers;

use crate::rebase::Error;
use crate::rebase::PlatformMove;
use crate::rebase::RebaseOrder;
use crate::rebase::blocking::on_pool;
use crate::rebase::picture::IdentifiedLayer;
use crate::rebase::place::DocumentReader;
use crate::rebase::place::OpenRepository;
use crate::rebase::place::blob_path;
use crate::values::Digest;
use std::collections::BTreeMap;

/// Most bytes that [`FileCheckMode::Auto`] pulls. That much takes seconds from a registry nearby; gigabytes are worth a decision, and
/// [`FileCheckMode::Always`] is one.
pub const AUTO_BYTES: u64 = 200_000_000;

/// Largest layer that is pulled from a registry.
pub(crate) const LARGEST_LAYER: u64 = 16 << 30;

/// Whether layers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileCheckMode {
    /// If at most [`AUTO_BYTES`] have to be pulled for it.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileCheckResult {
    /// Whether layers were compared.
    pub is_checked: bool,
    /// Objections to the move.
    pub reasons: Vec<String>,
    /// Findings that do not prevent the move.
    pub notes: Vec<String>,
}

/// What layers contain at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathEntry {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Permissions, with the set-id and sticky bits.
        mode: u32,
        /// Digest of the content, if files were hashed.
        digest: Option<Digest>,
    },
    /// A symbolic link with its target.
    Link(String),
    /// A device or the like.
    Other,
    /// A whiteout: lower layers have nothing here or below (image-spec layer.md, "Whiteouts").
    Gone,
}

/// The entries of stacked layers. Paths have no slash at either end.
pub type PathEntries = BTreeMap<String, PathEntry>;

/// Which package owns a path.
pub type PathOwners = BTreeMap<String, String>;

/// How the bases differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseDifferences {
    /// Layers that only the old base has.
    pub old: PathEntries,
    /// Layers that only the new base has.
    pub new: PathEntries,
    /// Packages of both.
    pub owners: PathOwners,
}

/// Compares all platforms that move, as far as the request asks for it.
pub(crate) async fn check(
    moves: &[PlatformMove<'_>],
    request: &RebaseOrder<'_>,
    reader: &DocumentReader<'_>,
) -> Result<FileCheckResult, Error> {
    let mut checked = FileCheckResult::default();
    let moves: Vec<&PlatformMove<'_>> = moves.iter().filter(|platform| !platform.is_done()).collect();
    if request.check == FileCheckMode::Never || moves.is_empty() {
        return Ok(checked);
    }

    let bytes = bytes_to_pull(&moves, request, reader);
    if request.check == FileCheckMode::Auto && bytes > AUTO_BYTES {
        checked.notes.push(format!("files are not checked: {} MB would have to be pulled", bytes / 1_000_000));
        return Ok(checked);
    }

    checked.is_checked = true;
    for platform in moves {
        let found = check_platform(platform, request, reader).await?;
        let name = &platform.application.platform;
        checked.reasons.extend(found.reasons.into_iter().map(|text| format!("{name}: {text}")));
        checked.notes.extend(found.notes.into_iter().map(|text| format!("{name}: {text}")));
    }
    Ok(checked)
}

/// Returns the size of all layers that a comparison would have to pull.
fn bytes_to_pull(moves: &[&PlatformMove<'_>], request: &RebaseOrder<'_>, reader: &DocumentReader<'_>) -> u64 {
    // platforms may share layers, which are pulled once
    let mut missing: BTreeMap<Digest, u64> = BTreeMap::new();
    for platform in moves {
        let differing = DifferingLayers::of(platform, request);
        for stack in [differing.own, differing.old, differing.new] {
            let layers = stack.layers.iter().filter(|layer| !stack.place.is_at_hand(&layer.blob, reader));
            missing.extend(layers.map(|layer| (layer.blob.digest, layer.blob.size)));
        }
    }

    // sizes in manifests of strangers may be anything
    missing.values().fold(0, |sum, size| sum.saturating_add(*size))
}

async fn check_platform(
    platform: &PlatformMove<'_>,
    request: &RebaseOrder<'_>,
    reader: &DocumentReader<'_>,
) -> Result<FileCheckResult, Error> {
    let differing = DifferingLayers::of(platform, request);

    // one budget for all three; the application's own files need no digest: that it has a file there at all is the finding
    let own = differing.own.read(StackedLayers::new(layers::limits()), reader).await?;
    let old = differing.old.read(StackedLayers::with_owners(own.limits, PathOwners::new()), reader).await?;
    let new =
        differing.new.read(StackedLayers::with_owners(old.limits, old.owners.unwrap_or_default()), reader).await?;

    let bases = BaseDifferences { old: old.entries, new: new.entries, owners: new.owners.unwrap_or_default() };
    Ok(compare(&own.entries, &bases))
}

/// The layers of one platform that a move affects, or that affect it.
struct DifferingLayers<'a> {
    /// Those of the application above its base.
    own: LayerStack<'a>,
    /// Those that only the old base has.
    old: LayerStack<'a>,
    /// Those that only the new base has.
    new: LayerStack<'a>,
}

impl<'a> DifferingLayers<'a> {
    fn of(platform: &PlatformMove<'a>, request: &RebaseOrder<'a>) -> Self {
        let PlatformMove { application, old, new } = *platform;
        Self {
            own: LayerStack {
                place: request.place,
                layers: application.layers.iter().skip(old.layers.len()).collect(),
            },
            old: LayerStack { place: request.base, layers: layers_missing_in(&old.layers, &new.layers) },
            new: LayerStack { place: request.base, layers: layers_missing_in(&new.layers, &old.layers) },
        }
    }
}

/// Returns the layers that the other list does not have. DiffIDs are compared: other compression changes no file.
fn layers_missing_in<'a>(layers: &'a [IdentifiedLayer], other: &[IdentifiedLayer]) -> Vec<&'a IdentifiedLayer> {
    layers.iter().filter(|layer| other.iter().all(|known| known.diff_id != layer.diff_id)).collect()
}

/// Layers of one place, lowest first.
struct LayerStack<'a> {
    place: &'a OpenRepository<'a>,
    layers: Vec<&'a IdentifiedLayer>,
}

impl LayerStack<'_> {
    /// Reads all layers on top of those that were read before.
    async fn read(&self, mut below: StackedLayers, reader: &DocumentReader<'_>) -> Result<StackedLayers, Error> {
        for layer in &self.layers {
            let folder = self.place.folder_with(&layer.blob, LARGEST_LAYER, reader).await?;
            let path = blob_path(&folder, &layer.blob.digest);
            let media_type = layer.blob.media_type.clone();

            // inflating and hashing gigabytes would stop all requests of this thread: the stack goes to the pool and back
            below = on_pool(move || below.add_blob(&path, &media_type)).await?;
        }
        Ok(below)
    }
}
