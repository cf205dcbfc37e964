//! The Packages indexes of a verified Release file: choose, fetch by digest, decompress, verify, read.

use crate::apt::archive::ComponentIndex;
use crate::apt::archive::Error;
use crate::apt::archive::Pocket;
use crate::apt::archive::memory;
use crate::apt::index;
use crate::apt::index::Index;
use crate::apt::index::Limits;
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
use std::io;
use std::io::Read;
use std::path::Path;

/// Forms of an index, best first: suffix and how to read it.
const FORMS: [(&str, Form); 3] = [(".xz", Form::Xz), (".gz", Form::Gzip), ("", Form::Plain)];

/// Largest compressed index.
const SIZE_LIMIT: u64 = 512 << 20;

/// Memory that the xz decoder may use: archives write dictionaries of up to 64 MiB.
const XZ_MEMORY: u64 = 256 << 20;

#[derive(Debug, Clone, Copy)]
enum Form {
    Xz,
    Gzip,
    Plain,
}

/// An index that will be read.
pub(super) struct Choice<'a> {
    pub(super) component: &'a str,
    pub(super) architecture: &'a str,
    /// Path below the suite.
    pub(super) path: String,
    /// Size and digests of the file at that path.
    pub(super) listed: &'a Listed,
    /// Size and digests of what it decompresses to, where listed.
    plain: Option<&'a Listed>,
    form: Form,
}

/// All that is needed to get at a pocket's indexes.
pub(super) struct Stock<'a> {
    pub(super) pocket: &'a Pocket,
    pub(super) http: &'a Http,
    pub(super) folder: &'a Path,
    pub(super) release: &'a Release,
    pub(super) reporter: &'a dyn Reporter,
}

impl<'a> Stock<'a> {
    /// Chooses the indexes and fetches those that are not there yet, all at once.
    ///
    /// # Errors
    /// [`Error::NoComponent`]; [`Error::IndexGone`] when all mirrors lack one; [`Error::WrongDigest`] at once.
    pub(super) async fn complete(&self) -> Result<Vec<Choice<'a>>, Error> {
        let mut choices = Vec::new();
        for component in &self.pocket.components {
            for architecture in &self.pocket.architectures {
                choices.push(self.choose(component, architecture)?);
            }
        }
        future::try_join_all(choices.iter().map(|choice| self.fetch(choice))).await?;
        Ok(choices)
    }

    fn choose(&self, component: &'a str, architecture: &'a str) -> Result<Choice<'a>, Error> {
        let plain = format!("{component}/binary-{architecture}/Packages");
        for (suffix, form) in FORMS {
            let path = format!("{plain}{suffix}");
            if let Some(listed) = self.release.listed.get(&path).filter(|listed| listed.size <= SIZE_LIMIT) {
                return Ok(Choice {
                    component,
                    architecture,
                    path,
                    listed,
                    plain: self.release.listed.get(&plain),
                    form,
                });
            }
        }
        let (component, architecture) = (component.to_owned(), architecture.to_owned());
        Err(Error::NoComponent { pocket: self.pocket.title(), component, architecture })
    }

    async fn fetch(&self, choice: &Choice<'_>) -> Result<(), Error> {
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
        for base in self.pocket.mirrors(choice.architecture) {
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
    fn address(&self, base: &str, choice: &Choice<'_>) -> String {
        let suite = format!("{}/dists/{}", base.trim_end_matches('/'), self.pocket.suite);
        match choice.path.rsplit_once('/') {
            Some((folder, _)) if self.release.by_hash => {
                format!("{suite}/{folder}/by-hash/SHA256/{}", choice.listed.sha256.hex())
            }
            _ => format!("{suite}/{}", choice.path),
        }
    }

    async fn fetch_from(&self, url: &str, choice: &Choice<'_>) -> Result<(), Error> {
        let file = fs::temporary(&self.folder.join(memory::BY_HASH))?;
        let mut sums = Sums::of(Some(choice.listed));
        let mut done = 0;
        let mut reported = 0;
        let mut sink = |piece: Piece<'_>| match piece {
            Piece::Restarted => (sums, done) = (Sums::of(Some(choice.listed)), 0),
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
        if let Err((expected, found)) = sums.compare(choice.listed) {
            return Err(Error::WrongDigest { pocket: self.pocket.title(), url: http::mask(url), expected, found });
        }
        Ok(fs::publish(file, &memory::by_hash(self.folder, &choice.listed.sha256))?)
    }

    /// Reads the fetched indexes, each on its own thread: decompression is what takes time.
    ///
    /// # Errors
    /// [`Error::WrongDigest`] for a damaged file, [`Error::WrongContent`], [`Error::Index`].
    pub(super) fn read(&self, choices: &[Choice<'_>]) -> Result<Vec<ComponentIndex>, Error> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = choices.iter().map(|choice| scope.spawn(|| self.read_one(choice))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    fn read_one(&self, choice: &Choice<'_>) -> Result<ComponentIndex, Error> {
        let path = memory::by_hash(self.folder, &choice.listed.sha256);
        let bytes = fs::read(&path, choice.listed.size)?;
        let mut sums = Sums::of(Some(choice.listed));
        sums.update(&bytes);
        if let Err((expected, found)) = sums.compare(choice.listed) {
            // the next run fetches it again
            fs::remove(&path)?;
            let url = path.display().to_string();
            return Err(Error::WrongDigest { pocket: self.pocket.title(), url, expected, found });
        }
        let limit = choice.plain.map_or(u64::MAX, |plain| plain.size);
        let mut stream =
            Counted { inner: decompressed(&bytes, choice.form), sums: Sums::of(choice.plain), length: 0, limit };
        let index = Index::read(&mut stream, &Limits::ARCHIVE);
        let differs = |plain: &Listed| stream.length != plain.size || stream.sums.clone().compare(plain).is_err();
        let wrong = || Error::WrongContent { pocket: self.pocket.title(), path: choice.path.clone() };
        // a stream that is too long ends in an error of its own, whose cause is the same
        if choice.plain.is_some_and(|_| stream.length > limit) {
            return Err(wrong());
        }
        let tie = |cause: index::Error| Error::Index {
            pocket: self.pocket.title(),
            path: choice.path.clone(),
            cause: Box::new(cause),
        };
        let index = index.map_err(tie)?;
        if choice.plain.is_some_and(differs) {
            return Err(wrong());
        }
        let (component, architecture) = (choice.component.to_owned(), choice.architecture.to_owned());
        Ok(ComponentIndex { component, architecture, index })
    }
}

fn decompressed(bytes: &[u8], form: Form) -> Box<dyn Read + '_> {
    match form {
        Form::Plain => Box::new(bytes),
        Form::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Form::Xz => match liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED) {
            Ok(stream) => Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream)),
            Err(error) => Box::new(Broken(error.to_string())),
        },
    }
}

/// A stream that could not be started.
struct Broken(String);

impl Read for Broken {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other(self.0.clone()))
    }
}

/// The listed digests of a stream.
#[derive(Clone)]
struct Sums {
    sha256: Hasher,
    sha512: Option<Sha512>,
}

impl Sums {
    fn of(listed: Option<&Listed>) -> Self {
        let sha512 = listed.and_then(|listed| listed.sha512.as_ref()).map(|_| Sha512::default());
        Self { sha256: Hasher::default(), sha512 }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
    }

    /// Compares with the signed digests; returns the expected and the found one.
    fn compare(self, listed: &Listed) -> Result<(), (String, String)> {
        let found = self.sha256.finish();
        if found != listed.sha256 {
            return Err((listed.sha256.to_string(), found.to_string()));
        }
        let (Some(expected), Some(sha512)) = (&listed.sha512, self.sha512) else { return Ok(()) };
        let found: String = sha512.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if found == *expected { Ok(()) } else { Err((format!("sha512:{expected}"), format!("sha512:{found}"))) }
    }
}

/// Hashes and counts what is read, and ends in an error above a limit.
struct Counted<R> {
    inner: R,
    sums: Sums,
    length: u64,
    limit: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sums.update(&buffer[..count]);
        self.length += count as u64;
        if self.length > self.limit {
            return Err(io::Error::other("there are more bytes than the release file lists"));
        }
        Ok(count)
    }
}
