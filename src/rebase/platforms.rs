//! The platforms of an application: paired with their bases, and spliced into new documents.

use crate::rebase::Error;
use crate::rebase::RebaseOrder;
use crate::rebase::RebasedPlatform;
use crate::rebase::deliver::RebasedDocuments;
use crate::rebase::judge;
use crate::rebase::judge::SuccessorCase;
use crate::rebase::picture::IdentifiedLayer;
use crate::rebase::picture::PlatformImage;
use crate::rebase::search::CurrentBase;
use crate::rebase::search::NewBase;
use crate::rebase::splice;
use crate::rebase::splice::IndexSplice;
use crate::rebase::splice::SpliceInput;
use crate::rebase::splice::SplicedPlatform;
use serde_json::Value;
use std::collections::BTreeMap;

/// One platform of an application with its bases.
pub(crate) struct PlatformMove<'a> {
    pub(crate) application: &'a PlatformImage,
    pub(crate) old: &'a PlatformImage,
    pub(crate) new: &'a PlatformImage,
}

impl PlatformMove<'_> {
    /// Tells whether the platform has its new base already.
    pub(crate) fn is_done(&self) -> bool {
        self.old.digest == self.new.digest
    }

    /// Sums up what happened to the platform; `spliced` if it moved.
    fn outcome(&self, spliced: Option<&SplicedPlatform>) -> RebasedPlatform {
        let Self { application, old, new } = *self;
        let added = spliced.map_or(&[][..], |spliced| &spliced.added);
        RebasedPlatform {
            platform: application.platform.clone(),
            old_base: old.digest,
            new_base: new.digest,
            kept: spliced.map_or(application.layers.len(), |spliced| spliced.kept),
            replaced: added.len(),
            pull_bytes: bytes_of(added),
            total_bytes: bytes_of(&application.layers[old.layers.len()..]) + bytes_of(&new.layers),
            old: application.digest,
            new: spliced.map_or(application.digest, |spliced| spliced.digest),
        }
    }
}

fn bytes_of(layers: &[IdentifiedLayer]) -> u64 {
    layers.iter().map(|layer| layer.blob.size).sum()
}

/// Pairs every platform with its new base.
///
/// # Errors
/// [`Error::Refused`] with every objection to the new base.
pub(crate) fn pair<'a>(
    request: &'a RebaseOrder<'_>,
    current: &'a BTreeMap<String, CurrentBase>,
    successor: &'a NewBase,
) -> Result<Vec<PlatformMove<'a>>, Error> {
    let (mut moves, mut reasons) = (Vec::new(), Vec::new());
    for application in &request.application.platforms {
        let platform = &application.platform;
        let old = &current.get(platform).expect("the search returned a base for every platform").image;
        let Some(new) = successor.image.platforms.iter().find(|image| image.platform == *platform) else {
            reasons.push(format!("{platform}: the new base `{}` has no image for this platform", successor.name));
            continue;
        };

        // what stays where it is needs no approval
        let paired = PlatformMove { application, old, new };
        if !paired.is_done() {
            let case = SuccessorCase { application, old, new, allows_older: request.older };
            reasons.extend(judge::reasons(&case).into_iter().map(|reason| format!("{platform}: {reason}")));
        }
        moves.push(paired);
    }
    if reasons.is_empty() { Ok(moves) } else { Err(request.refused(reasons)) }
}

/// Makes all new documents, and sums up every platform.
///
/// # Errors
/// [`Error::Refused`] if a platform's documents cannot be made.
pub(crate) fn documents(
    request: &RebaseOrder<'_>,
    moves: &[PlatformMove<'_>],
    current: &BTreeMap<String, CurrentBase>,
    successor: &NewBase,
) -> Result<(RebasedDocuments, Vec<RebasedPlatform>), Error> {
    let mut documents = RebasedDocuments::of(request.application);
    let (mut entries, mut platforms, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for paired in moves {
        let PlatformMove { application, old, new } = *paired;
        if paired.is_done() {
            entries.push(application.descriptor.clone());
            platforms.push(paired.outcome(None));
            continue;
        }
        match splice::splice(&SpliceInput { application, old, new, base_name: &successor.name }) {
            Ok(spliced) => {
                entries.push(index_entry(application, &spliced));
                platforms.push(paired.outcome(Some(&spliced)));
                documents.add(spliced);
            }
            Err(reason) => reasons.push(format!("{}: {reason}", application.platform)),
        }
    }
    if !reasons.is_empty() {
        return Err(request.refused(reasons));
    }

    // an index whose manifests all stay the same stays the same, too
    if let Some(index) = &request.application.index
        && moves.iter().any(|paired| !paired.is_done())
    {
        let parts = IndexSplice {
            application: index,
            application_digest: &request.application.digest,
            old: current.values().find_map(|base| base.index.as_ref()),
            new: successor.image.index.as_ref(),
            base_name: &successor.name,
            base_digest: &successor.image.digest,
        };
        documents.set_index(splice::index(&parts, entries));
    }
    Ok((documents, platforms))
}

/// Returns the index's entry for a new manifest: its platform and annotations stay.
fn index_entry(application: &PlatformImage, spliced: &SplicedPlatform) -> Value {
    let mut entry = application.descriptor.clone();
    entry["digest"] = spliced.digest.to_string().into();
    entry["size"] = spliced.manifest.len().into();
    if let Some(entry) = entry.as_object_mut() {
        // may hold the old manifest itself (image-spec descriptor.md, "Embedded Content")
        entry.remove("data");
    }
    entry
}
