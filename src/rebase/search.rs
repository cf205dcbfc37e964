//! Which base an application stands on, and which one comes after it.
//!
//! Labels and annotations only say where to look: the proof is that the application's layers begin with exactly the
//! base's (by diffID). The longest such beginning wins, because whatever stands on Tomcat stands on its Java, too.

use crate::oci::registry;
use crate::oci::registry::document;
use crate::rebase::Error;
use crate::rebase::judge;
use crate::rebase::picture;
use crate::rebase::picture::Face;
use crate::rebase::picture::Picture;
use crate::rebase::place::Place;
use crate::rebase::place::Reader;
use crate::rebase::splice::BASE_DIGEST;
use crate::rebase::splice::BASE_NAME;
use crate::rebase::splice::moment;
use crate::values::Digest;
use futures_util::StreamExt;
use futures_util::TryStreamExt;
use futures_util::stream;
use serde_json::Value;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// Images of one repository that are looked through, at most.
const MOST: usize = 2000;

/// Most bytes of their manifests: what these say of themselves is kept in memory. Ours have some 3 kB each.
const MOST_BYTES: usize = 16 << 20;

/// Requests under way at one time.
const AHEAD: usize = 16;

/// What an application says about its base; none of it is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// Digests of manifests or indexes.
    pub digests: BTreeSet<Digest>,
    /// `host/repository:tag`, or what else builders write.
    pub names: BTreeSet<String>,
    /// Names of base images: the label is inherited from the base, unless the application has one of its own.
    pub titles: BTreeSet<String>,
    /// Digests of locks.
    pub locks: BTreeSet<String>,
}

/// Returns what an application says about its base. Docker writes nothing, but the base's labels are inherited; buildah
/// writes annotations.
#[must_use]
pub fn trace(application: &Picture) -> Trace {
    let mut trace = Trace::default();
    let index = application.index.as_ref().map(|index| &index["annotations"]);
    let all =
        application.faces.iter().flat_map(|face| [&face.manifest["annotations"], &face.config["config"]["Labels"]]);
    for notes in all.chain(index) {
        let text = |name: &str| notes[name].as_str().filter(|text| !text.is_empty());
        trace.digests.extend(text(BASE_DIGEST).and_then(|text| text.parse::<Digest>().ok()));
        trace.names.extend(text(BASE_NAME).map(str::to_owned));
        trace.titles.extend(text(judge::TITLE).map(str::to_owned));
        trace.locks.extend(text(judge::LOCK).map(str::to_owned));
    }
    trace
}

/// An image of the base's repository, before anybody has looked into it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Tags or names that stand for it; none for one that is only known by its digest.
    pub(crate) references: BTreeSet<String>,
    /// Annotations of its index or manifest.
    notes: Value,
    is_index: bool,
}

impl Listed {
    fn says(&self, name: &str) -> Option<&str> {
        self.notes[name].as_str().filter(|text| !text.is_empty())
    }

    /// Returns how people best write it: as it was written before, else the shortest tag.
    pub(crate) fn best_reference(&self, names: &BTreeSet<String>) -> String {
        let written = |reference: &&String| is_named(reference, names);
        let shortest = || self.references.iter().min_by_key(|reference| (reference.len(), (*reference).clone()));
        let best = self.references.iter().find(written).or_else(shortest);
        best.cloned().unwrap_or_else(|| self.digest.to_string())
    }
}

fn is_named(reference: &str, names: &BTreeSet<String>) -> bool {
    names.iter().any(|name| name == reference || name.ends_with(&format!(":{reference}")))
}

/// Lists the images of the base's repository, and those that the application names by digest.
pub(crate) async fn list(place: &Place<'_>, trace: &Trace, reader: &Reader<'_>) -> Result<Vec<Listed>, Error> {
    // cosign and others keep what refers to images under such tags
    let is_image = |reference: &String| !reference.starts_with("sha256-");
    let references: Vec<String> = place.references().await?.into_iter().filter(is_image).collect();
    let look = |reference: &String| {
        let reference = reference.clone();
        async move { Ok::<_, Error>(place.digest(&reference).await?.map(|digest| (digest, reference))) }
    };
    let found: Vec<Option<(Digest, String)>> =
        stream::iter(references.iter().map(look)).buffered(AHEAD).try_collect().await?;
    let mut by_digest: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
    for (digest, reference) in found.into_iter().flatten() {
        by_digest.entry(digest).or_default().insert(reference);
    }
    if by_digest.len() > MOST {
        return Err(Error::TooMany { place: place.name_of("*"), most: MOST });
    }
    for digest in &trace.digests {
        // what the store knows from elsewhere is not in this repository
        if !by_digest.contains_key(digest) && place.has(digest).await? {
            by_digest.insert(*digest, BTreeSet::new());
        }
    }
    let bytes = Cell::new(0);
    let open = async |(digest, references): (Digest, BTreeSet<String>)| {
        let Some(found) = place.document(&digest.to_string(), reader).await? else { return Ok::<_, Error>(None) };
        bytes.set(bytes.get() + found.bytes.len());
        if bytes.get() > MOST_BYTES {
            let what = format!("list the images of `{}`", place.name_of("*"));
            let cause = format!("their manifests have more than {MOST_BYTES} bytes");
            return Err(registry::Error::Malformed { action: what, cause }.into());
        }
        let media_type = found.descriptor.media_type().to_string();
        let read = document::read(&found.bytes, Some(&media_type)).ok();
        let value: Option<Value> = serde_json::from_slice(&found.bytes).ok();
        Ok(read.zip(value).map(|(read, value)| Listed {
            digest,
            references,
            notes: value["annotations"].clone(),
            is_index: !read.manifests.is_empty(),
        }))
    };
    let all: Vec<Option<Listed>> = stream::iter(by_digest.into_iter().map(open)).buffered(AHEAD).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

/// What one platform of an application stands on.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// That platform of the base.
    pub(crate) face: Face,
    /// The base's index, where it was found through one.
    pub(crate) index: Option<Value>,
    /// Digest that it was found under.
    pub(crate) found_as: Digest,
}

/// Finds what every platform of an application stands on; or says why it is not known.
pub(crate) async fn standing(
    (application, trace): (&Picture, &Trace),
    listed: &[Listed],
    place: &Place<'_>,
    reader: &Reader<'_>,
) -> Result<Result<BTreeMap<String, Standing>, Vec<String>>, Error> {
    let is_likely = |one: &&Listed| {
        trace.digests.contains(&one.digest) || one.says(judge::LOCK).is_some_and(|lock| trace.locks.contains(lock))
    };
    let (likely, others): (Vec<&Listed>, Vec<&Listed>) = listed.iter().partition(is_likely);
    let mut best: BTreeMap<String, (Rank, Standing)> = BTreeMap::new();
    let mut closest: BTreeMap<String, usize> = BTreeMap::new();
    for part in [likely, others] {
        let all = application.faces.iter().all(|face| {
            // an inherited name that fits its image means that no other one comes in between
            best.get(&face.platform).is_some_and(|(_, found)| is_line_of(&found.face, face))
        });
        if all {
            break;
        }
        for one in part {
            let Ok(Some(picture)) = picture::read(place, &one.digest.to_string(), reader).await.or_else(other_kinds)
            else {
                continue;
            };
            for face in &application.faces {
                for base in picture.faces.iter().filter(|base| base.platform == face.platform) {
                    let common = closest.entry(face.platform.clone()).or_default();
                    *common = face.common(base).max(*common);
                    let rank = rank(base, one, (face, trace));
                    let is_better = best.get(&face.platform).is_none_or(|(known, _)| rank > *known);
                    if face.stands_on(base) && is_better {
                        let (face_of, index) = (base.clone(), picture.index.clone());
                        let found = Standing { face: face_of, index, found_as: one.digest };
                        best.insert(face.platform.clone(), (rank, found));
                    }
                }
            }
        }
    }
    let mut unknown = Vec::new();
    for face in &application.faces {
        match best.get(&face.platform) {
            None => unknown.push(format!(
                "{}: it stands on none of the {} image(s) in `{}`: the closest has {} of its {} layers in common",
                face.platform,
                listed.len(),
                place.name_of("*"),
                closest.get(&face.platform).copied().unwrap_or(0),
                face.layers.len(),
            )),
            Some((_, found)) if is_in_between(&found.face, face) => unknown.push(format!(
                "{}: another image of ours lies between it and `{}`: its inherited label `{}` is that one's",
                face.platform,
                found.face.label(judge::TITLE).unwrap_or("its base"),
                judge::LOCK,
            )),
            Some(_) => {}
        }
    }
    let best = best.into_iter().map(|(platform, (_, found))| (platform, found)).collect();
    Ok(if unknown.is_empty() { Ok(best) } else { Err(unknown) })
}

/// What is no image is no base; only what cannot be read at all stops the search.
fn other_kinds(error: Error) -> Result<Option<Picture>, Error> {
    if matches!(error, Error::NotAnImage { .. }) { Ok(None) } else { Err(error) }
}

/// More layers, then named by digest, then the lock that was inherited, then newer; the digest breaks ties.
type Rank = (usize, bool, bool, Option<(i64, u32)>, Reverse<Digest>);

fn rank(base: &Face, listed: &Listed, (application, trace): (&Face, &Trace)) -> Rank {
    let is_named = trace.digests.contains(&base.digest) || trace.digests.contains(&listed.digest);
    let is_inherited = base.label(judge::LOCK).is_some_and(|lock| application.label(judge::LOCK) == Some(lock));
    (base.layers.len(), is_named, is_inherited, judge::created(base), Reverse(base.digest))
}

/// Tells whether an application has inherited the base's own name and lock.
fn is_line_of(base: &Face, application: &Face) -> bool {
    [judge::TITLE, judge::LOCK]
        .iter()
        .all(|name| base.label(name).is_some() && base.label(name) == application.label(name))
}

/// Tells whether the labels that an application has inherited are another image's than those of its base: in the
/// repository of a Java image, a Tomcat application finds that Java, and would keep an old Tomcat without saying so.
fn is_in_between(base: &Face, application: &Face) -> bool {
    let differs = |name: &str| application.label(name).is_some_and(|label| base.label(name) != Some(label));
    differs(judge::LOCK) && differs(judge::TITLE)
}

/// Returns the newest image of the same line that has a tag; the one that the application named wins among equals.
pub(crate) fn successor<'a>(old: &Standing, trace: &Trace, listed: &'a [Listed]) -> Option<&'a Listed> {
    let line = |name: &str| judge::said(&old.face, name);
    let is_of_line = |one: &&Listed| {
        // images that wait for the gate's verdict are not released
        let has_tag = one.references.iter().any(|reference| !reference.starts_with("candidate-"));
        has_tag
            && one.says(judge::TITLE) == line(judge::TITLE)
            && one.says(judge::PARAMETERS) == line(judge::PARAMETERS)
    };
    let key = |one: &&Listed| {
        let is_written = one.references.iter().any(|reference| is_named(reference, &trace.names));
        let is_old = one.digest == old.found_as || one.digest == old.face.digest;
        (one.says(judge::CREATED).and_then(moment), one.is_index, is_written, is_old, Reverse(one.digest))
    };
    listed.iter().filter(is_of_line).max_by_key(key)
}
