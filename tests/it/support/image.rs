//! A finished image as its consumers see it: documents and layers out of an OCI layout folder.

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use sockel::sys::fs;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// One platform of an image.
pub(crate) struct Image {
    pub(crate) index: Value,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    pub(crate) layers: Vec<Layer>,
}

/// One layer, unpacked in memory.
pub(crate) struct Layer {
    pub(crate) digest: String,
    pub(crate) members: Vec<Member>,
}

/// One member of a layer's tar.
pub(crate) struct Member {
    pub(crate) path: String,
    pub(crate) kind: tar::EntryType,
    pub(crate) mode: u32,
    owner: (u64, u64),
    target: String,
    pub(crate) content: Vec<u8>,
}

impl Image {
    /// Reads the only platform of `<image>:<tag>`.
    #[track_caller]
    pub(crate) fn read(layout: &Path, name: &str) -> Self {
        let list = document(&layout.join("index.json"));
        let is_it = |target: &&Value| target["annotations"]["org.opencontainers.image.ref.name"] == name;
        let target = list["manifests"].as_array().expect("a list").iter().find(is_it).expect("listed");
        let index = document(&blob(layout, target));
        let manifest = document(&blob(layout, &index["manifests"][0]));
        let config = document(&blob(layout, &manifest["config"]));
        let layers = manifest["layers"].as_array().expect("a list").iter();
        let layers = layers.map(|layer| Layer::read(layer, &blob(layout, layer))).collect();
        Self { index, manifest, config, layers }
    }

    /// Returns the digests of all layers, from the bottom up.
    pub(crate) fn digests(&self) -> Vec<&str> {
        self.layers.iter().map(|layer| layer.digest.as_str()).collect()
    }

    /// Returns the uppermost member with this path.
    pub(crate) fn get(&self, path: &str) -> Option<&Member> {
        self.layers.iter().rev().flat_map(|layer| &layer.members).find(|member| member.path == path)
    }

    /// Returns one line a member of all layers from this one on.
    pub(crate) fn text(&self, from: usize) -> String {
        let line = |member: &Member| format!("{}\n", member.line());
        let layer = |layer: &Layer| layer.members.iter().map(line).collect::<String>();
        self.layers[from..].iter().map(layer).collect::<Vec<_>>().join("--\n")
    }
}

impl Layer {
    fn read(descriptor: &Value, path: &Path) -> Self {
        assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
        let mut archive = tar::Archive::new(MultiGzDecoder::new(fs::open(path).expect("opened")));
        let members = archive.entries().expect("a tar").map(|member| Member::read(member.expect("sound"))).collect();
        Self { digest: descriptor["digest"].as_str().expect("text").to_owned(), members }
    }
}

impl Member {
    fn read(mut member: tar::Entry<'_, impl Read>) -> Self {
        let mut content = Vec::new();
        member.read_to_end(&mut content).expect("sound");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let header = member.header();
        Self {
            path: text(&member.path_bytes()).trim_end_matches('/').to_owned(),
            kind: header.entry_type(),
            mode: header.mode().expect("a number"),
            owner: (header.uid().expect("a number"), header.gid().expect("a number")),
            target: member.link_name_bytes().map_or(String::new(), |bytes| text(&bytes)),
            content,
        }
    }

    fn line(&self) -> String {
        let Self { path, kind, mode, owner: (uid, gid), target, content } = self;
        match kind {
            tar::EntryType::Directory => format!("{path}/ {mode:04o} {uid}:{gid}"),
            tar::EntryType::Symlink => format!("{path} -> {target}"),
            tar::EntryType::Link => format!("{path} = {target}"),
            _ => format!("{path} {mode:04o} {uid}:{gid} {}", content.len()),
        }
    }
}

/// Returns where the blob of a descriptor is, which must have the size that it says.
fn blob(layout: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().expect("text");
    let path = layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    assert_eq!(fs::size(&path), descriptor["size"].as_u64(), "{}", path.display());
    path
}

fn document(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path, 1 << 24).expect("read")).expect("JSON")
}
