//! Downloads into a file, resumed where an earlier attempt stopped.

use crate::sys::fs;
use crate::sys::http::Error;
use crate::sys::http::HttpClient;
use crate::sys::http::mask;
use crate::sys::http::pace::BodyPace;
use crate::sys::http::retry;
use reqwest::Response;
use reqwest::StatusCode;
use reqwest::header;
use reqwest::header::HeaderMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Bytes of one attempt that reset the count of attempts: a connection that breaks every few minutes completes a large
/// file in the end.
const PROGRESS: u64 = 1 << 20;

/// The file that a download completes.
#[derive(Debug, Clone, Copy)]
pub struct DownloadTarget<'a> {
    /// Path of the file; bytes that it has already count as its beginning.
    pub path: &'a Path,
    /// Size of the complete file in bytes; more is never accepted.
    pub size: u64,
}

/// A change of the file, for hashing and progress while bytes arrive.
#[derive(Debug)]
pub enum DownloadPiece<'a> {
    /// The file was emptied, because the server does not resume.
    Restarted,
    /// These bytes were appended.
    Bytes(&'a [u8]),
}

impl HttpClient {
    /// Completes a file from an address. The content is not verified here.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongSize`] when the server's file has another size, others as named. Bytes that
    /// have arrived stay for the next attempt.
    pub async fn download(
        &self,
        url: &str,
        target: DownloadTarget<'_>,
        sink: &mut (dyn FnMut(DownloadPiece<'_>) + Send),
    ) -> Result<(), Error> {
        let mut download = ResumedDownload::open(url, target, sink)?;
        let mut failures = 0;

        while download.done < target.size {
            let before = download.done;
            let failure = match self.attempt(&mut download).await {
                Ok(()) if download.done == target.size => break,
                // a body of chunks without a length ends early without an error
                Ok(()) => retry::FailedAttempt::short(url),
                Err(failure) => failure,
            };

            if download.done.saturating_sub(before) >= PROGRESS {
                failures = 0;
            }
            retry::pause(failure, &mut failures, &self.options).await?;
        }
        Ok(())
    }

    /// Asks once for the missing bytes, and appends what arrives.
    async fn attempt(&self, download: &mut ResumedDownload<'_>) -> Result<(), retry::FailedAttempt> {
        let mut response = self.request(download.url, download.headers()).await?;
        download.begin(&response)?;

        let mut paced = BodyPace::new(self.pace());
        while let Some(chunk) = self.part(download.url, &mut response, &mut paced).await? {
            download.append(&chunk)?;
        }
        Ok(())
    }
}

/// A file on its way to completion.
struct ResumedDownload<'a> {
    url: &'a str,
    target: DownloadTarget<'a>,
    file: File,
    /// Bytes that the file has.
    done: u64,
    sink: &'a mut (dyn FnMut(DownloadPiece<'_>) + Send),
}

impl<'a> ResumedDownload<'a> {
    fn open(
        url: &'a str,
        target: DownloadTarget<'a>,
        sink: &'a mut (dyn FnMut(DownloadPiece<'_>) + Send),
    ) -> Result<Self, Error> {
        fs::remove_link(target.path)?;
        let opened = OpenOptions::new().create(true).append(true).truncate(false).open(target.path);
        let file = opened.map_err(|cause| target.error(cause))?;
        let done = file.metadata().map_err(|cause| target.error(cause))?.len();

        let mut download = Self { url, target, file, done, sink };
        // the beginning of a larger file is the beginning of another file
        if done > target.size {
            download.restart()?;
        }
        Ok(download)
    }

    /// Returns the headers that ask for the missing bytes.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.done > 0 {
            let range = format!("bytes={}-", self.done);
            headers.insert(header::RANGE, range.parse().expect("digits and ASCII signs are a header value"));
        }
        headers
    }

    /// Decides whether a response continues the file; empties the file when the server begins at its start.
    fn begin(&mut self, response: &Response) -> Result<(), retry::FailedAttempt> {
        let is_resumed = self.done > 0;
        match (response.status(), content_range(response.headers())) {
            // a server may ignore a range and send the whole file (RFC 9110, 14.2)
            (StatusCode::OK, _) => {
                self.check_size(response.content_length())?;
                if is_resumed {
                    self.restart()?;
                }
                Ok(())
            }
            (StatusCode::PARTIAL_CONTENT, Some((start, total))) if is_resumed && start == self.done => {
                Ok(self.check_size(total)?)
            }
            // the server has other bytes than those that were asked for: the next attempt asks for the whole file, and
            // this one counts as failed, so that a confused server cannot keep this going forever
            (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, _) if is_resumed => {
                self.restart()?;
                Err(retry::FailedAttempt::short(self.url))
            }
            (status, _) => Err(Error::Status { url: mask(self.url), status: status.as_u16() }.into()),
        }
    }

    /// Appends bytes; more than the complete file has are refused before they reach the disk.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let length = self.done + bytes.len() as u64;
        if length > self.target.size {
            return Err(self.wrong_size(length));
        }

        self.file.write_all(bytes).map_err(|cause| self.target.error(cause))?;
        self.done = length;
        (self.sink)(DownloadPiece::Bytes(bytes));
        Ok(())
    }

    /// Empties the file.
    fn restart(&mut self) -> Result<(), Error> {
        self.file.set_len(0).map_err(|cause| self.target.error(cause))?;
        self.done = 0;
        (self.sink)(DownloadPiece::Restarted);
        Ok(())
    }

    /// Compares the size that the server announces, if it does, with the wanted one.
    fn check_size(&self, announced: Option<u64>) -> Result<(), Error> {
        match announced {
            Some(size) if size != self.target.size => Err(self.wrong_size(size)),
            _ => Ok(()),
        }
    }

    fn wrong_size(&self, found: u64) -> Error {
        Error::WrongSize { url: mask(self.url), expected: self.target.size, found }
    }
}

impl DownloadTarget<'_> {
    /// Ties a system error to the file.
    fn error(&self, cause: std::io::Error) -> Error {
        fs::Error::new("write", self.path, cause).into()
    }
}

/// Reads `Content-Range: bytes <start>-<end>/<total or *>` (RFC 9110, 14.4).
pub(super) fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    match total {
        "*" => Some((start, None)),
        digits => Some((start, Some(digits.parse().ok()?))),
    }
}
