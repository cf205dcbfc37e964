//! An application image onto a patched base, without rebuilding it.
//!
//! - **In**: an application image that anybody built `FROM` one of ours (docker build, buildah, kaniko, jib), and the
//!   repository of its base.
//! - **Out**: the same application on the newest compatible base: new configuration, manifest and index, whose upper layers
//!   are the same digests; [`Rebased`] says what that means for those who pull it.
//! - **Invariants**: nothing moves without proof: the application's layers begin with the old base's (by diffID), and the
//!   new base is of the same line ([`judge`]); otherwise every reason against it is told at once. The same inputs give the
//!   same digests; there is no clock. An application on the newest base is left as it is. No layer is read or sent
//!   when both live in one registry, except to check files ([`files`]). Manifests come before tags, and a tag that somebody
//!   else has moved meanwhile is not touched.
//! - **Not here**: new bases (`build`, `publish`), layers of images that we build ourselves ([`crate::layer`]).
//!
//! ```text
//! picture (application) ─► search (old base, successor) ─► judge ─► files ─► splice ─► deliver
//! ```
//!
//! What is not carried over: signatures, SBOMs and attestations name the old digest and are not valid for the new one.
//! BuildKit keeps its attestations in the index; they are dropped, and that is said.

mod deliver;
pub mod files;
pub mod judge;
pub mod merge;
pub mod picture;
pub mod place;
mod search;
pub mod splice;

pub use deliver::Transfer;
pub use picture::Picture;
pub use place::Place;
pub use place::Reader;
pub use search::Trace;
pub use search::trace;

use crate::fault::Explain;
use crate::fault::Turn;
use crate::oci;
use crate::oci::registry;
use crate::rebase::deliver::Documents;
use crate::rebase::judge::Case;
use crate::rebase::picture::Face;
use crate::rebase::search::Standing;
use crate::rebase::splice::Parts;
use crate::rebase::splice::Spliced;
use crate::store;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::shown::shown;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Most reasons that an error names.
const SHOWN: usize = 40;

/// Why an application is not moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A layout folder.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It is no container image, or not a sound one.
    #[error("cannot rebase `{image}`: {cause}")]
    NotAnImage {
        /// Which.
        image: String,
        /// Why not.
        cause: String,
    },
    /// There is no such image.
    #[error("cannot rebase `{image}`: there is no such image")]
    Missing {
        /// Which.
        image: String,
    },
    /// There are more images than anybody can look through.
    #[error("cannot look for bases in `{place}`: it has more than {most} images")]
    TooMany {
        /// Where.
        place: String,
        /// How many may be there.
        most: usize,
    },
    /// It would not be right.
    #[error("cannot rebase `{image}`: {}", list(reasons))]
    Refused {
        /// Which.
        image: String,
        /// Every reason, with its platform.
        reasons: Vec<String>,
    },
    /// Somebody moved the tag meanwhile.
    #[error("cannot rebase `{image}`: its tag has been moved to another image meanwhile")]
    Moved {
        /// Which.
        image: String,
    },
}

impl Error {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Registry(error) => error.hints(),
            Self::File(error) => error.hints(),
            Self::Store(error) => error.hints(),
            Self::Refused { .. } => {
                vec![
                    "name the right base with `--base` or `--onto`, or build the application anew on the new base"
                        .to_owned(),
                ]
            }
            Self::TooMany { .. } => vec!["remove old tags from the repository".to_owned()],
            Self::Moved { .. } => vec!["run the command again".to_owned()],
            Self::Oci(_) | Self::NotAnImage { .. } | Self::Missing { .. } => Vec::new(),
        }
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        match self {
            Self::Registry(error) => error.turn(),
            Self::Oci(error) => error.turn(),
            Self::File(error) => error.turn(),
            Self::Store(error) => error.turn(),
            Self::Refused { .. } => Turn::Policy,
            Self::Moved { .. } => Turn::Outside,
            Self::TooMany { .. } | Self::NotAnImage { .. } | Self::Missing { .. } => Turn::Input,
        }
    }

    fn hints(&self) -> Vec<String> {
        Self::hints(self)
    }

    fn lists_reasons(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

fn list(reasons: &[String]) -> String {
    match reasons {
        [one] => shown(one),
        all => {
            let mut text: String = all.iter().take(SHOWN).map(|reason| format!("\n  {}", shown(reason))).collect();
            if all.len() > SHOWN {
                text += &format!("\n  and {} more", all.len() - SHOWN);
            }
            format!("{} reasons{text}", all.len())
        }
    }
}

/// An application to move, and where.
#[derive(Clone, Copy)]
pub struct Order<'a> {
    /// The application.
    pub application: &'a Picture,
    /// Where it is, and where the result goes.
    pub place: &'a Place<'a>,
    /// The tag, name or digest that it was found under.
    pub reference: &'a str,
    /// Where its bases are.
    pub base: &'a Place<'a>,
    /// The new base; the newest of its line when none is named.
    pub onto: Option<&'a str>,
    /// The named base may be older.
    pub older: bool,
    /// Tags that shall stand for the result.
    pub tags: &'a [String],
    /// Whether layers are read.
    pub check: files::Check,
    /// Only look.
    pub dry_run: bool,
}

/// What became of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rebased {
    /// How people write it.
    pub image: String,
    /// What happened.
    pub state: State,
    /// How people write the base that it stands on now.
    pub base: String,
    /// The image before.
    pub old: Digest,
    /// The image now.
    pub new: Digest,
    /// Its platforms.
    pub platforms: Vec<Platform>,
    /// What the delivery cost; none where nothing was delivered.
    pub transfer: Option<Transfer>,
    /// Tags that did not stand for it before.
    pub tags: Vec<String>,
    /// Whether files of the application were compared with what the base changed.
    pub files_checked: bool,
    /// What people should know.
    pub notes: Vec<String>,
}

/// What happened to an application in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It stands on that base already.
    UpToDate,
    /// It stands on the new base now.
    Rebased,
    /// It would, were this not a dry run.
    WouldRebase,
}

/// What became of one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Platform {
    /// `linux/amd64`
    pub platform: String,
    /// Manifest of the old base.
    pub old_base: Digest,
    /// Manifest of the new base.
    pub new_base: Digest,
    /// Layers that the application had before.
    pub kept: usize,
    /// Layers that it had not.
    pub replaced: usize,
    /// Bytes of those: what a consumer pulls anew.
    pub pull_bytes: u64,
    /// Bytes of all layers.
    pub total_bytes: u64,
    /// Manifest of the application before.
    pub old: Digest,
    /// Manifest of the application now.
    pub new: Digest,
}

/// A base to stand on.
struct Successor {
    picture: Picture,
    name: String,
}

/// Moves an application onto another base.
///
/// # Errors
/// [`Error::Refused`] with every reason; [`Error::Moved`]; others as named. No tag has moved then.
pub async fn rebase(order: &Order<'_>, reader: &Reader<'_>) -> Result<Rebased, Error> {
    let image = order.place.name_of(order.reference);
    let refused = |reasons: Vec<String>| Error::Refused { image: image.clone(), reasons };
    let trace = trace(order.application);
    let listed = search::list(order.base, &trace, reader).await?;
    let standing = search::standing((order.application, &trace), &listed, order.base, reader).await?;
    let standing = standing.map_err(refused)?;
    let successor = successor(order, (&standing, &trace), &listed, reader).await?;
    let moves = moves(order, &standing, &successor).map_err(refused)?;
    let mut notes: Vec<String> = Vec::new();
    let checked = files::check(&moves, order, reader).await?;
    if !checked.reasons.is_empty() {
        return Err(refused(checked.reasons));
    }
    notes.extend(checked.notes);
    let (documents, platforms) = documents(order, (&standing, &successor), &moves, &mut notes).map_err(refused)?;
    let is_same = documents.digest == order.application.digest;
    if !is_same {
        let dropped = |what: &String| format!("dropped, because it is about the old image: {what}");
        notes.extend(order.application.foreign.iter().map(dropped));
    }
    let (transfer, tags) = if order.dry_run {
        (None, deliver::tags_to_move(order, &documents).await?)
    } else {
        deliver::deliver(&documents, order, reader).await?
    };
    let state = match (is_same, order.dry_run) {
        (true, _) => State::UpToDate,
        (false, true) => State::WouldRebase,
        (false, false) => State::Rebased,
    };
    Ok(Rebased {
        image,
        state,
        base: successor.name,
        old: order.application.digest,
        new: documents.digest,
        platforms,
        transfer,
        tags,
        files_checked: checked.is_checked,
        notes,
    })
}

/// Reads the base that was named, or the newest one of the line.
async fn successor(
    order: &Order<'_>,
    (standing, trace): (&BTreeMap<String, Standing>, &Trace),
    listed: &[search::Listed],
    reader: &Reader<'_>,
) -> Result<Successor, Error> {
    let reference = match order.onto {
        Some(reference) => (reference.to_owned(), reference.to_owned()),
        None => {
            let old = standing.values().next().expect("an image has a platform");
            let found = search::successor(old, trace, listed).ok_or_else(|| {
                let title = judge::said(&old.face, judge::TITLE).unwrap_or("without a name");
                let (image, place) = (order.place.name_of(order.reference), order.base.name_of("*"));
                let reason = format!("no tag in `{place}` stands for its base `{title}` with the same parameters");
                Error::Refused { image, reasons: vec![reason] }
            })?;
            (found.digest.to_string(), found.best_reference(&trace.names))
        }
    };
    let (digest, name) = reference;
    let picture = picture::read(order.base, &digest, reader).await?;
    let picture = picture.ok_or_else(|| Error::Missing { image: order.base.name_of(&name) })?;
    Ok(Successor { picture, name: order.base.name_of(&name) })
}

/// One platform of an application with its bases.
pub(crate) struct Move<'a> {
    pub(crate) application: &'a Face,
    pub(crate) old: &'a Face,
    pub(crate) new: &'a Face,
}

impl Move<'_> {
    /// Tells whether there is nothing to do.
    pub(crate) fn is_done(&self) -> bool {
        self.old.digest == self.new.digest
    }
}

/// Pairs every platform with its new base, or returns every reason why that is not right.
fn moves<'a>(
    order: &'a Order<'_>,
    standing: &'a BTreeMap<String, Standing>,
    successor: &'a Successor,
) -> Result<Vec<Move<'a>>, Vec<String>> {
    let (mut moves, mut reasons) = (Vec::new(), Vec::new());
    for application in &order.application.faces {
        let platform = &application.platform;
        let old = &standing.get(platform).expect("every platform stands on something").face;
        let Some(new) = successor.picture.faces.iter().find(|face| face.platform == *platform) else {
            reasons.push(format!("{platform}: the new base `{}` has no image for it", successor.name));
            continue;
        };
        let one = Move { application, old, new };
        if !one.is_done() {
            let against = judge::reasons(&Case { application, old, new, older: order.older });
            reasons.extend(against.into_iter().map(|reason| format!("{platform}: {reason}")));
        }
        moves.push(one);
    }
    if reasons.is_empty() { Ok(moves) } else { Err(reasons) }
}

/// Makes all new documents.
fn documents(
    order: &Order<'_>,
    (standing, successor): (&BTreeMap<String, Standing>, &Successor),
    moves: &[Move<'_>],
    notes: &mut Vec<String>,
) -> Result<(Documents, Vec<Platform>), Vec<String>> {
    let mut documents = Documents::of(order.application);
    let (mut children, mut platforms, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    let mut both: BTreeSet<String> = BTreeSet::new();
    for one in moves {
        let Move { application, old, new } = *one;
        if one.is_done() {
            children.push(application.descriptor.clone());
            platforms.push(outcome(one, None));
            continue;
        }
        match splice::splice(&Parts { application, old, new, base_name: &successor.name }) {
            Ok(spliced) => {
                children.push(child(application, &spliced));
                platforms.push(outcome(one, Some(&spliced)));
                both.extend(spliced.both.iter().cloned());
                documents.add(spliced);
            }
            Err(reason) => reasons.push(format!("{}: {reason}", application.platform)),
        }
    }
    if !reasons.is_empty() {
        return Err(reasons);
    }
    notes.extend(both.iter().map(|name| format!("`{name}` stays as the application has it; the base has changed it")));
    if let Some(index) = &order.application.index
        && moves.iter().any(|one| !one.is_done())
    {
        let old = standing.values().find_map(|found| found.index.as_ref());
        let new = (successor.name.as_str(), &successor.picture.digest);
        let of = (index, &order.application.digest);
        documents.set_index(splice::index(of, children, (old, new), successor.picture.index.as_ref()));
    }
    Ok((documents, platforms))
}

/// Returns the index's entry for a new manifest; what it says about the platform stays.
fn child(application: &Face, spliced: &Spliced) -> Value {
    let mut entry = application.descriptor.clone();
    entry["digest"] = spliced.digest.to_string().into();
    entry["size"] = spliced.manifest.len().into();
    if let Some(entry) = entry.as_object_mut() {
        // the manifest itself may be embedded (image-spec descriptor.md, "Embedded Content")
        entry.remove("data");
    }
    entry
}

fn outcome(one: &Move<'_>, spliced: Option<&Spliced>) -> Platform {
    let own = one.application.layers.iter();
    let bytes = |layers: &[picture::Layer]| layers.iter().map(|layer| layer.blob.size).sum::<u64>();
    let brought = spliced.map_or(&[][..], |spliced| &spliced.brought);
    let total = own.skip(one.old.layers.len()).chain(&one.new.layers).map(|layer| layer.blob.size).sum();
    Platform {
        platform: one.application.platform.clone(),
        old_base: one.old.digest,
        new_base: one.new.digest,
        kept: spliced.map_or(one.application.layers.len(), |spliced| spliced.kept),
        replaced: brought.len(),
        pull_bytes: bytes(brought),
        total_bytes: total,
        old: one.application.digest,
        new: spliced.map_or(one.application.digest, |spliced| spliced.digest),
    }
}
