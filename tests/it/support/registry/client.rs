//! A client that sends what it is told, to try the doubles themselves.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;

/// An answer; status 0 where the connection ended without one.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Returns a header by its lower-case name, empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Returns the code of an error answer.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// One connection to a server.
pub(crate) struct Client {
    connection: BufReader<TcpStream>,
    host: String,
    /// Sent with every request.
    pub(crate) headers: Vec<(String, String)>,
}

impl Client {
    /// Connects to `127.0.0.1:PORT`.
    pub(crate) fn connect(address: &str) -> Self {
        let connection = BufReader::new(TcpStream::connect(address).unwrap());
        Self { connection, host: address.to_owned(), headers: Vec::new() }
    }

    /// Sends this header with every request.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends Basic authorization with every request.
    pub(crate) fn login(self, user: &str, password: &str) -> Self {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        self.with("authorization", &format!("Basic {encoded}"))
    }

    /// Sends a request and returns the answer as far as it came.
    pub(crate) fn ask(&mut self, method: &str, target: &str, body: &[u8]) -> Reply {
        let length = format!("content-length: {}", body.len());
        self.send(method, target, &length, body);
        self.reply(method)
    }

    /// Sends a request with a JSON body.
    pub(crate) fn json(&mut self, method: &str, target: &str, body: &Value) -> Reply {
        let body = body.to_string();
        let headers = format!("content-type: application/json\r\ncontent-length: {}", body.len());
        self.send(method, target, &headers, body.as_bytes());
        self.reply(method)
    }

    /// Sends a request as it is: header lines without the last line break, then the body.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &str, body: &[u8]) {
        // an address as answers give it
        let prefix = format!("http://{}", self.host);
        let target = target.strip_prefix(prefix.as_str()).unwrap_or(target);
        let own: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n{own}{headers}\r\n\r\n", self.host);
        let connection = self.connection.get_mut();
        let _server_may_be_gone = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body));
    }

    /// Reads the next answer as far as it comes.
    pub(crate) fn reply(&mut self, method: &str) -> Reply {
        let mut reply = Reply::default();
        let mut line = String::new();
        if self.connection.read_line(&mut line).unwrap_or(0) == 0 {
            return reply;
        }
        reply.status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        loop {
            let mut line = String::new();
            let _ends_with_the_connection = self.connection.read_line(&mut line);
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            reply.headers.insert(name.to_lowercase(), value.trim_start().to_owned());
        }
        let length = reply.header("content-length").parse().unwrap_or(0);
        if method != "HEAD" {
            let _as_far_as_it_comes = self.connection.by_ref().take(length).read_to_end(&mut reply.body);
        }
        reply
    }
}
