//! The Packages indexes of a verified Release file: choose, fetch by digest.

use crate::apt::archive::ComponentIndex;
use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::memory;
use crate::apt::archive::reading;
use crate::apt::release::Listed;
use crate::apt::release::Release;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::Http;
use crate::sys::http::Piece;
use crate::sys::http::Target;
use crate::values::Hasher;
use futures_util::future;
use sha2::Digest as _;
use sha2::Sha512;
use std::path::Path;

/// Forms of an index, best first: suffix and how to read it.
const FORMS: [(&str, Form); 3] = [(".xz", Form::Xz), (".gz", Form::Gzip), ("", Form::Plain)];

/// Largest compressed index.
const SIZE_LIMIT: u64 = 512 << 20;

/// How an index is compressed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Xz,
    Gzip,
    Plain,
}

/// An index that will be read.
pub(super) struct Choice {
    pub(super) component: String,
    pub(super) architecture: String,
    /// Path below the suite.
    pub(super) path: String,
    /// Size and digests of the file at that path.
    pub(super) listed: Listed,
    /// Size and digests of what it decompresses to, where listed.
    pub(super) plain: Option<Listed>,
    pub(super) form: Form,
}

/// All that is needed to get at a pocket's indexes.
pub(super) struct Stock<'a> {
    pub(super) pocket: &'a Pocket,
    pub(super) http: &'a Http,
    pub(super) folder: &'a Path,
    pub(super) release: &'a Release,
    pub(super) reporter: &'a dyn Reporter,
}

impl Stock<'_> {
    /// Chooses the indexes and fetches those that are not there yet, all at once.
    ///
    /// # Errors
    /// [`Error::NoComponent`]; [`Error::IndexGone`] when all mirrors lack one; [`Error::WrongDigest`] at once.
    pub(super) async fn complete(&self) -> Result<Vec<Choice>, Error> {
        let mut choices = Vec::new();
        for component in &self.pocket.components {
            for architecture in &self.pocket.architectures {
                choices.push(self.choose(component, architecture)?);
            }
        }
        future::try_join_all(choices.iter().map(|choice| self.fetch(choice))).await?;
        Ok(choices)
    }

    fn choose(&self, component: &str, architecture: &str) -> Result<Choice, Error> {
        let listed = |path: &str| self.release.listed.get(path).cloned();
        let plain = format!("{component}/binary-{architecture}/Packages");
        for (suffix, form) in FORMS {
            let path = format!("{plain}{suffix}");
            if let Some(found) = listed(&path).filter(|found| found.size <= SIZE_LIMIT) {
                let (component, architecture) = (component.to_owned(), architecture.to_owned());
                return Ok(Choice { component, architecture, path, listed: found, plain: listed(&plain), form });
            }
        }
        let (component, architecture) = (component.to_owned(), architecture.to_owned());
        Err(Error::NoComponent { pocket: self.pocket.title(), component, architecture })
    }

    async fn fetch(&self, choice: &Choice) -> Result<(), Error> {
        let kept = memory::by_hash(self.folder, &choice.listed.sha256);
        if fs::size(&kept) == Some(choice.listed.size) {
            return Ok(());
        }
        if self.http.is_offline() {
            return Err(Error::Offline { pocket: self.pocket.title(), what: choice.path.clone() });
        }
        let what = format!("{} {} {}", self.pocket.suite, choice.component, choice.architecture);
        let total = choice.listed.size;
        self.reporter.event(Event::Started { stage: Stage::Index, total, what: what.clone() });
        let mut causes = Vec::new();
        let mut all_missed = true;
        for base in self.pocket.mirrors(&choice.architecture) {
            let url = self.address(base, choice);
            match self.fetch_from(&url, choice).await {
                Ok(()) => {
                    self.reporter.event(Event::Finished { stage: Stage::Index, what });
                    return Ok(());
                }
                Err(Error::Http(error)) if error.is_servers() => {
                    all_missed &= matches!(error, http::Error::NotFound { .. });
                    causes.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        match (causes.is_empty(), all_missed) {
            (true, _) => Err(Error::NoAddress { pocket: self.pocket.title() }),
            (_, true) => Err(Error::IndexGone { pocket: self.pocket.title(), path: choice.path.clone(), causes }),
            _ => Err(Error::Unreachable { pocket: self.pocket.title(), causes }),
        }
    }

    /// By digest where the archive offers it: a new version then does not take the place of the listed one.
    fn address(&self, base: &str, choice: &Choice) -> String {
        let suite = format!("{}/dists/{}", base.trim_end_matches('/'), self.pocket.suite);
        match choice.path.rsplit_once('/') {
            Some((folder, _)) if self.release.by_hash => {
                format!("{suite}/{folder}/by-hash/SHA256/{}", choice.listed.sha256.hex())
            }
            _ => format!("{suite}/{}", choice.path),
        }
    }

    async fn fetch_from(&self, url: &str, choice: &Choice) -> Result<(), Error> {
        let file = fs::temporary(&self.folder.join(memory::BY_HASH))?;
        let mut sums = Sums::of(Some(&choice.listed));
        let mut done = 0;
        let mut reported = 0;
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Restarted => (sums, done) = (Sums::of(Some(&choice.listed)), 0),
            Piece::Bytes(bytes) => {
                sums.update(bytes);
                done += bytes.len() as u64;
                if done > reported {
                    self.reporter.event(Event::Advanced { stage: Stage::Index, by: done - reported });
                    reported = done;
                }
            }
        };
        let target = Target { path: file.path(), size: choice.listed.size };
        self.http.download(url, target, &mut sink).await.map_err(Error::Http)?;
        if let Err((expected, found)) = sums.compare(&choice.listed) {
            return Err(Error::WrongDigest { pocket: self.pocket.title(), url: http::mask(url), expected, found });
        }
        Ok(fs::publish(file, &memory::by_hash(self.folder, &choice.listed.sha256))?)
    }

    /// Reads the fetched indexes.
    ///
    /// # Errors
    /// As [`reading::read`], of the first that fails.
    pub(super) fn read(&self, choices: &[Choice]) -> Result<Vec<ComponentIndex>, Error> {
        let jobs: Vec<(&Pocket, &Choice)> = choices.iter().map(|choice| (self.pocket, choice)).collect();
        reading::read(self.folder, &jobs).into_iter().collect()
    }
}

/// The listed digests of a stream.
#[derive(Clone)]
pub(super) struct Sums {
    sha256: Hasher,
    sha512: Option<Sha512>,
}

impl Sums {
    pub(super) fn of(listed: Option<&Listed>) -> Self {
        let sha512 = listed.and_then(|listed| listed.sha512.as_ref()).map(|_| Sha512::default());
        Self { sha256: Hasher::default(), sha512 }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// Compares with the signed digests; returns the expected and the found one.
    pub(super) fn compare(self, listed: &Listed) -> Result<(), (String, String)> {
        let found = self.sha256.finish();
        if found != listed.sha256 {
            return Err((listed.sha256.to_string(), found.to_string()));
        }
        let (Some(expected), Some(sha512)) = (&listed.sha512, self.sha512) else { return Ok(()) };
        let found: String = sha512.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found == *expected { Ok(()) } else { Err((format!("sha512:{expected}"), format!("sha512:{found}"))) }
    }
}
