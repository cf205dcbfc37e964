//! A server on loopback: files by path, ranges, and faults on request. Records what was asked.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::Mutex;

/// What goes wrong with the next answers for a path.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Closes the connection after so many bytes of the body.
    Cut(usize),
    /// Answers with this status and an optional `Retry-After`.
    Status(u16, Option<&'static str>),
    /// Ignores `Range`.
    NoRange,
    /// Sends the client elsewhere.
    Redirect(String),
    /// Answers, but not before as many requests as the barrier is for have come.
    Meet(Arc<Barrier>),
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Vec<Fault>>,
    requests: Vec<String>,
    /// `Authorization` without which nothing is served.
    wanted: Option<String>,
    /// Every `Authorization` that came.
    logins: Vec<String>,
}

/// A running server; its thread ends with the test.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    address: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || answer(connection, &state));
            }
        });
        Self { state, address }
    }

    pub(crate) fn url(&self) -> &str {
        &self.address
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        self.state.lock().unwrap().files.insert(path.to_owned(), bytes.to_owned());
    }

    pub(crate) fn put_all(&self, files: &BTreeMap<String, Vec<u8>>) {
        self.state.lock().unwrap().files.extend(files.clone());
    }

    pub(crate) fn remove(&self, path: &str) {
        self.state.lock().unwrap().files.remove(path);
    }

    /// Removes all files whose paths begin like this.
    pub(crate) fn remove_below(&self, path: &str) {
        self.state.lock().unwrap().files.retain(|known, _| !known.starts_with(path));
    }

    /// Serves these files and no others.
    pub(crate) fn serve_only(&self, files: &BTreeMap<String, Vec<u8>>) {
        self.state.lock().unwrap().files.clone_from(files);
    }

    /// Returns all files by path.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.state.lock().unwrap().files.clone()
    }

    /// The next answers for a path go wrong, one fault each.
    pub(crate) fn fail(&self, path: &str, faults: &[Fault]) {
        self.state.lock().unwrap().faults.insert(path.to_owned(), faults.to_owned());
    }

    /// Serves only who sends this `Authorization`.
    pub(crate) fn protect(&self, authorization: &str) {
        self.state.lock().unwrap().wanted = Some(authorization.to_owned());
    }

    /// Returns every `Authorization` that came since the last call.
    pub(crate) fn logins(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().logins)
    }

    /// Returns the requests since the last call: path, and range where there was one.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn answer(mut connection: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: BTreeMap<String, String> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned())))
        .collect();
    let range = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let (file, fault) = {
        let mut state = state.lock().unwrap();
        state.requests.push(range.map_or(path.clone(), |from: usize| format!("{path} from {from}")));
        let fault = state.faults.get_mut(&path).filter(|faults| !faults.is_empty()).map(|faults| faults.remove(0));
        let authorization = headers.get("authorization").cloned();
        state.logins.extend(authorization.clone());
        let is_refused = state.wanted.is_some() && state.wanted != authorization;
        let fault = if is_refused { Some(Fault::Status(401, None)) } else { fault };
        (state.files.get(&path).cloned(), fault)
    };
    if let Some(Fault::Meet(barrier)) = &fault {
        barrier.wait();
    }
    let (status, extra, body) = reply(file, range, &headers, fault.as_ref());
    let sent = match fault {
        Some(Fault::Cut(count)) => &body[..count.min(body.len())],
        _ => &body,
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{extra}\r\n", body.len());
    let _client_may_be_gone = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(sent));
}

fn reply(
    file: Option<Vec<u8>>,
    range: Option<usize>,
    headers: &BTreeMap<String, String>,
    fault: Option<&Fault>,
) -> (u16, String, Vec<u8>) {
    match (fault, file) {
        (Some(Fault::Status(status, after)), _) => {
            (*status, after.map_or(String::new(), |after| format!("retry-after: {after}\r\n")), Vec::new())
        }
        (Some(Fault::Redirect(to)), _) => (302, format!("location: {to}\r\n"), Vec::new()),
        (_, None) => (404, String::new(), Vec::new()),
        (fault, Some(file)) => {
            let etag = format!("\"{}\"", sockel::values::Digest::of(&file).short());
            if headers.get("if-none-match") == Some(&etag) {
                return (304, String::new(), Vec::new());
            }
            match range {
                Some(from) if !matches!(fault, Some(Fault::NoRange)) && from >= file.len() => {
                    (416, String::new(), Vec::new())
                }
                Some(from) if !matches!(fault, Some(Fault::NoRange)) => {
                    let range = format!("content-range: bytes {from}-{}/{}\r\n", file.len() - 1, file.len());
                    (206, range, file[from..].to_vec())
                }
                _ => (200, format!("etag: {etag}\r\n"), file),
            }
        }
    }
}
