//! Byte-stable tar headers: one dialect (POSIX ustar), PAX records only where ustar cannot say it.
//!
//! Sources: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; OCI image-spec layer.md.

use crate::tree::Entry;
use crate::tree::Kind;
use tar::EntryType;
use tar::Header;

/// Size of a tar block.
pub const BLOCK: u64 = 512;

/// Two zero blocks end an archive.
pub const END: [u8; 1024] = [0; 1024];

/// Largest value of a 12-byte octal field.
const OCTAL_MAX: u64 = 0o77_777_777_777;

/// Largest numeric owner in an 8-byte octal field.
const OWNER_MAX: u32 = 0o777_7777;

/// Returns the bytes that stand before the entry's content: a PAX header where forced, and the ustar header.
///
/// Folders get a trailing slash. Owner names are empty, because numbers decide in images. A hard link is written with
/// its target and no content.
#[must_use]
pub fn header(entry: &Entry) -> Vec<u8> {
    let (kind, link, size) = match &entry.kind {
        Kind::Directory => (EntryType::Directory, "", 0),
        Kind::File(content) => (EntryType::Regular, "", content.size),
        Kind::Symlink(target) => (EntryType::Symlink, target.as_str(), 0),
        Kind::Hardlink { target, .. } => (EntryType::Link, target.as_str(), 0),
    };
    let slash = if kind == EntryType::Directory { "/" } else { "" };
    let path = format!("{}{slash}", entry.path);
    let mtime = u64::try_from(entry.mtime).unwrap_or(0);
    let mut records = Vec::new();
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    if !set_path(&mut header, &path) {
        records.push(record("path", &path));
    }
    if !set_link(&mut header, link) {
        records.push(record("linkpath", link));
    }
    if size > OCTAL_MAX {
        records.push(record("size", &size.to_string()));
    }
    for (name, owner) in [("uid", entry.uid), ("gid", entry.gid)] {
        if owner > OWNER_MAX {
            records.push(record(name, &owner.to_string()));
        }
    }
    header.set_size(size.min(OCTAL_MAX));
    header.set_uid(entry.uid.min(OWNER_MAX).into());
    header.set_gid(entry.gid.min(OWNER_MAX).into());
    header.set_mtime(mtime.min(OCTAL_MAX));
    header.set_cksum();
    let mut bytes = pax(&records);
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// Returns how many zero bytes follow content of this size.
#[must_use]
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}

/// Writes the path into name and prefix fields; tells whether it fits there. Only ASCII does, since ustar has no
/// character set.
fn set_path(header: &mut Header, path: &str) -> bool {
    let fields = header.as_ustar_mut().expect("made as ustar");
    if path.is_ascii() && path.len() <= 100 {
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        return true;
    }
    let split = path.is_ascii().then(|| path.char_indices().find(|(at, c)| *c == '/' && path.len() - at - 1 <= 100));
    match split.flatten() {
        Some((at, _)) if at <= 155 && at + 1 < path.len() => {
            fields.prefix[..at].copy_from_slice(&path.as_bytes()[..at]);
            fields.name[..path.len() - at - 1].copy_from_slice(&path.as_bytes()[at + 1..]);
            true
        }
        _ => {
            // what a reader without PAX would see: something harmless and stable
            let stand_in: Vec<u8> = path.bytes().map(|byte| if byte.is_ascii() { byte } else { b'_' }).collect();
            let length = stand_in.len().min(100);
            fields.name[..length].copy_from_slice(&stand_in[..length]);
            false
        }
    }
}

fn set_link(header: &mut Header, link: &str) -> bool {
    let fits = link.is_ascii() && link.len() <= 100;
    let fields = header.as_ustar_mut().expect("made as ustar");
    let stand_in: Vec<u8> = link.bytes().map(|byte| if byte.is_ascii() { byte } else { b'_' }).collect();
    let length = stand_in.len().min(100);
    fields.linkname[..length].copy_from_slice(&stand_in[..length]);
    fits
}

/// One record, `<length> <key>=<value>\n`, where the length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() + rest != length {
        length += 1;
    }
    format!("{length} {key}={value}\n")
}

fn pax(records: &[String]) -> Vec<u8> {
    if records.is_empty() {
        return Vec::new();
    }
    let data = records.concat().into_bytes();
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    set_path(&mut header, "PaxHeader");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(data.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    let padded = data.len() + usize::try_from(padding(data.len() as u64)).expect("less than a block");
    bytes.extend_from_slice(&data);
    bytes.resize(512 + padded, 0);
    bytes
}
