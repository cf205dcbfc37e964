//! Byte-stable tar headers: POSIX ustar, with PAX records only for values that ustar cannot hold.
//!
//! Sources: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; OCI image-spec layer.md.

use crate::tree::EntryKind;
use crate::tree::TreeEntry;
use tar::EntryType;
use tar::Header;

/// Size of a tar block.
pub const BLOCK: u64 = 512;

/// End of an archive: two zero blocks.
pub const END: [u8; 1024] = [0; 1024];

/// Largest value of a 12-byte octal field.
const OCTAL_MAX: u64 = 0o77_777_777_777;

/// Largest numeric owner in an 8-byte octal field.
const OWNER_MAX: u32 = 0o777_7777;

/// Sizes of ustar's text fields in bytes: name and linkname, and the prefix that is put before the name.
const NAME_SIZE: usize = 100;
const PREFIX_SIZE: usize = 155;

/// Returns the bytes that precede the content of an entry: a PAX header if one is needed, and the ustar header.
///
/// Folders get a trailing slash. Owner names are empty, because images use numeric owners. A hard link is written with its
/// target and without content.
#[must_use]
pub fn header(entry: &TreeEntry) -> Vec<u8> {
    let (kind, link, size) = match &entry.kind {
        EntryKind::Directory => (EntryType::Directory, "", 0),
        EntryKind::File(content) => (EntryType::Regular, "", content.size),
        EntryKind::Symlink(target) => (EntryType::Symlink, target.as_str(), 0),
        EntryKind::Hardlink { target, .. } => (EntryType::Link, target.as_str(), 0),
    };
    let slash = if kind == EntryType::Directory { "/" } else { "" };
    let path = format!("{}{slash}", entry.path);
    // ustar has no negative times: what is older than 1970 becomes 1970
    let mtime = u64::try_from(entry.mtime).unwrap_or(0);

    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(entry.mode);

    // a record for each value that its ustar field cannot hold; readers of PAX ignore the field then
    let mut records = Vec::new();
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

    // fields that overflow get the largest value: the tar crate would write base-256, which POSIX does not know
    header.set_size(size.min(OCTAL_MAX));
    header.set_uid(entry.uid.min(OWNER_MAX).into());
    header.set_gid(entry.gid.min(OWNER_MAX).into());
    header.set_mtime(mtime.min(OCTAL_MAX));
    // the checksum covers all other fields
    header.set_cksum();

    let mut bytes = pax(&records);
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// Returns how many zero bytes follow content of this size, so that the next header begins at a block.
#[must_use]
pub fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}

/// Writes a path into the fields `name` and `prefix`; tells whether it fits. Only ASCII paths do, because ustar defines no
/// other character set.
fn set_path(header: &mut Header, path: &str) -> bool {
    let fields = header.as_ustar_mut().expect("made as ustar");

    if path.is_ascii() && path.len() <= NAME_SIZE {
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        return true;
    }

    if let Some(slash) = split_point(path) {
        fields.prefix[..slash].copy_from_slice(&path.as_bytes()[..slash]);
        fields.name[..path.len() - slash - 1].copy_from_slice(&path.as_bytes()[slash + 1..]);
        return true;
    }

    write_stand_in(&mut fields.name, path);
    false
}

/// Returns the index of the slash that divides a path between the fields `prefix` and `name`, if one can: the first one
/// that leaves a name that fits, for a stable result.
fn split_point(path: &str) -> Option<usize> {
    if !path.is_ascii() {
        return None;
    }

    let mut slashes = path.match_indices('/').map(|(index, _)| index);
    let slash = slashes.find(|slash| path.len() - slash - 1 <= NAME_SIZE)?;
    // later slashes only make the prefix longer; the name must not be empty
    (slash <= PREFIX_SIZE && slash + 1 < path.len()).then_some(slash)
}

/// Writes a link target into the field `linkname`; tells whether it fits.
fn set_link(header: &mut Header, target: &str) -> bool {
    let fields = header.as_ustar_mut().expect("made as ustar");
    write_stand_in(&mut fields.linkname, target);
    target.is_ascii() && target.len() <= NAME_SIZE
}

/// Writes as much of a text as fits, with `_` for bytes beyond ASCII: a reader without PAX sees something harmless and
/// stable.
fn write_stand_in(field: &mut [u8; NAME_SIZE], text: &str) {
    for (target, byte) in field.iter_mut().zip(text.bytes()) {
        *target = if byte.is_ascii() { byte } else { b'_' };
    }
}

/// Returns one PAX record, `<length> <key>=<value>\n`. The length counts its own digits.
fn record(key: &str, value: &str) -> String {
    // blank, equals sign and newline
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    // with its own digits the number may get one digit more
    if length.to_string().len() + rest != length {
        length += 1;
    }

    format!("{length} {key}={value}\n")
}

/// Returns a PAX header with these records, padded to whole blocks; nothing without records.
fn pax(records: &[String]) -> Vec<u8> {
    if records.is_empty() {
        return Vec::new();
    }

    // every field is fixed: nothing of the entry or the machine gets in but the records
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
