//! The Packages indexes of a verified Release file: choose them, fetch them by digest.

use crate::apt::archive::ComponentIndex;
use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::memory;
use crate::apt::archive::mirrors::MirrorRefusals;
use crate::apt::archive::place;
use crate::apt::archive::reading;
use crate::apt::release::ListedFile;
use crate::apt::release::ReleaseFile;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::DownloadPiece;
use crate::sys::http::DownloadTarget;
use crate::sys::http::HttpClient;
use crate::values::DigestHasher;
use futures_util::future;
use sha2::Digest as _;
use sha2::Sha512;
use std::collections::BTreeSet;
use std::path::Path;

/// Forms of an index, smallest download first: suffix and how to read it.
const FORMS: [(&str, IndexCompression); 5] = [
    (".xz", IndexCompression::Xz),
    (".zst", IndexCompression::Zstd),
    (".lzma", IndexCompression::Lzma),
    (".gz", IndexCompression::Gzip),
    ("", IndexCompression::Plain),
];

/// What an index that holds for every architecture has as its own.
pub(super) const EVERY_ARCHITECTURE: &str = "all";

/// Largest compressed index.
const SIZE_LIMIT: u64 = 512 << 20;

/// How an index is compressed.
#[derive(Debug, Clone, Copy)]
pub(super) enum IndexCompression {
    Xz,
    Zstd,
    /// The format before xz.
    Lzma,
    Gzip,
    Plain,
}

/// An index that will be read.
pub(super) struct SelectedIndex {
    pub(super) component: String,
    pub(super) architecture: String,
    /// Path below the suite.
    pub(super) path: String,
    /// Size and digests of the file at that path.
    pub(super) listed: ListedFile,
    /// Size and digests of the decompressed index, where listed.
    pub(super) plain: Option<ListedFile>,
    pub(super) form: IndexCompression,
}

/// An address of an index.
struct IndexAddress {
    url: String,
    /// It is asked because another one, which leaves no doubt, has nothing.
    is_second: bool,
}

/// Everything needed to fetch and read the indexes of a pocket.
pub(super) struct IndexFetcher<'a> {
    pub(super) pocket: &'a Pocket,
    pub(super) http: &'a HttpClient,
    pub(super) folder: &'a Path,
    pub(super) release: &'a ReleaseFile,
    pub(super) reporter: &'a dyn ProgressReporter,
    /// Guessed addresses that proved to be no mirrors.
    pub(super) refused: &'a BTreeSet<String>,
}

impl IndexFetcher<'_> {
    /// Chooses the indexes and fetches the missing ones, all at once.
    ///
    /// # Errors
    /// [`Error::NoComponent`]; [`Error::IndexGone`] when all mirrors lack one in every form; [`Error::WrongDigest`]
    /// without asking another mirror.
    pub(super) async fn complete(&self) -> Result<Vec<SelectedIndex>, Error> {
        let wanted = self.wanted()?;
        future::try_join_all(wanted.into_iter().map(|forms| self.fetch(forms))).await
    }

    /// Returns every index that is needed, each in all the forms in which the archive lists it, the best first.
    fn wanted(&self) -> Result<Vec<Vec<SelectedIndex>>, Error> {
        if place::is_flat(&self.pocket.suite) {
            let forms = self.forms(place::FLAT_COMPONENT, EVERY_ARCHITECTURE, "Packages");
            return if forms.is_empty() { Err(self.no_component("Packages", "any")) } else { Ok(vec![forms]) };
        }

        let (mut wanted, mut of_all) = (Vec::new(), Vec::new());
        for component in &self.pocket.components {
            // an archive that splits packages of `all` off says so by listing the architecture; one that keeps both ways
            // says which to read (Debian repository format, "No-Support-for-Architecture-all")
            let all = match self.release.has_own_index_of_all() {
                true => self.of_component(component, EVERY_ARCHITECTURE),
                false => Vec::new(),
            };
            for architecture in &self.pocket.architectures {
                let forms = self.of_component(component, architecture);
                if !forms.is_empty() {
                    wanted.push(forms);
                } else if all.is_empty() {
                    return Err(self.no_component(component, architecture));
                }
            }
            if !all.is_empty() {
                of_all.push(all);
            }
        }
        wanted.extend(of_all);
        Ok(wanted)
    }

    fn no_component(&self, component: &str, architecture: &str) -> Error {
        let (component, architecture) = (component.to_owned(), architecture.to_owned());
        Error::NoComponent { pocket: self.pocket.title(), component, architecture }
    }

    fn of_component(&self, component: &str, architecture: &str) -> Vec<SelectedIndex> {
        self.forms(component, architecture, &format!("{component}/binary-{architecture}/Packages"))
    }

    /// Returns the forms in which an index is listed.
    fn forms(&self, component: &str, architecture: &str, plain_path: &str) -> Vec<SelectedIndex> {
        let mut found = Vec::new();
        for (suffix, form) in FORMS {
            let path = format!("{plain_path}{suffix}");
            if let Some(listed) = self.release.listed.get(&path).filter(|listed| listed.size <= SIZE_LIMIT) {
                found.push(SelectedIndex {
                    component: component.to_owned(),
                    architecture: architecture.to_owned(),
                    path,
                    listed: listed.clone(),
                    // archives list the plain file even where they do not serve it
                    plain: self.release.listed.get(plain_path).cloned(),
                    form,
                });
            }
        }
        found
    }

    /// Fetches an index into the folder, unless it is there already, in the first form that a mirror has. Returns that
    /// one.
    async fn fetch(&self, forms: Vec<SelectedIndex>) -> Result<SelectedIndex, Error> {
        // the size is enough here: the digest is verified when the index is read
        let is_kept = |choice: &SelectedIndex| {
            fs::size(&memory::by_hash(self.folder, &choice.listed.sha256)) == Some(choice.listed.size)
        };
        let mut forms = forms;
        if let Some(place) = forms.iter().position(is_kept) {
            return Ok(forms.swap_remove(place));
        }

        let mut first_failure = None;
        for choice in forms {
            if self.http.is_offline() {
                return Err(Error::Offline { pocket: self.pocket.title(), what: choice.path });
            }
            let title = format!("{} {} {}", self.pocket.suite, choice.component, choice.architecture);
            let total = choice.listed.size;
            self.reporter.event(ProgressEvent::Started { stage: ProgressStage::Index, total, what: title.clone() });
            match self.fetch_from_mirrors(&choice).await {
                Ok(()) => {
                    self.reporter.event(ProgressEvent::Finished { stage: ProgressStage::Index, what: title });
                    return Ok(choice);
                }
                // listed is not served: some mirrors leave forms out
                Err(error @ Error::IndexGone { .. }) => _ = first_failure.get_or_insert(error),
                Err(error) => return Err(error),
            }
        }
        Err(first_failure.unwrap_or_else(|| self.no_component("Packages", "any")))
    }

    /// Fetches an index from the first mirror that has it.
    async fn fetch_from_mirrors(&self, choice: &SelectedIndex) -> Result<(), Error> {
        let mut refusals = MirrorRefusals::default();
        for base in self.bases(&choice.architecture) {
            for IndexAddress { url, is_second } in self.addresses(base, choice) {
                match self.fetch_from(&url, choice).await {
                    Ok(()) => return Ok(()),
                    // the name beside the digest serves the newest state, which may be another one by now
                    Err(Error::Http(error @ http::Error::WrongSize { .. })) if is_second => {
                        refusals.add_miss(error.to_string());
                    }
                    Err(Error::Http(error)) if error.is_servers() => refusals.add(&error),
                    // who is only guessed to be a mirror may be none
                    Err(error @ Error::WrongDigest { .. }) if is_second || self.pocket.guessed.contains(base) => {
                        refusals.add_miss(error.cause());
                    }
                    // asking elsewhere would hide an attack on this mirror
                    Err(error) => return Err(error),
                }
            }
        }

        if refusals.causes.is_empty() || !refusals.all_lack_it() {
            return Err(refusals.unreachable(self.pocket));
        }
        // the archive may have moved on since its InRelease was fetched, so the caller asks for that again
        let (pocket, path, causes) = (self.pocket.title(), choice.path.clone(), refusals.causes);
        Err(Error::IndexGone { pocket, path, causes })
    }

    /// Returns the archive roots that serve an architecture, without those that proved to be none.
    fn bases(&self, architecture: &str) -> Vec<&str> {
        let bases = match architecture {
            EVERY_ARCHITECTURE => self.pocket.anchors(),
            _ => self.pocket.mirrors(architecture).iter().map(String::as_str).collect(),
        };
        bases.into_iter().filter(|base| !self.refused.contains(*base)).collect()
    }

    /// Returns the addresses of an index below one root: first by digest where the archive offers it, so that a newer
    /// version does not take the place of the listed one, then by name, because partial mirrors leave those folders out.
    fn addresses(&self, base: &str, choice: &SelectedIndex) -> Vec<IndexAddress> {
        let suite = place::suite_folder(base, &self.pocket.suite);
        let by_name = format!("{suite}/{}", place::encoded(&choice.path));
        if !self.release.by_hash {
            return vec![IndexAddress { url: by_name, is_second: false }];
        }
        let folder = by_name.rsplit_once('/').map_or(&*suite, |(folder, _)| folder);
        let by_hash = format!("{folder}/by-hash/SHA256/{}", choice.listed.sha256.hex());
        vec![IndexAddress { url: by_hash, is_second: false }, IndexAddress { url: by_name, is_second: true }]
    }

    /// Fetches an index from one address, and keeps it if it has the listed digests.
    async fn fetch_from(&self, url: &str, choice: &SelectedIndex) -> Result<(), Error> {
        let file = fs::temporary(&self.folder.join(memory::BY_HASH))?;

        // a download that restarts is hashed from the beginning, but its progress is reported only once
        let mut sums = IndexHasher::of(Some(&choice.listed));
        let mut received = 0;
        let mut reported = 0;
        let mut sink = |piece: DownloadPiece<'_>| match piece {
            DownloadPiece::Restarted => (sums, received) = (IndexHasher::of(Some(&choice.listed)), 0),
            DownloadPiece::Bytes(bytes) => {
                sums.update(bytes);
                received += bytes.len() as u64;
                if received > reported {
                    self.reporter
                        .event(ProgressEvent::Advanced { stage: ProgressStage::Index, by: received - reported });
                    reported = received;
                }
            }
        };
        let target = DownloadTarget { path: file.path(), size: choice.listed.size };
        self.http.download(url, target, &mut sink).await.map_err(Error::Http)?;

        // only verified bytes get their name in the folder
        if let Err((expected, found)) = sums.compare(&choice.listed) {
            return Err(Error::WrongDigest { pocket: self.pocket.title(), url: http::mask(url), expected, found });
        }
        Ok(fs::publish(file, &memory::by_hash(self.folder, &choice.listed.sha256))?)
    }

    /// Reads the fetched indexes.
    ///
    /// # Errors
    /// As [`reading::read`], for the first index that fails.
    pub(super) fn read(&self, choices: &[SelectedIndex]) -> Result<Vec<ComponentIndex>, Error> {
        let jobs: Vec<(&Pocket, &SelectedIndex)> = choices.iter().map(|choice| (self.pocket, choice)).collect();
        reading::read(self.folder, &jobs).into_iter().collect()
    }
}

/// Computes the digests of a stream that a Release file lists.
#[derive(Clone)]
pub(super) struct IndexHasher {
    sha256: DigestHasher,
    sha512: Option<Sha512>,
}

impl IndexHasher {
    /// Begins a stream. SHA-512 costs time, so it is computed only where it is listed.
    pub(super) fn of(listed: Option<&ListedFile>) -> Self {
        let lists_sha512 = listed.is_some_and(|listed| listed.sha512.is_some());
        Self { sha256: DigestHasher::default(), sha512: lists_sha512.then(Sha512::default) }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// Compares with the signed digests. The error has the expected and the found one.
    pub(super) fn compare(self, listed: &ListedFile) -> Result<(), (String, String)> {
        let found = self.sha256.finish();
        if found != listed.sha256 {
            return Err((listed.sha256.to_string(), found.to_string()));
        }

        let (Some(expected), Some(sha512)) = (&listed.sha512, self.sha512) else { return Ok(()) };
        let found: String = sha512.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found == *expected { Ok(()) } else { Err((format!("sha512:{expected}"), format!("sha512:{found}"))) }
    }
}
