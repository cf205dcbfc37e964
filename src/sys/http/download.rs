//! Downloads into a file, resumed where an earlier attempt stopped.

use crate::sys::fs;
use crate::sys::http::Error;
use crate::sys::http::Http;
use crate::sys::http::mask;
use crate::sys::http::pace::Paced;
use crate::sys::http::retry;
use reqwest::StatusCode;
use reqwest::header;
use reqwest::header::HeaderMap;
use std::fs::File;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// An attempt that brought this many bytes starts a new count of attempts.
const PROGRESS: u64 = 1 << 20;

/// What a download is to become.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The file; bytes that it has already are taken for the beginning.
    pub path: &'a Path,
    /// Its size when complete; never more is accepted.
    pub size: u64,
}

/// What happened to the file, for hashing and progress while bytes stream by.
#[derive(Debug)]
pub enum Piece<'a> {
    /// The file was emptied: the server does not resume.
    Restarted,
    /// These bytes were appended.
    Bytes(&'a [u8]),
}

impl Http {
    /// Completes a file from an address. Content is not verified here.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongSize`] when the server's file has another size, others as named. Bytes that
    /// arrived stay for the next attempt.
    pub async fn download(
        &self,
        url: &str,
        target: Target<'_>,
        sink: &mut (dyn FnMut(Piece<'_>) + Send),
    ) -> Result<(), Error> {
        let tie = |cause| Error::from(fs::Error::new("write", target.path, cause));
        fs::remove_link(target.path)?;
        let mut file = OpenOptions::new().create(true).append(true).truncate(false).open(target.path).map_err(tie)?;
        let mut done = file.metadata().map_err(tie)?.len();
        if done > target.size {
            restart(&mut file, &mut done, target, sink)?;
        }
        let mut failures = 0;
        while done < target.size {
            let before = done;
            let failure = match self.attempt(url, target, (&mut file, &mut done), sink).await {
                Ok(()) if done == target.size => break,
                Ok(()) => retry::Failure::short(url),
                Err(failure) => failure,
            };
            if done.saturating_sub(before) >= PROGRESS {
                failures = 0;
            }
            retry::pause(failure, &mut failures, &self.options).await?;
        }
        Ok(())
    }

    async fn attempt(
        &self,
        url: &str,
        target: Target<'_>,
        (file, done): (&mut File, &mut u64),
        sink: &mut (dyn FnMut(Piece<'_>) + Send),
    ) -> Result<(), retry::Failure> {
        let mut headers = HeaderMap::new();
        if *done > 0 {
            let range = format!("bytes={done}-");
            headers.insert(header::RANGE, range.parse().expect("digits and ASCII signs are a header value"));
        }
        let mut response = self.request(url, headers).await?;
        let wrong_size = |found| Error::WrongSize { url: mask(url), expected: target.size, found };
        match (response.status(), content_range(response.headers())) {
            (StatusCode::OK, _) => {
                if let Some(found) = response.content_length().filter(|length| *length != target.size) {
                    return Err(wrong_size(found).into());
                }
                if *done > 0 {
                    restart(file, done, target, sink)?;
                }
            }
            (StatusCode::PARTIAL_CONTENT, Some((start, total))) if start == *done && *done > 0 => {
                if let Some(found) = total.filter(|total| *total != target.size) {
                    return Err(wrong_size(found).into());
                }
            }
            // the part on the server is not the part that was asked for: begin again, once a time counted as failure
            (StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE, _) if *done > 0 => {
                restart(file, done, target, sink)?;
                return Err(retry::Failure::short(url));
            }
            (status, _) => return Err(Error::Status { url: mask(url), status: status.as_u16() }.into()),
        }
        let mut paced = Paced::new(self.pace());
        while let Some(chunk) = self.part(url, &mut response, &mut paced).await? {
            if *done + chunk.len() as u64 > target.size {
                return Err(wrong_size(*done + chunk.len() as u64).into());
            }
            file.write_all(&chunk).map_err(|cause| Error::from(fs::Error::new("write", target.path, cause)))?;
            *done += chunk.len() as u64;
            sink(Piece::Bytes(&chunk));
        }
        Ok(())
    }
}

fn restart(
    file: &mut File,
    done: &mut u64,
    target: Target<'_>,
    sink: &mut (dyn FnMut(Piece<'_>) + Send),
) -> Result<(), Error> {
    file.set_len(0).map_err(|cause| Error::from(fs::Error::new("write", target.path, cause)))?;
    *done = 0;
    sink(Piece::Restarted);
    Ok(())
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
