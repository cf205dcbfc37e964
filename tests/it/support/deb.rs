//! Builds .deb files in memory, the same bytes for the same calls, sound or hostile.
#![allow(dead_code, reason = "every test that includes this file uses another part of it")]

use std::io::Write;

/// How the members of a .deb are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// A .deb in the making. Paths are absolute (`/usr/bin/x`) and stored as dpkg does (`./usr/bin/x`); paths that start
/// otherwise are stored as they are.
#[derive(Debug, Clone)]
pub(crate) struct Deb {
    fields: Vec<(String, String)>,
    control_files: Vec<(String, Vec<u8>, u32)>,
    entries: Vec<Entry>,
    mtime: u64,
}

/// One entry of data.tar.
#[derive(Debug, Clone)]
struct Entry {
    path: String,
    kind: tar::EntryType,
    target: String,
    content: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    /// Names of user and group, which packagers other than dpkg-deb may write alone.
    names: (&'static str, &'static str),
}

impl Deb {
    /// Starts a package for amd64.
    pub(crate) fn new(name: &str, version: &str) -> Self {
        let fields = [
            ("Package", name),
            ("Version", version),
            ("Architecture", "amd64"),
            ("Maintainer", "Test <test@example.org>"),
            ("Priority", "optional"),
            ("Description", "test package"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { fields, control_files: Vec::new(), entries: Vec::new(), mtime: 1_700_000_000 }
    }

    /// Sets a control field.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(existing, _)| existing != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the value of a control field, empty where there is none.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn architecture(self, architecture: &str) -> Self {
        self.field("Architecture", architecture)
    }

    pub(crate) fn depends(self, relations: &str) -> Self {
        self.field("Depends", relations)
    }

    /// Sets the time of all entries, seconds since 1970.
    pub(crate) fn mtime(mut self, mtime: u64) -> Self {
        self.mtime = mtime;
        self
    }

    pub(crate) fn file(self, path: &str, content: &[u8], mode: u32) -> Self {
        self.entry(path, tar::EntryType::Regular, "", mode).with(|entry| entry.content = content.to_vec())
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(path, tar::EntryType::Directory, "", 0o755)
    }

    /// Adds a symbolic link with its target as written.
    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        self.entry(path, tar::EntryType::Symlink, target, 0o777)
    }

    /// Adds another name for the file `target`, which was added before.
    pub(crate) fn hardlink(self, path: &str, target: &str) -> Self {
        let target = stored(target);
        self.entry(path, tar::EntryType::Link, &target, 0o644)
    }

    /// Adds a character device.
    pub(crate) fn device(self, path: &str) -> Self {
        self.entry(path, tar::EntryType::Char, "", 0o666)
    }

    pub(crate) fn fifo(self, path: &str) -> Self {
        self.entry(path, tar::EntryType::Fifo, "", 0o644)
    }

    /// Gives the last entry another mode (`.mode(0o4755)`).
    pub(crate) fn mode(self, mode: u32) -> Self {
        self.with(|entry| entry.mode = mode)
    }

    /// Gives the last entry an owner and group.
    pub(crate) fn owner(self, uid: u64, gid: u64) -> Self {
        self.with(|entry| entry.owner = (uid, gid))
    }

    /// Gives the last entry an owner and group by name; the numbers stay root's.
    pub(crate) fn owned_by(self, user: &'static str, group: &'static str) -> Self {
        self.with(|entry| entry.names = (user, group))
    }

    /// Adds a maintainer script.
    pub(crate) fn script(mut self, name: &str, text: &str) -> Self {
        self.control_files.push((name.to_owned(), text.as_bytes().to_vec(), 0o755));
        self
    }

    /// Adds another file to control.tar: `conffiles`, `md5sums`, `triggers`.
    pub(crate) fn control_file(mut self, name: &str, bytes: &[u8]) -> Self {
        self.control_files.push((name.to_owned(), bytes.to_vec(), 0o644));
        self
    }

    /// Returns the text of the control file.
    pub(crate) fn control(&self) -> String {
        self.fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    /// Returns the stanza of a Packages index for this .deb, without the digest and size that only the caller knows.
    pub(crate) fn stanza(&self, filename: &str, size: usize, sha256: &str) -> String {
        format!("{}Filename: {filename}\nSize: {size}\nSHA256: {sha256}\n", self.control())
    }

    /// Returns the .deb.
    pub(crate) fn build(&self, compression: Compression) -> Vec<u8> {
        let extension = extension(compression);
        archive(&[
            ("debian-binary", b"2.0\n"),
            (&format!("control.tar{extension}"), &compress(&self.control_tar(), compression)),
            (&format!("data.tar{extension}"), &compress(&self.data_tar(), compression)),
        ])
    }

    /// Returns the decompressed control.tar.
    pub(crate) fn control_tar(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        append(&mut tar, &Entry::new("./", tar::EntryType::Directory, "", 0o755), self.mtime);
        let control = ("control".to_owned(), self.control().into_bytes(), 0o644);
        for (name, bytes, mode) in [&control].into_iter().chain(&self.control_files) {
            let mut entry = Entry::new(&format!("./{name}"), tar::EntryType::Regular, "", *mode);
            entry.content.clone_from(bytes);
            append(&mut tar, &entry, self.mtime);
        }
        end(tar)
    }

    /// Returns the decompressed data.tar.
    pub(crate) fn data_tar(&self) -> Vec<u8> {
        let mut tar = Vec::new();
        append(&mut tar, &Entry::new("./", tar::EntryType::Directory, "", 0o755), self.mtime);
        for entry in &self.entries {
            append(&mut tar, entry, self.mtime);
        }
        end(tar)
    }

    fn entry(mut self, path: &str, kind: tar::EntryType, target: &str, mode: u32) -> Self {
        let mut path = stored(path);
        if kind == tar::EntryType::Directory && !path.ends_with('/') {
            path.push('/');
        }
        self.entries.push(Entry::new(&path, kind, target, mode));
        self
    }

    fn with(mut self, change: impl FnOnce(&mut Entry)) -> Self {
        change(self.entries.last_mut().expect("an entry was added before"));
        self
    }
}

impl Entry {
    fn new(path: &str, kind: tar::EntryType, target: &str, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            target: target.to_owned(),
            content: Vec::new(),
            mode,
            owner: (0, 0),
            names: ("", ""),
        }
    }
}

/// `/usr/bin/x` as dpkg stores it; `//etc/x` stores the absolute path `/etc/x`.
fn stored(path: &str) -> String {
    match path.strip_prefix('/') {
        Some(absolute) if absolute.starts_with('/') => absolute.to_owned(),
        Some(relative) => format!("./{relative}"),
        None => path.to_owned(),
    }
}

/// Appends a GNU tar entry, byte by byte, so that hostile paths are not refused.
fn append(tar: &mut Vec<u8>, entry: &Entry, mtime: u64) {
    for (text, kind) in [(&entry.target, tar::EntryType::GNULongLink), (&entry.path, tar::EntryType::GNULongName)] {
        if text.len() > 100 {
            let mut bytes = text.clone().into_bytes();
            bytes.push(0);
            let mut long = Entry::new("././@LongLink", kind, "", 0o644);
            long.content = bytes;
            append(tar, &long, 0);
        }
    }
    let mut header = tar::Header::new_gnu();
    let gnu = header.as_gnu_mut().expect("it was made as a GNU header");
    put(&mut gnu.name, &entry.path);
    put(&mut gnu.linkname, &entry.target);
    header.set_entry_type(entry.kind);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    header.set_username(entry.names.0).expect("a short name");
    header.set_groupname(entry.names.1).expect("a short name");
    header.set_mtime(mtime);
    header.set_size(entry.content.len() as u64);
    if entry.kind == tar::EntryType::Char {
        header.set_device_major(1).expect("it was made as a GNU header");
        header.set_device_minor(3).expect("it was made as a GNU header");
    }
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(&entry.content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

fn put(field: &mut [u8; 100], text: &str) {
    let length = text.len().min(100);
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

fn end(mut tar: Vec<u8>) -> Vec<u8> {
    tar.resize((tar.len() + 1024).next_multiple_of(10_240), 0);
    tar
}

/// Returns the ending of member names.
pub(crate) fn extension(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Xz => ".xz",
        Compression::Zstd => ".zst",
    }
}

/// Compresses a member.
pub(crate) fn compress(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
            encoder.write_all(bytes).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).expect("memory takes it"),
    }
}

/// Returns an ar archive of members.
pub(crate) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len());
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}
