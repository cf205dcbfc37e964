//! A project folder (recipes base → runtime → app, one image each) with its own signed archive on loopback, ready to be
//! locked and built by the real binary.

use crate::support::archive::Archive;
use crate::support::deb::Compression;
use crate::support::deb::Deb;
use crate::support::http::Server;
use crate::support::openpgp;
use crate::support::openpgp::Key;
use crate::support::openpgp::Signing;
use sockel::oci::layout;
use sockel::sys::fs;
use sockel::values::Digest;
use sockel::values::Epoch;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Date of the archive's first state: 2025-06-01T02:40:00Z, in the past of every clock.
const DATE: i64 = 1_748_745_600;

/// Folder of the archive on the server. No machine has a mirror of this name in its own APT configuration.
pub(crate) const ROOT: &str = "/sockel-test-archive";

/// A project with archive; recipes may be changed with [`Project::write`], packages with [`Project::publish`].
pub(crate) struct Project {
    pub(crate) server: Server,
    folder: tempfile::TempDir,
    states: i64,
    /// The key that signs what is published from now on.
    pub(crate) key: openpgp::Recipe,
}

/// What a run of the binary gave.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// Returns standard output of a run that must not fail.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Returns standard error of a run that must end with this code.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self.stderr
    }
}

/// Returns how often something is killed: as often as `SOCKEL_KILLS` says, for long runs by hand.
#[expect(clippy::disallowed_methods, reason = "a setting of long runs alone")]
pub(crate) fn kills(usual: usize) -> usize {
    std::env::var("SOCKEL_KILLS").ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// Returns bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Returns the packages of a new project.
pub(crate) fn packages() -> Vec<Deb> {
    vec![
        Deb::new("base-files", "1")
            .field("Installed-Size", "1")
            .dir("/etc")
            .file("/etc/base.conf", b"base\n", 0o644)
            .dir("/usr")
            .dir("/usr/share")
            .dir("/usr/share/doc")
            .dir("/usr/share/doc/base-files")
            .file("/usr/share/doc/base-files/changelog", b"long\n", 0o644)
            .file("/usr/share/doc/base-files/copyright", b"free\n", 0o644)
            .control_file("conffiles", b"/etc/base.conf\n"),
        library("2.0", 1),
        Deb::new("runtime", "17.1")
            .field("Installed-Size", "300")
            .depends("libc (>= 2)")
            .dir("/usr/lib/runtime")
            .dir("/usr/lib/runtime/bin")
            .file("/usr/lib/runtime/bin/run", &noise(2, 1000), 0o755)
            .hardlink("/usr/lib/runtime/bin/start", "/usr/lib/runtime/bin/run")
            .file("/usr/lib/runtime/modules", &noise(3, 300_000), 0o644),
        Deb::new("runtime-data", "17.1")
            .field("Source", "data (17)")
            .field("Installed-Size", "20")
            .architecture("all")
            .file("/usr/share/runtime/table", &[b'x'; 20_000], 0o644),
        Deb::new("app", "3.2-1")
            .field("Installed-Size", "40")
            .depends("runtime, runtime-data")
            .file("/usr/share/app/app.jar", &noise(4, 40_000), 0o644)
            .dir("/var/lib/app")
            .owner(10001, 10001)
            .mode(0o750),
    ]
}

/// Returns the C library of a new project, or another version of it.
pub(crate) fn library(version: &str, seed: u64) -> Deb {
    Deb::new("libc", version)
        .field("Source", "glibc")
        .field("Installed-Size", "60")
        .dir("/lib")
        .file("/lib/libc.so.6", &noise(seed, 60_000), 0o755)
        .link("/lib/libc.so", "libc.so.6")
}

const BASE: &str = r#"
name: base
title: Base
parameters: { release: { default: "1", allowed: [ "1", "2" ], title: Release } }
archives:
  test:
    uri: "URI"
    keys: [ keys/archive.asc ]
    fingerprints: [ FINGERPRINT ]
    origin: Ubuntu
    label: Ubuntu
    components: [ main ]
    pockets: { security: { suite: noble-security, codename: noble } }
packages: [ base-files, libc ]
exclude: { paths: { "/usr/share/doc/**": documentation } }
include-paths: [ "/usr/share/doc/*/copyright" ]
accounts:
  groups: { app: { gid: 10001 } }
  users: { app: { uid: 10001, group: app, home: /home/app, shell: /usr/sbin/nologin, comment: application } }
generate: [ filesystem, nsswitch ]
config: { user: "10001:10001", env: { LANG: C.UTF-8 }, labels: { release: "${release}" } }
"#;

const RUNTIME: &str = r#"
name: runtime
title: Runtime
from: base
packages: [ runtime ]
links: { /usr/bin/run: ../lib/runtime/bin/run }
"#;

const APP: &str = r#"
name: app
title: Application
from: runtime
packages: [ app ]
files: { /etc/app.conf: { content: "port=8080\n" } }
config: { entrypoint: [ run, /usr/share/app/app.jar ], ports: [ 8080/tcp ], writable: { /var/lib/app: state } }
"#;

impl Project {
    /// Makes a project with the usual packages.
    pub(crate) fn new() -> Self {
        Self::with(&packages())
    }

    /// Makes a project with other packages.
    pub(crate) fn with(packages: &[Deb]) -> Self {
        let server = Server::start();
        Self::on(&server).published(packages)
    }

    /// Makes a project whose archive is on this server, which has it already.
    pub(crate) fn on(server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("made");
        let project = Self { server: server.clone(), folder, states: 0, key: openpgp::GOOD };
        let key = Key::new(openpgp::GOOD);
        let uri = format!("{}{ROOT}", server.url());
        project.write("recipes/keys/archive.asc", &String::from_utf8(key.armored()).expect("armor is text"));
        project.write("recipes/base.yaml", &BASE.replace("URI", &uri).replace("FINGERPRINT", &key.fingerprint()));
        project.write("recipes/runtime.yaml", RUNTIME);
        project.write("recipes/app.yaml", APP);
        project.write("recipes/scripts.yaml", "format: 1\nscripts: []\n");
        for (image, version_of) in [("base", "libc"), ("runtime", "runtime"), ("app", "app")] {
            let text = format!(
                "recipe: {image}\nplatforms: [ linux/amd64 ]\n\
                 publish: {{ repository: {image}, tags: [ \"1\", \"{{fixed}}\" ] }}\n\
                 version-of: {version_of}\nrebuild: {{ every: 24h, urgent-within: 6h }}\npurpose: Test of {image}\n\
                 owner: {{ name: Platform, contact: platform@example.org }}\n"
            );
            project.write(&format!("base-images/{image}.yaml"), &text);
        }
        project
    }

    fn published(mut self, packages: &[Deb]) -> Self {
        self.publish(packages);
        self
    }

    /// Puts these packages into the archive and makes an index of them alone; files of earlier ones stay.
    pub(crate) fn publish(&mut self, packages: &[Deb]) {
        let built = packages.iter().map(|deb| (deb.clone(), deb.build(Compression::Zstd))).collect::<Vec<_>>();
        self.publish_files(&built);
    }

    /// Like [`Project::publish`] with any bytes as .debs.
    pub(crate) fn publish_files(&mut self, packages: &[(Deb, Vec<u8>)]) {
        let index = self.put_packages(packages);
        self.publish_index(index);
    }

    /// Puts packages into another suite of the archive.
    pub(crate) fn publish_suite(&mut self, suite: &'static str, packages: &[Deb]) {
        let built = packages.iter().map(|deb| (deb.clone(), deb.build(Compression::Zstd))).collect::<Vec<_>>();
        let index = self.put_packages(&built);
        self.put_state(suite, index);
    }

    /// Puts packages into the pool, and returns their index.
    fn put_packages(&self, packages: &[(Deb, Vec<u8>)]) -> String {
        let mut index = String::new();
        for (deb, bytes) in packages {
            let path = format!("pool/{}_{}.deb", deb.value("Package"), deb.value("Version"));
            index += &format!("{}\n", deb.stanza(&path, bytes.len(), &Digest::of(bytes).hex()));
            self.server.put(&format!("{ROOT}/{path}"), bytes);
        }
        index
    }

    /// Makes this text the archive's index.
    pub(crate) fn publish_index(&mut self, packages: String) {
        self.put_state("noble-security", packages);
    }

    fn put_state(&mut self, suite: &'static str, packages: String) {
        let date = Epoch(DATE + 3600 * self.states);
        self.states += 1;
        let at = u32::try_from(date.0).expect("before 2106");
        let good = Archive::good();
        let signing = Signing { at, ..good.signing };
        let key = self.key;
        let state = Archive { suite, suite_field: suite, packages, date, signing, key, ..good };
        for (path, bytes) in state.files() {
            self.server.put(&path.replacen("/ubuntu", ROOT, 1), &bytes);
        }
    }

    /// Returns a path in the project folder.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir(path.parent().expect("is in the project")).expect("made");
        fs::write_atomic(&path, text.as_bytes()).expect("written");
    }

    /// Changes a file of the project.
    #[track_caller]
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let old = self.text(path);
        assert!(old.contains(from), "{path} has no `{from}`:\n{old}");
        self.write(path, &old.replacen(from, to, 1));
    }

    /// Returns the text of a file of the project.
    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_text(&self.path(path), 1 << 24).expect("read")
    }

    /// Returns the binary: measurements run the release build.
    #[expect(clippy::disallowed_methods, reason = "a setting of measurements alone")]
    fn binary() -> std::ffi::OsString {
        std::env::var_os("SOCKEL_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_sockel").into())
    }

    /// Prepares a run of the binary: empty environment, two threads, everything inside the project folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(Self::binary());
        command.env_clear().env("SOCKEL_THREADS", "2").env("SOCKEL_STORE", self.path("store"));
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    /// Runs the binary.
    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        answer(&mut self.command(arguments))
    }

    /// Returns what `out` or another layout names: reference to digest of index or manifest.
    pub(crate) fn digests(&self, layout: &str) -> BTreeMap<String, String> {
        let folder = self.path(layout);
        let find = |name: String| {
            let target = layout::find(&folder, &name).expect("read").expect("listed");
            (name, target.digest().to_string())
        };
        layout::names(&folder).expect("read").into_iter().map(find).collect()
    }
}

/// Runs a command to its end.
pub(crate) fn answer(command: &mut Command) -> Answer {
    let output = command.output().expect("runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Answer { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Returns all paths of files below a folder, relative to it, sorted.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let relative = |found: fs::FoundFile| found.path.strip_prefix(folder).expect("below").display().to_string();
    fs::walk(folder).expect("listed").into_iter().map(relative).collect()
}
