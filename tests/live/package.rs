//! Unpacks .debs as `sockel build` does and says what came out, for `packages.py` and `dpkg.py` to compare with dpkg.
//!
//! `cargo test --test live-package -- [--accounts <folder>] <store> <.deb …>`; one JSON document a line. With a folder that
//! has `passwd` and `group`, owners are looked up there, as in an image. Never part of a normal test run.

use serde_json::Value;
use serde_json::json;
use sockel::apt::control::Paragraph;
use sockel::layer::generate::AccountIds;
use sockel::layer::unpack::StoredDeb;
use sockel::layer::unpack::UnpackedPackage;
use sockel::layer::unpack::unpack;
use sockel::store::Store;
use sockel::sys::fs;
use sockel::tree::ContentSource;
use sockel::tree::EntryKind;
use sockel::tree::TreeEntry;
use sockel::values::CONTENT_MTIME;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest .deb that is read.
const LIMIT: u64 = 1 << 30;

fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let accounts = arguments.next_if_eq("--accounts").map(|_| read_accounts(&arguments.next().expect("a folder")));
    let Some(folder) = arguments.next() else {
        println!("nothing to unpack: give a folder for a store, and .debs");
        return;
    };
    let store = Store::open(Path::new(&folder)).expect("a store");
    for path in arguments {
        let bytes = fs::read(Path::new(&path), LIMIT).expect("a .deb");
        let digest = store.add(&bytes).expect("stored");
        let deb = StoredDeb { name: path.clone(), digest, size: bytes.len() as u64 };
        let answer = match unpack(&deb, 2, &store) {
            Ok(mut unpacked) => {
                own(&mut unpacked, accounts.as_ref().unwrap_or(&AccountIds::default()));
                json!({ "deb": path, "fields": fields(&unpacked, &store), "control": members(&unpacked),
                    "entries": unpacked.entries.iter().map(show).collect::<Vec<_>>(), "folder-time": CONTENT_MTIME })
            }
            Err(error) => json!({ "deb": path, "error": error.to_string() }),
        };
        println!("{answer}");
    }
}

/// Reads the accounts of a system (passwd(5), group(5)).
fn read_accounts(folder: &str) -> AccountIds {
    let ids = |file| -> BTreeMap<String, u32> {
        let bytes = fs::read(&Path::new(folder).join(file), LIMIT).expect("accounts");
        let lines = String::from_utf8(bytes).expect("text");
        let fields = lines.lines().map(|line| line.split(':').collect::<Vec<_>>());
        fields.map(|line| (line[0].to_owned(), line[2].parse().expect("a number"))).collect()
    };
    AccountIds { users: ids("passwd"), groups: ids("group") }
}

/// Gives all entries the owners that these accounts have.
fn own(unpacked: &mut UnpackedPackage, accounts: &AccountIds) {
    let UnpackedPackage { entries, owners, .. } = unpacked;
    for entry in entries {
        if let Some(names) = owners.get(&entry.path) {
            accounts.own(entry, names);
        }
    }
}

/// Members of the control archive with their digests.
fn members(unpacked: &UnpackedPackage) -> Value {
    unpacked.control.iter().map(|(name, content)| (name.clone(), Value::from(content.digest.hex()))).collect()
}

/// Fields of the control file as they are read, from the bytes that the store keeps.
fn fields(unpacked: &UnpackedPackage, store: &Store) -> Value {
    let control = &unpacked.control["control"];
    let ContentSource::Payload { key, offset } = control.source else { panic!("packages have a payload") };
    let payload = fs::read(&store.package(&key).join("payload"), 8 * LIMIT).expect("kept");
    let start = usize::try_from(offset).expect("in memory");
    let bytes = &payload[start..start + usize::try_from(control.size).expect("in memory")];
    let paragraph = Paragraph::parse_bytes(bytes).expect("one paragraph");
    paragraph.fields().map(|field| (field.name().to_owned(), Value::from(field.value()))).collect()
}

fn show(entry: &TreeEntry) -> Value {
    let (kind, target) = match &entry.kind {
        EntryKind::Directory => ("folder", None),
        EntryKind::File(_) => ("file", None),
        EntryKind::Symlink(target) => ("symlink", Some(target)),
        EntryKind::Hardlink { target, .. } => ("hardlink", Some(target)),
    };
    let content = entry.content();
    json!({
        "path": entry.path, "kind": kind, "target": target, "mode": entry.mode, "uid": entry.uid, "gid": entry.gid,
        "mtime": entry.mtime, "size": content.map(|content| content.size),
        "digest": content.map(|content| content.digest.hex()),
    })
}
