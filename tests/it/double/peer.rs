//! The registry double answers as Debian's `docker-registry`; the address of an empty one is given from outside.

use crate::double::MANIFEST;
use crate::double::digest;
use crate::double::manifest;
use crate::support::registry::Registry;
use crate::support::registry::client::Client;
use crate::support::registry::client::Reply;
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const VARIABLE: &str = "SOCKEL_REGISTRY_PEER";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Headers whose presence is compared; of some the value as well.
const PRESENT: &[&str] = &["location", "docker-content-digest", "docker-upload-uuid"];
const SAME: &[&str] = &["range", "content-range", "content-type"];

/// What one registry answered, line by line.
struct Transcript {
    address: String,
    lines: Vec<String>,
}

impl Transcript {
    /// Asks on a connection of its own, so that one broken answer spoils no other.
    fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let client = Client::connect(&self.address);
        let reply =
            headers.iter().fold(client, |client, (name, value)| client.with(name, value)).ask(method, target, body);
        let present = PRESENT.iter().filter(|name| reply.headers.contains_key(**name));
        let same = SAME.iter().map(|name| format!("{name}={}", reply.header(name)));
        let headers: Vec<String> = present.map(|&name| name.to_owned()).chain(same).collect();
        let label = target.split('?').next().unwrap().rsplit('/').take(2).collect::<Vec<_>>().join(" of ");
        // names of uploads differ
        let label = if target.contains("uploads") { "upload" } else { &label };
        self.lines.push(format!("{method} {label}: {} {} {}", reply.status, reply.code(), headers.join(" ")));
        reply
    }

    fn plain(&mut self, method: &str, target: &str) -> Reply {
        self.ask(method, target, &[], b"")
    }

    /// Begins an upload; returns its address.
    fn begin(&mut self) -> String {
        self.plain("POST", "/v2/p/a/blobs/uploads/").header("location").to_owned()
    }

    fn put(&mut self, location: &str, wanted: &[u8], body: &[u8]) {
        self.ask("PUT", &format!("{location}&digest={}", digest(wanted)), &[], body);
    }

    fn put_manifest(&mut self, path: &str, media_type: &str, body: &str) {
        self.ask("PUT", &format!("/v2/p/{path}"), &[("content-type", media_type)], body.as_bytes());
    }

    fn uploads(&mut self) {
        let begun = self.begin();
        self.plain("GET", &begun);
        let first = self.ask("PATCH", &begun, &[], b"01234").header("location").to_owned();
        self.ask("PATCH", &begun, &[], b"56789");
        self.plain("GET", &first);
        let second = self.ask("PATCH", &first, &[("content-range", "20-24")], b"56789").header("location").to_owned();
        self.plain("PUT", &second);
        self.put(&second, b"zz", b"");
        self.plain("GET", &second);
        self.put(&second, b"0123456789", b"");
        for body in [b"layer".as_slice(), b"{}"] {
            let begun = self.begin();
            self.put(&begun, body, body);
            self.put(&begun, body, body);
        }
        let begun = self.begin();
        self.put(&begun, b"other", b"wrong");
        self.plain("GET", &begun);
        let begun = self.begin();
        self.plain("DELETE", &begun);
        self.plain("GET", &begun);
        let mount = |digest: &str, from: &str| format!("/v2/p/b/blobs/uploads/?mount={digest}{from}");
        self.plain("POST", &mount(&digest(b"layer"), "&from=p/a"));
        self.plain("POST", &mount(&digest(b"absent"), "&from=p/a"));
        self.plain("POST", &mount(&digest(b"{}"), ""));
    }

    /// Breaks off in the middle of a body, then tries to go on.
    fn broken_uploads(&mut self) {
        for method in ["PATCH", "PUT"] {
            let begun = self.begin();
            let path = begun.splitn(4, '/').nth(3).unwrap().to_owned();
            let target = format!("/{path}&digest={}", digest(b"broken"));
            let head =
                format!("{method} {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: 100\r\n\r\nbro", self.address);
            TcpStream::connect(&self.address).unwrap().write_all(head.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(500));
            self.plain("GET", &begun);
            self.put(&begun, b"broken", b"broken");
        }
    }

    fn blobs(&mut self) {
        let path = format!("/v2/p/a/blobs/{}", digest(b"layer"));
        for range in ["bytes=2-", "bytes=1-2", "bytes=0-99", "bytes=5-"] {
            self.ask("GET", &path, &[("range", range)], b"");
        }
        self.plain("GET", &path);
        self.plain("HEAD", &path);
        self.plain("GET", &path.replace("p/a", "p/c"));
        self.plain("HEAD", &format!("/v2/p/a/blobs/{}", digest(b"absent")));
    }

    fn manifests(&mut self) {
        let image = manifest(b"{}", &[b"layer"]).to_string();
        self.put_manifest("a/manifests/1", MANIFEST, &manifest(b"{}", &[b"absent"]).to_string());
        self.put_manifest("a/manifests/1", MANIFEST, &image);
        self.put_manifest("a/manifests/1", MANIFEST, &image);
        self.put_manifest(&format!("a/manifests/{}", digest(b"x")), MANIFEST, &image);
        self.put_manifest("a/manifests/2", MANIFEST, "nothing");
        self.put_manifest("a/manifests/2", "application/vnd.docker.distribution.manifest.v2+json", &image);
        self.put_manifest("b/manifests/1", MANIFEST, &image);
        let digest_of = digest(image.as_bytes());
        for child in [digest_of.clone(), digest(b"absent")] {
            let child = json!({ "mediaType": MANIFEST, "digest": child, "size": image.len() });
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child] });
            self.put_manifest("a/manifests/all", INDEX, &index.to_string());
        }
        for accept in ["*/*", MANIFEST, INDEX] {
            self.ask("GET", "/v2/p/a/manifests/1", &[("accept", accept)], b"");
            self.ask("HEAD", &format!("/v2/p/a/manifests/{digest_of}"), &[("accept", accept)], b"");
        }
        for target in ["/v2/p/a/manifests/1", "/v2/p/a/manifests/9", "/v2/p/a/tags/list", "/v2/nothing", "/v2/"] {
            self.plain("GET", target);
        }
        self.plain("GET", &format!("/v2/p/a/referrers/{digest_of}"));
    }

    fn of(address: &str) -> Vec<String> {
        let mut transcript = Self { address: address.to_owned(), lines: Vec::new() };
        transcript.plain("GET", "/v2/p/a/tags/list");
        transcript.uploads();
        transcript.broken_uploads();
        transcript.blobs();
        transcript.manifests();
        transcript.lines
    }
}

/// Skipped where no registry is named.
#[test]
#[expect(clippy::disallowed_methods, reason = "the variable is for this test only")]
fn answers_as_the_real_one() {
    let double = Transcript::of(&Registry::start().address());
    assert!(double.len() > 60, "{} answers", double.len());
    let Ok(address) = std::env::var(VARIABLE) else {
        println!("skipped: {VARIABLE} does not name an empty docker-registry, HOST:PORT");
        return;
    };
    let peer = Transcript::of(&address);
    let other: Vec<_> = double.iter().zip(&peer).filter(|(double, peer)| double != peer).collect();
    assert!(other.is_empty() && double.len() == peer.len(), "double, peer: {other:#?}");
}
