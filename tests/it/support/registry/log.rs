//! The log of a server: who asked for what, how many bytes came, without secrets.

use crate::support::registry::faults::matches;
use crate::support::registry::message::Request;
use std::collections::BTreeMap;
use std::time::Duration;

/// Headers that tests may ask for; of `authorization` only the scheme is kept, of `cookie` only the names.
const KEPT: &[&str] = &[
    "accept",
    "content-length",
    "content-range",
    "content-type",
    "range",
    "transfer-encoding",
    "user-agent",
    "x-accept-vulnerabilities",
    "x-is-resource-name",
    "x-request-id",
];

/// One request and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) method: String,
    /// As it was sent, percent-encoding and all.
    pub(crate) path: String,
    /// Without the question mark.
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// Bytes of the body that arrived, without chunk framing.
    pub(crate) body: u64,
    /// The answer's status; 0 where there was none.
    pub(crate) status: u16,
    /// Since the server's start.
    pub(crate) at: Duration,
}

impl Entry {
    /// Begins the entry of a request whose head arrived.
    pub(crate) fn of(request: &Request, at: Duration) -> Self {
        let kept = |name: &str| request.header(name).map(|value| (name.to_owned(), value.to_owned()));
        let mut headers: BTreeMap<String, String> = KEPT.iter().filter_map(|name| kept(name)).collect();
        if let Some(value) = request.header("authorization") {
            headers.insert("authorization".into(), value.split(' ').next().unwrap_or_default().to_owned());
        }
        if let Some(value) = request.header("cookie") {
            let names = value.split(';').filter_map(|pair| pair.split('=').next());
            headers.insert("cookie".into(), names.map(str::trim).collect::<Vec<_>>().join(" "));
        }
        Self {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers,
            body: 0,
            status: 0,
            at,
        }
    }

    pub(crate) fn fits(&self, method: &str, pattern: &str) -> bool {
        matches(method, pattern, &self.method, &self.path, &self.query)
    }
}

/// All requests in the order of their heads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    under_way: usize,
    most_at_once: usize,
    /// Entries forgotten by [`Log::clear`], so that places stay valid.
    forgotten: usize,
}

impl Log {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the requests of a method (`*`: any) for a path pattern, see [`matches`].
    pub(crate) fn of(&self, method: &str, pattern: &str) -> Vec<&Entry> {
        self.entries.iter().filter(|entry| entry.fits(method, pattern)).collect()
    }

    /// Counts the requests of a method (`*`: any) for a path pattern.
    pub(crate) fn count(&self, method: &str, pattern: &str) -> usize {
        self.of(method, pattern).len()
    }

    /// Returns how many bytes of blobs clients sent, broken uploads included.
    pub(crate) fn blob_bytes(&self) -> u64 {
        let uploads = self.entries.iter().filter(|entry| entry.fits("*", "/v2/*/blobs/uploads/*"));
        uploads.map(|entry| entry.body).sum()
    }

    /// Returns how many requests waited for their answer at the same time at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once
    }

    /// Returns one line a request, for messages of failed tests: `PUT /v2/… 201 1234`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |entry: &Entry| format!("{} {} {} {}", entry.method, entry.path, entry.status, entry.body);
        self.entries.iter().map(line).collect()
    }

    /// Adds a request; returns its place.
    pub(crate) fn begin(&mut self, entry: Entry) -> usize {
        self.entries.push(entry);
        self.under_way += 1;
        self.most_at_once = self.most_at_once.max(self.under_way);
        self.forgotten + self.entries.len() - 1
    }

    /// Notes the length of a request's body.
    pub(crate) fn body(&mut self, place: usize, bytes: u64) {
        if let Some(entry) = self.at(place) {
            entry.body = bytes;
        }
    }

    /// Notes how a request ended.
    pub(crate) fn end(&mut self, place: usize, status: u16) {
        self.under_way -= 1;
        if let Some(entry) = self.at(place) {
            entry.status = status;
        }
    }

    /// Forgets all requests.
    pub(crate) fn clear(&mut self) {
        self.forgotten += self.entries.len();
        self.entries.clear();
        self.most_at_once = self.under_way;
    }

    fn at(&mut self, place: usize) -> Option<&mut Entry> {
        self.entries.get_mut(place.checked_sub(self.forgotten)?)
    }
}
