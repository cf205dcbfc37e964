//! Requests and answers of HTTP/1.1 as values, and how they are read and written.

use crate::support::registry::faults::Trouble;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::io::BufRead;
use std::io::Read;

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it was sent, percent-encoding and all.
    pub(crate) path: String,
    /// Without the question mark.
    pub(crate) query: String,
    headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The fault that struck this request, if any.
    pub(crate) trouble: Option<Trouble>,
}

impl Request {
    /// Reads the head of the next request; `None` where the connection ended.
    pub(crate) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut words = first.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = BTreeMap::<String, String>::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end().split_once(':') {
                // some clients send one `Accept` a type
                Some((name, value)) => headers
                    .entry(name.to_lowercase())
                    .and_modify(|values| *values = format!("{values}, {}", value.trim()))
                    .or_insert_with(|| value.trim().to_owned()),
                None => break,
            };
        }
        Ok(Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Vec::new(),
            trouble: None,
        }))
    }

    /// Returns path and query as they were sent.
    pub(crate) fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// Returns a header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns all values of a query parameter, decoded.
    pub(crate) fn query_all(&self, name: &str) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    }

    /// Returns the first value of a query parameter, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.query_all(name).into_iter().next()
    }

    /// Returns the path's parts, each decoded once.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').skip(1).map(decoded).collect()
    }

    /// Returns the body as JSON; null where it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Returns user and password of a Basic authorization.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        use base64::Engine as _;
        let encoded = self.header("authorization")?.strip_prefix("Basic ")?;
        let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
        text.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    /// Returns the token of a Bearer authorization.
    pub(crate) fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

/// Returns a text with its `%XX` replaced, once.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The body of a request as far as it arrived.
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_whole: bool,
}

impl Body {
    /// Reads the body of a request, as far as the request's trouble allows.
    pub(crate) fn read(reader: &mut impl BufRead, request: &Request) -> Self {
        let mut body = Self { bytes: Vec::new(), is_whole: true };
        let is_chunked = request.header("transfer-encoding").is_some_and(|value| value.contains("chunked"));
        let whole = if is_chunked {
            body.read_chunks(reader, request.trouble.as_ref())
        } else {
            let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            body.read_part(reader, length, request.trouble.as_ref())
        };
        body.is_whole = whole.is_ok();
        body
    }

    fn read_chunks(&mut self, reader: &mut impl BufRead, trouble: Option<&Trouble>) -> io::Result<()> {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let digits = line.trim().split(';').next().unwrap_or_default();
            let length = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            self.read_part(reader, length, trouble)?;
            // the line break after the data, or after the (empty) trailer
            reader.read_line(&mut String::new())?;
            if length == 0 {
                return Ok(());
            }
        }
    }

    /// Reads so many more bytes; an error where they do not come or the body is to be cut.
    fn read_part(&mut self, reader: &mut impl BufRead, length: u64, trouble: Option<&Trouble>) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let mut piece = left.min(16 << 10);
            if let Some(Trouble::CutRequest(count)) = trouble {
                piece = piece.min(count.saturating_sub(self.bytes.len() as u64));
            }
            if let Some(Trouble::SlowRequest(pause)) = trouble {
                std::thread::sleep(*pause);
            }
            let count = reader.by_ref().take(piece).read_to_end(&mut self.bytes)? as u64;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= count;
        }
        match trouble {
            Some(Trouble::CutRequest(count)) if *count == self.bytes.len() as u64 => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            _ => Ok(()),
        }
    }
}

/// One answer. Status 0: none at all, the connection is closed.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Closes the connection without a word.
    pub(crate) fn none() -> Self {
        Self::new(0)
    }

    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::new(status).with("content-type", "application/json; charset=utf-8").body(value.to_string().into_bytes())
    }

    /// Makes an error in the form registries and Harbor share.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({ "errors": [{ "code": code, "message": message }] }))
    }

    /// Returns the code of an error's first entry.
    pub(crate) fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Tells whether the body has these words.
    pub(crate) fn says(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(words)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// The connection is closed after this answer.
    pub(crate) fn closing(self) -> Self {
        self.with("connection", "close")
    }

    pub(crate) fn closes(&self) -> bool {
        self.headers.iter().any(|(name, value)| name == "connection" && value == "close")
    }

    /// Returns names and values as they are sent.
    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Returns status line and headers, ready to be sent.
    pub(crate) fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            let _never_fails = write!(head, "{name}: {value}\r\n");
        }
        let is_told = self.headers.iter().any(|(name, _)| name == "content-length");
        if self.status != 204 && !is_told {
            let _never_fails = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head + "\r\n"
    }
}
