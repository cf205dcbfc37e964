//! The Packages indexes of a verified Release file: choose them, fetch them by digest.

use crate::apt::archive::ComponentIndex;
use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::memory;
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
use std::path::Path;

/// Forms of an index, smallest download first: suffix and how to read it.
const FORMS: [(&str, IndexCompression); 3] =
    [(".xz", IndexCompression::Xz), (".gz", IndexCompression::Gzip), ("", IndexCompression::Plain)];

/// Largest compressed index.
const SIZE_LIMIT: u64 = 512 << 20;

/// How an index is compressed.
#[derive(Debug, Clone, Copy)]
pub(super) enum IndexCompression {
    Xz,
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

/// Everything needed to fetch and read the indexes of a pocket.
pub(super) struct IndexFetcher<'a> {
    pub(super) pocket: &'a Pocket,
    pub(super) http: &'a HttpClient,
    pub(super) folder: &'a Path,
    pub(super) release: &'a ReleaseFile,
    pub(super) reporter: &'a dyn ProgressReporter,
}

impl IndexFetcher<'_> {
    /// Chooses the indexes and fetches the missing ones, all at once.
    ///
    /// # Errors
    /// [`Error::NoComponent`]; [`Error::IndexGone`] when all mirrors lack one; [`Error::WrongDigest`] without asking
    /// another mirror.
    pub(super) async fn complete(&self) -> Result<Vec<SelectedIndex>, Error> {
        let mut choices = Vec::new();
        for component in &self.pocket.components {
            for architecture in &self.pocket.architectures {
                choices.push(self.choose(component, architecture)?);
            }
        }

        future::try_join_all(choices.iter().map(|choice| self.fetch(choice))).await?;
        Ok(choices)
    }

    /// Chooses the form in which the index of a component is fetched.
    fn choose(&self, component: &str, architecture: &str) -> Result<SelectedIndex, Error> {
        let plain_path = format!("{component}/binary-{architecture}/Packages");
        for (suffix, form) in FORMS {
            let path = format!("{plain_path}{suffix}");
            if let Some(listed) = self.release.listed.get(&path).filter(|listed| listed.size <= SIZE_LIMIT) {
                return Ok(SelectedIndex {
                    component: component.to_owned(),
                    architecture: architecture.to_owned(),
                    path,
                    listed: listed.clone(),
                    // archives list the plain file even where they do not serve it
                    plain: self.release.listed.get(&plain_path).cloned(),
                    form,
                });
            }
        }

        Err(Error::NoComponent {
            pocket: self.pocket.title(),
            component: component.to_owned(),
            architecture: architecture.to_owned(),
        })
    }

    /// Fetches an index into the folder, unless it is there already.
    async fn fetch(&self, choice: &SelectedIndex) -> Result<(), Error> {
        // the size is enough here: the digest is verified when the index is read
        let kept = memory::by_hash(self.folder, &choice.listed.sha256);
        if fs::size(&kept) == Some(choice.listed.size) {
            return Ok(());
        }
        if self.http.is_offline() {
            return Err(Error::Offline { pocket: self.pocket.title(), what: choice.path.clone() });
        }

        let title = format!("{} {} {}", self.pocket.suite, choice.component, choice.architecture);
        let total = choice.listed.size;
        self.reporter.event(ProgressEvent::Started { stage: ProgressStage::Index, total, what: title.clone() });
        self.fetch_from_mirrors(choice).await?;
        self.reporter.event(ProgressEvent::Finished { stage: ProgressStage::Index, what: title });
        Ok(())
    }

    /// Fetches an index from the first mirror that has it.
    async fn fetch_from_mirrors(&self, choice: &SelectedIndex) -> Result<(), Error> {
        let mut causes = Vec::new();
        let mut all_lack_it = true;
        for base in self.pocket.mirrors(&choice.architecture) {
            match self.fetch_from(&self.address(base, choice), choice).await {
                Ok(()) => return Ok(()),
                Err(Error::Http(error)) if error.is_servers() => {
                    all_lack_it &= matches!(error, http::Error::NotFound { .. });
                    causes.push(error.to_string());
                }
                // a wrong digest as well: asking elsewhere would hide an attack on this mirror
                Err(error) => return Err(error),
            }
        }

        let pocket = self.pocket.title();
        if causes.is_empty() {
            Err(Error::NoAddress { pocket })
        } else if all_lack_it {
            // the archive may have moved on since its InRelease was fetched, so the caller asks for that again
            Err(Error::IndexGone { pocket, path: choice.path.clone(), causes })
        } else {
            Err(Error::Unreachable { pocket, causes })
        }
    }

    /// Returns the address of an index: by digest where the archive offers it, so that a newer version does not
    /// take the place of the listed one.
    fn address(&self, base: &str, choice: &SelectedIndex) -> String {
        let suite = format!("{}/dists/{}", base.trim_end_matches('/'), self.pocket.suite);
        match choice.path.rsplit_once('/') {
            Some((folder, _)) if self.release.by_hash => {
                format!("{suite}/{folder}/by-hash/SHA256/{}", choice.listed.sha256.hex())
            }
            _ => format!("{suite}/{}", choice.path),
        }
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
