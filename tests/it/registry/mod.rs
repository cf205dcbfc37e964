//! Contract of `oci::registry` against a registry that fails on request: whole images or none, bounded work, no secret
//! elsewhere.

mod login;
mod peer;
mod pull;
mod push;

use crate::support::project::noise;
use crate::support::registry::Registry as Double;
use oci_spec::image::Descriptor;
use serde_json::json;
use sockel::oci;
use sockel::oci::registry::Error;
use sockel::oci::registry::PushOutcome;
use sockel::oci::registry::PushRequest;
use sockel::oci::registry::RegistryClient;
use sockel::report::EventRecorder;
use sockel::sys::fs;
use sockel::sys::http::HostOptions;
use sockel::sys::http::HttpClient;
use sockel::sys::http::HttpOptions;
use sockel::values::Digest;
use sockel::values::Login;
use sockel::values::Secret;
use std::future::Future;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const REPOSITORY: &str = "staging/base";
const MARKER: &str = "marker-password-7f3a";
const SIZES: [usize; 4] = [300_000, 120_000, 5_000, 1];

/// An image in a layout folder: two platforms that share all layers but one.
struct Image {
    folder: TempDir,
    target: Descriptor,
    /// Digest and size of every blob.
    blobs: Vec<(Digest, u64)>,
}

impl Image {
    /// Makes an image; the first layer comes from the seed, the others are always the same.
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(&folder.path().join("blobs/sha256")).unwrap();
        let mut blobs = Vec::new();
        let add = |media_type: &str, bytes: &[u8]| {
            let digest = Digest::of(bytes);
            fs::write_atomic(&folder.path().join("blobs/sha256").join(digest.hex()), bytes).unwrap();
            oci::descriptor(media_type, &digest, bytes.len() as u64)
        };
        let mut children = Vec::new();
        for platform in ["amd64", "arm64"] {
            let config = json!({ "architecture": platform, "os": "linux", "seed": seed }).to_string();
            let config = add("application/vnd.oci.image.config.v1+json", config.as_bytes());
            let mut layers = Vec::new();
            for (place, size) in SIZES.into_iter().enumerate() {
                let seed = if place == 0 { seed } else { place as u64 };
                layers.push(add("application/vnd.oci.image.layer.v1.tar+gzip", &noise(seed, size)));
            }
            blobs.extend(layers.iter().chain([&config]).map(|one| (oci::digest_of(one).unwrap(), one.size())));
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers });
            children.push(add(media_type, &oci::canonical(&manifest)));
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": children });
        let target = add(media_type, &oci::canonical(&index));
        blobs.sort();
        blobs.dedup();
        Self { folder, target, blobs }
    }

    fn digest(&self) -> String {
        self.target.digest().to_string()
    }

    fn bytes(&self) -> u64 {
        self.blobs.iter().map(|(_, size)| size).sum()
    }

    /// Returns how the image is pushed unless a test changes that.
    fn push<'a>(&'a self, tags: &'a [String]) -> PushRequest<'a> {
        let layout = self.folder.path();
        let (target, mount_from) = (&self.target, [].as_slice());
        PushRequest {
            layout,
            target,
            repository: REPOSITORY,
            tags,
            mount_from,
            elsewhere: &[],
            chunk: None,
            is_new: false,
        }
    }
}

fn tags(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn login(password: &str) -> Login {
    Login { user: "robot$ci".to_owned(), password: Secret::new(password.to_owned()) }
}

fn options() -> HostOptions {
    let (backoff, outage) = (Duration::from_millis(2), Duration::ZERO);
    HostOptions { backoff, outage, ..HostOptions::usual(false) }
}

fn connect(double: &Double, login: Option<Login>, options: HostOptions) -> RegistryClient {
    RegistryClient::new(double.url().parse().unwrap(), options, login)
}

fn run<F: Future>(future: F) -> F::Output {
    HttpClient::new(HttpOptions::usual(false, None)).block_on(future).unwrap()
}

/// Pushes as a client of its own.
fn push(double: &Double, push: &PushRequest<'_>) -> Result<PushOutcome, Error> {
    run(connect(double, None, options()).push(push, &EventRecorder::default()))
}

/// Checks that every tag stands for a complete image.
#[track_caller]
fn assert_whole(double: &Double, repository: &str, expected: &[&str], context: &str) {
    let tags = double.tags(repository);
    assert_eq!(tags.keys().map(String::as_str).collect::<Vec<_>>(), expected, "{context}");
    let contents = double.contents();
    let Some(repository) = contents.repositories.get(repository) else { return };
    for manifest in repository.manifests.values() {
        assert_eq!(repository.missing(manifest), Vec::<String>::new(), "{context}");
    }
}

/// Checks that a folder has exactly these blobs, each with its bytes.
#[track_caller]
fn assert_blobs(folder: &Path, count: usize) {
    let names = fs::list(&folder.join("blobs/sha256")).unwrap();
    assert_eq!(names.len(), count);
    for name in names {
        let bytes = fs::read(&folder.join("blobs/sha256").join(&name), 1 << 20).unwrap();
        assert_eq!(Digest::of(&bytes).hex(), name);
    }
}
