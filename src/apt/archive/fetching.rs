//! Gets InRelease and index files from mirrors, one after the other until one works.

use crate::apt::archive::ComponentIndex;
use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::memory::Memory;
use crate::apt::index::Index;
use crate::apt::release::Listed;
use crate::apt::release::Release;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::Answer;
use crate::sys::http::Http;
use crate::sys::http::Stamp;
use crate::values::Digest;
use std::io;
use std::io::Read;
use std::path::Path;

/// Largest InRelease file: real ones have some 150 kB.
const INRELEASE_LIMIT: u64 = 8 << 20;

/// Largest compressed index.
const INDEX_LIMIT: u64 = 256 << 20;

/// Memory that the xz decoder may use.
const XZ_MEMORY: u64 = 256 << 20;

/// An InRelease file, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fetched {
    /// Its bytes.
    pub(super) inrelease: Vec<u8>,
    /// Archive address that it came from.
    pub(super) base: String,
    /// How to ask for changes.
    pub(super) stamp: Stamp,
}

/// Returns the architectures that share their addresses, with those addresses: normally one group.
pub(super) fn groups(pocket: &Pocket) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(Vec<&str>, &Vec<String>)> = Vec::new();
    for architecture in &pocket.architectures {
        let Some(uris) = pocket.uris.get(architecture) else { continue };
        match groups.iter_mut().find(|(_, known)| *known == uris) {
            Some((architectures, _)) => architectures.push(architecture),
            None => groups.push((vec![architecture], uris)),
        }
    }
    groups.into_iter().map(|(architectures, uris)| (architectures.join("+"), uris.clone())).collect()
}

/// Returns the InRelease file of the first address that answers; offline, the remembered one.
pub(super) async fn release(pocket: &Pocket, uris: &[String], http: &Http, memory: &Memory) -> Result<Fetched, Error> {
    let architecture =
        groups(pocket).into_iter().find(|(_, known)| known == uris).map(|(name, _)| name).unwrap_or_default();
    let remembered = memory.file(&architecture);
    if http.is_offline() {
        let nothing =
            || Error::Unreachable { pocket: pocket.label(), causes: vec!["offline, and never seen before".to_owned()] };
        return remembered.map(|(fetched, _)| fetched).ok_or_else(nothing);
    }
    let mut causes = Vec::new();
    for base in uris {
        let url = format!("{base}/dists/{}/InRelease", pocket.suite);
        let known = remembered.as_ref().filter(|(fetched, _)| fetched.base == *base);
        let stamp = known.map(|(_, stamp)| stamp.clone()).unwrap_or_default();
        match http.get_if_modified(&url, INRELEASE_LIMIT, &stamp).await {
            Ok(Answer::New(inrelease, stamp)) => return Ok(Fetched { inrelease, base: base.clone(), stamp }),
            Ok(Answer::NotModified) => {
                if let Some((fetched, _)) = known {
                    return Ok(fetched.clone());
                }
                causes.push(format!("{}: answered 304 to a plain request", http::masked(&url)));
            }
            Err(error) => causes.push(error.to_string()),
        }
    }
    Err(Error::Unreachable { pocket: pocket.label(), causes })
}

/// Reads the indexes of all components for these architectures (`amd64+arm64`).
pub(super) async fn indexes(
    pocket: &Pocket,
    architectures: &str,
    release: &Release,
    base: &str,
    http: &Http,
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<Vec<ComponentIndex>, Error> {
    let mut all = Vec::new();
    for architecture in architectures.split('+') {
        for component in &pocket.components {
            let stem = format!("{component}/binary-{architecture}/Packages");
            let choice = [".xz", ".gz", ""].iter().find_map(|ending| {
                let path = format!("{stem}{ending}");
                release.files.get(&path).map(|listed| (path, listed))
            });
            let (path, listed) = choice.ok_or_else(|| Error::NoIndex { pocket: pocket.label(), path: stem.clone() })?;
            let what = format!("{} {component} {architecture}", pocket.suite);
            reporter.event(Event::Started { stage: Stage::Index, total: listed.size, what: what.clone() });
            let bytes = index_file(pocket, &path, listed, release.by_hash, base, http, folder).await?;
            let whole = release.files.get(&stem);
            let index = read(pocket, &path, &bytes, whole)?;
            reporter.event(Event::Advanced { stage: Stage::Index, by: listed.size });
            reporter.event(Event::Finished { stage: Stage::Index, what });
            all.push(ComponentIndex { component: component.clone(), architecture: architecture.to_owned(), index });
        }
    }
    Ok(all)
}

/// Returns a compressed index with the listed size and digest, from memory or mirror.
async fn index_file(
    pocket: &Pocket,
    path: &str,
    listed: &Listed,
    by_hash: bool,
    base: &str,
    http: &Http,
    folder: &Path,
) -> Result<Vec<u8>, Error> {
    let kept = folder.join("by-hash").join(listed.sha256.hex());
    let is_it = |bytes: &[u8]| bytes.len() as u64 == listed.size && Digest::of(bytes) == listed.sha256;
    let tampered = || Error::Tampered { pocket: pocket.label(), path: path.to_owned() };
    if let Some(bytes) = fs::read(&kept, INDEX_LIMIT).ok().filter(|bytes| is_it(bytes)) {
        return Ok(bytes);
    }
    if listed.size > INDEX_LIMIT {
        return Err(tampered());
    }
    let suite = format!("{base}/dists/{}", pocket.suite);
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    // by-hash survives a mirror that is being updated between two requests
    let hashed = format!("{suite}/{parent}/by-hash/SHA256/{}", listed.sha256.hex());
    let plain = format!("{suite}/{path}");
    let mut causes = Vec::new();
    for url in if by_hash { vec![hashed, plain] } else { vec![plain] } {
        match http.get(&url, listed.size).await {
            Ok(bytes) if is_it(&bytes) => {
                fs::create_dir(&folder.join("by-hash"))?;
                fs::write_atomic(&kept, &bytes)?;
                return Ok(bytes);
            }
            // never silently the next address: wrong bytes are an attack or a broken mirror
            Ok(_) | Err(http::Error::TooLarge { .. }) => return Err(tampered()),
            Err(error) => causes.push(error.to_string()),
        }
    }
    Err(Error::Unreachable { pocket: pocket.label(), causes })
}

/// Decompresses and parses; where the signed file lists the decompressed index too, its digest must match.
fn read(pocket: &Pocket, path: &str, bytes: &[u8], whole: Option<&Listed>) -> Result<Index, Error> {
    let wrong = |cause| Error::Index { pocket: pocket.label(), path: path.to_owned(), cause };
    let stream = decompressed(path, bytes).map_err(|error| wrong(error.into()))?;
    let mut counted = Counted { stream, hasher: crate::values::Hasher::default() };
    let index = Index::read(&mut counted).map_err(wrong)?;
    match whole {
        Some(listed) if counted.hasher.length() != listed.size || counted.hasher.finish() != listed.sha256 => {
            Err(Error::Tampered { pocket: pocket.label(), path: path.to_owned() })
        }
        _ => Ok(index),
    }
}

fn decompressed<'a>(path: &str, bytes: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
    if path.ends_with(".xz") {
        let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)?;
        Ok(Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream)))
    } else if path.ends_with(".gz") {
        Ok(Box::new(flate2::read::MultiGzDecoder::new(bytes)))
    } else {
        Ok(Box::new(bytes))
    }
}

struct Counted<R> {
    stream: R,
    hasher: crate::values::Hasher,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        Ok(length)
    }
}
