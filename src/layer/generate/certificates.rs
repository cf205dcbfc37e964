//! Owns the PEM trust store: bundle, links by name and by subject hash, list and files of the organisation.
//!
//! Writes exactly what `update-ca-certificates` of package ca-certificates writes on a fresh system, so that running it
//! later changes nothing: files below `/usr/share/ca-certificates` in C order, then those below
//! `/usr/local/share/ca-certificates`; hashed links as `openssl rehash` numbers them. Expired
//! certificates stay, because whether one has expired depends on the day of the build.

use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::file;
use crate::layer::generate::link;
use crate::layer::generate::x509;
use crate::layer::generate::x509::X509Certificate;
use crate::recipe::LevelDefinition;
use crate::tree::TreeEntry;
use crate::values::Digest;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

const NAME: &str = "certificates";
const PACKAGED: &str = "usr/share/ca-certificates";
const LOCAL: &str = "usr/local/share/ca-certificates";
const STORE: &str = "etc/ssl/certs";

/// Head of `/etc/ca-certificates.conf`; the words are ours, the syntax is update-ca-certificates(8)'s.
const LIST_HEAD: &str = "\
# Certificates below /usr/share/ca-certificates that are trusted; read by update-ca-certificates(8).
# A line that begins with ! deselects a certificate.
";

/// Runs whenever any level so far wants a bundle, because every level may bring certificates.
pub(super) fn wanted(levels: &[LevelDefinition]) -> bool {
    levels.iter().any(|level| level.certificates.bundle)
}

/// One file of trusted certificates.
pub(super) struct TrustAnchorFile {
    /// Path in the image, where the link by name leads.
    path: String,
    /// Name of the link in the store.
    pub(super) pem: String,
    /// The file as the image has it, or will have it.
    bytes: Vec<u8>,
    /// The certificates in it.
    pub(super) certificates: Vec<X509Certificate>,
}

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let anchors = anchors(scene)?;
    let mut bundle = Vec::new();
    let mut list = LIST_HEAD.to_owned();
    let mut entries = Vec::new();
    for anchor in &anchors {
        entries.push(link(NAME, &format!("{STORE}/{}", anchor.pem), &format!("/{}", anchor.path)));

        // without a line end, the next certificate would begin on the last line of this one
        bundle.extend_from_slice(&anchor.bytes);
        if anchor.bytes.last().is_some_and(|last| *last != b'\n') {
            bundle.push(b'\n');
        }

        // the list is about packaged certificates only; local ones are trusted because their files exist
        match anchor.path.strip_prefix(PACKAGED) {
            Some(relative) => list += &format!("{}\n", &relative[1..]),
            None if !is_present(scene, anchor) => entries.push(file(NAME, &anchor.path, anchor.bytes.clone(), 0o644)),
            None => {}
        }
    }

    entries.extend(hashed_links(&anchors));
    entries.push(file(NAME, "etc/ca-certificates.conf", list, 0o644));
    entries.push(file(NAME, &format!("{STORE}/ca-certificates.crt"), bundle, 0o644));
    Ok(entries)
}

/// Tells whether a recipe or lower level brings the file itself.
fn is_present(scene: &MergedView<'_>, anchor: &TrustAnchorFile) -> bool {
    let content = scene.get(&anchor.path).and_then(TreeEntry::content);
    content.is_some_and(|content| content.digest == Digest::of(&anchor.bytes))
}

/// Links `<hash>.<number>` in the order of `openssl rehash`: names in byte order, equal certificates once, files with
/// several certificates not at all.
fn hashed_links(anchors: &[TrustAnchorFile]) -> Vec<TreeEntry> {
    let by_name: BTreeMap<&str, &TrustAnchorFile> =
        anchors.iter().map(|anchor| (anchor.pem.as_str(), anchor)).collect();

    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut links = Vec::new();
    for (name, anchor) in by_name {
        let [certificate] = &anchor.certificates[..] else { continue };
        if !seen.insert(Digest::of(&certificate.der)) {
            continue;
        }

        // OpenSSL tries .0, .1, … until a number is missing, so there must be no gap
        let number = numbers.entry(certificate.subject_hash).or_default();
        links.push(link(NAME, &format!("{STORE}/{:08x}.{number}", certificate.subject_hash), name));
        *number += 1;
    }
    links
}

/// Returns all trusted certificate files of the image so far, in bundle order.
pub(super) fn anchors(scene: &MergedView<'_>) -> Result<Vec<TrustAnchorFile>, Error> {
    let mut found = TrustAnchorFiles::default();
    for (path, bytes) in files(scene, PACKAGED)? {
        found.add(path, bytes);
    }
    if has_none(scene) {
        let consequence = "no server could be trusted";
        found.problems.push(Error::Missing { generator: NAME, path: format!("{PACKAGED}/**.crt"), consequence });
    }

    // recipes' certificates lie in the same folder as local files and are sorted among them
    let mut local = files(scene, LOCAL)?;
    local.extend(extras(scene.input.levels, &mut found.problems));
    for (path, bytes) in local {
        found.add(path, bytes);
    }

    Error::gather(found.problems)?;
    Ok(found.anchors)
}

/// Trusted certificate files while they are collected.
#[derive(Default)]
struct TrustAnchorFiles {
    anchors: Vec<TrustAnchorFile>,
    /// Paths by the lower-case names of their links.
    paths: BTreeMap<String, String>,
    problems: Vec<Error>,
}

impl TrustAnchorFiles {
    fn add(&mut self, path: String, bytes: Vec<u8>) {
        // the list is read line by line
        if path.chars().any(char::is_control) {
            return self.refuse(&path, "the name holds a line end or control character".to_owned());
        }

        // trust stores for Java have lower-case aliases, so names must differ in more than case
        let pem = link_name(&path);
        if let Some(other) = self.paths.insert(pem.to_lowercase(), path.clone()) {
            return self.refuse(&path, format!("`/{other}` has the same name"));
        }

        match x509::read_pem(&String::from_utf8_lossy(&bytes)) {
            Ok(certificates) => self.anchors.push(TrustAnchorFile { path, pem, bytes, certificates }),
            Err(invalid) => self.refuse(&path, invalid.to_string()),
        }
    }

    fn refuse(&mut self, path: &str, cause: String) {
        self.problems.push(Error::Certificate { name: format!("/{path}"), cause });
    }
}

/// Tells whether neither packages nor recipes bring any certificate.
fn has_none(scene: &MergedView<'_>) -> bool {
    let has_files = scene.merged.below(PACKAGED).any(|entry| entry.path.ends_with(".crt"));
    !has_files && scene.input.levels.iter().all(|level| level.certificates.extra.is_empty())
}

/// Reads all `*.crt` files below a folder.
fn files(scene: &MergedView<'_>, folder: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut files = BTreeMap::new();
    for entry in scene.merged.below(folder).filter(|entry| entry.path.ends_with(".crt")) {
        if let Some(bytes) = scene.read(&entry.path)? {
            files.insert(entry.path.clone(), bytes);
        }
    }
    Ok(files)
}

/// Name of the link in the store, by update-ca-certificates' rules.
fn link_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.strip_suffix(".crt").unwrap_or(name);
    let replaced = stem.chars().map(|c| match c {
        ' ' | ',' => '_',
        '(' | ')' => '=',
        other => other,
    });
    format!("{}.pem", replaced.collect::<String>())
}

/// Returns the organisation's certificates of all levels as files with one certificate each: only those get hashed
/// links. Those of a file with several are named `<name>-1`, `<name>-2` and so on.
fn extras(levels: &[LevelDefinition], problems: &mut Vec<Error>) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, text) in levels.iter().flat_map(|level| &level.certificates.extra) {
        let (stem, certificates) = match read_extra(name, text) {
            Ok(read) => read,
            Err(error) => {
                problems.push(error);
                continue;
            }
        };
        if certificates.iter().any(|certificate| !certificate.is_authority) {
            let cause = "it holds a certificate that is not a CA's (basicConstraints CA:TRUE is missing)";
            problems.push(bad_extra(name, cause));
        }

        let several = certificates.len() > 1;
        for (number, certificate) in certificates.into_iter().enumerate() {
            let suffix = if several { format!("-{}", number + 1) } else { String::new() };
            let bytes = certificate.pem.into_bytes();
            // levels may bring the same certificate, but a name must not mean two
            match files.insert(format!("{LOCAL}/{stem}{suffix}.crt"), bytes.clone()) {
                Some(other) if other != bytes => {
                    problems.push(bad_extra(name, "another certificate has the same name"));
                }
                _ => {}
            }
        }
    }
    files
}

/// Reads one certificate file of a recipe; returns its name without ending, and what it holds.
fn read_extra<'a>(name: &'a str, text: &str) -> Result<(&'a str, Vec<X509Certificate>), Error> {
    let stem = good_stem(name).ok_or_else(|| {
        bad_extra(name, "the name is not `<name>.pem` or `<name>.crt` of letters, digits, `.`, `_`, `-`")
    })?;
    // before anything of the text could get into an image or a message
    if text.contains("PRIVATE KEY-----") {
        return Err(Error::PrivateKey(name.to_owned()));
    }
    let certificates = x509::read_pem(text).map_err(|invalid| bad_extra(name, &invalid.to_string()))?;
    Ok((stem, certificates))
}

fn bad_extra(name: &str, cause: &str) -> Error {
    Error::Certificate { name: name.to_owned(), cause: cause.to_owned() }
}

/// Returns the name of a file without its ending, if it can be a file name in the image: it is no path, not hidden, and
/// leaves room for a number and an ending.
fn good_stem(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".pem").or_else(|| name.strip_suffix(".crt"))?;
    let has_good_bytes = stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    (!stem.is_empty() && stem.len() <= 200 && !stem.starts_with('.') && has_good_bytes).then_some(stem)
}
