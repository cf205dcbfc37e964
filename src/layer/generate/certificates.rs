//! Owns the PEM trust store: bundle, links by name and by subject hash, list and files of the organisation.
//!
//! Writes exactly what `update-ca-certificates` of package ca-certificates writes on a fresh system, so that running it
//! later changes nothing: files below `/usr/share/ca-certificates` in C order, then those below
//! `/usr/local/share/ca-certificates`; hashed links as `openssl rehash` numbers them. Whether a certificate has
//! expired is not looked at, because that depends on the day.

use crate::layer::generate::Error;
use crate::layer::generate::Scene;
use crate::layer::generate::file;
use crate::layer::generate::link;
use crate::layer::generate::x509;
use crate::layer::generate::x509::Certificate;
use crate::recipe::Level;
use crate::tree::Entry;
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
pub(super) fn wanted(levels: &[Level]) -> bool {
    levels.iter().any(|level| level.certificates.bundle)
}

/// One file of trusted certificates.
pub(super) struct Anchor {
    /// Path in the image, where the link by name leads.
    path: String,
    /// Name of the link in the store.
    pub(super) pem: String,
    /// The file as it is, or is to be.
    bytes: Vec<u8>,
    /// The certificates in it.
    pub(super) certificates: Vec<Certificate>,
}

pub(super) fn run(scene: &Scene<'_>) -> Result<Vec<Entry>, Error> {
    let anchors = anchors(scene)?;
    let mut bundle = Vec::new();
    let mut list = LIST_HEAD.to_owned();
    let mut made = Vec::new();
    for anchor in &anchors {
        made.push(link(NAME, &format!("{STORE}/{}", anchor.pem), &format!("/{}", anchor.path)));
        bundle.extend_from_slice(&anchor.bytes);
        if anchor.bytes.last().is_some_and(|last| *last != b'\n') {
            bundle.push(b'\n');
        }
        match anchor.path.strip_prefix(PACKAGED) {
            Some(relative) => list += &format!("{}\n", &relative[1..]),
            None if !is_there(scene, anchor) => made.push(file(NAME, &anchor.path, anchor.bytes.clone(), 0o644)),
            None => {}
        }
    }
    made.extend(hashed_links(&anchors));
    made.push(file(NAME, "etc/ca-certificates.conf", list, 0o644));
    made.push(file(NAME, &format!("{STORE}/ca-certificates.crt"), bundle, 0o644));
    Ok(made)
}

/// Tells whether a recipe or lower level brings the file itself.
fn is_there(scene: &Scene<'_>, anchor: &Anchor) -> bool {
    let content = scene.get(&anchor.path).and_then(Entry::content);
    content.is_some_and(|content| content.digest == Digest::of(&anchor.bytes))
}

/// Links `<hash>.<number>` in the order of `openssl rehash`: names in byte order, equal certificates once, files with
/// several certificates not at all.
fn hashed_links(anchors: &[Anchor]) -> Vec<Entry> {
    let by_name: BTreeMap<&str, &Anchor> = anchors.iter().map(|anchor| (anchor.pem.as_str(), anchor)).collect();
    let mut numbers: BTreeMap<u32, u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut links = Vec::new();
    for (name, anchor) in by_name {
        let [certificate] = &anchor.certificates[..] else { continue };
        if !seen.insert(Digest::of(&certificate.der)) {
            continue;
        }
        let number = numbers.entry(certificate.subject_hash).or_default();
        links.push(link(NAME, &format!("{STORE}/{:08x}.{number}", certificate.subject_hash), name));
        *number += 1;
    }
    links
}

/// Returns all trusted certificate files of the image so far, in bundle order.
pub(super) fn anchors(scene: &Scene<'_>) -> Result<Vec<Anchor>, Error> {
    let mut problems = Vec::new();
    let mut anchors: Vec<Anchor> = Vec::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |path: String, bytes: Vec<u8>, problems: &mut Vec<Error>| {
        let problem = |cause: String| Error::Certificate { name: format!("/{path}"), cause };
        let pem = link_name(&path);
        // the list is read line by line
        if path.chars().any(char::is_control) {
            return problems.push(problem("the name holds a line end or control character".to_owned()));
        }
        // trust stores for Java have lower-case aliases, so names must differ in more than case
        if let Some(other) = names.insert(pem.to_lowercase(), path.clone()) {
            return problems.push(problem(format!("`/{other}` has the same name")));
        }
        match x509::read_pem(&String::from_utf8_lossy(&bytes)) {
            Ok(certificates) => anchors.push(Anchor { path, pem, bytes, certificates }),
            Err(invalid) => problems.push(problem(invalid.to_string())),
        }
    };
    for (path, bytes) in files(scene, PACKAGED)? {
        add(path, bytes, &mut problems);
    }
    if names_nothing(scene) {
        let consequence = "no server could be trusted";
        problems.push(Error::Missing { generator: NAME, path: format!("{PACKAGED}/**.crt"), consequence });
    }
    let mut local = files(scene, LOCAL)?;
    for (path, bytes) in extras(scene.input.levels, &mut problems) {
        local.insert(path, bytes);
    }
    for (path, bytes) in local {
        add(path, bytes, &mut problems);
    }
    Error::gather(problems)?;
    Ok(anchors)
}

/// Tells whether neither packages nor recipes bring any certificate.
fn names_nothing(scene: &Scene<'_>) -> bool {
    let has_files = scene.merged.below(PACKAGED).any(|entry| entry.path.ends_with(".crt"));
    !has_files && scene.input.levels.iter().all(|level| level.certificates.extra.is_empty())
}

/// Reads all `*.crt` files below a folder.
fn files(scene: &Scene<'_>, folder: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
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

/// Returns the organisation's certificates of all levels as files with one certificate each. Of a file with several,
/// they are named `<name>-1`, `<name>-2` and so on.
fn extras(levels: &[Level], problems: &mut Vec<Error>) -> BTreeMap<String, Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, text) in levels.iter().flat_map(|level| &level.certificates.extra) {
        let problem = |cause: &str| Error::Certificate { name: name.clone(), cause: cause.to_owned() };
        let stem = match good_stem(name) {
            Some(stem) => stem,
            None => {
                problems
                    .push(problem("the name is not `<name>.pem` or `<name>.crt` of letters, digits, `.`, `_`, `-`"));
                continue;
            }
        };
        if text.contains("PRIVATE KEY-----") {
            problems.push(Error::PrivateKey(name.clone()));
            continue;
        }
        let certificates = match x509::read_pem(text) {
            Ok(certificates) => certificates,
            Err(invalid) => {
                problems.push(problem(&invalid.to_string()));
                continue;
            }
        };
        if certificates.iter().any(|certificate| !certificate.is_authority) {
            problems.push(problem("it holds a certificate that is not a CA's (basicConstraints CA:TRUE is missing)"));
        }
        let several = certificates.len() > 1;
        for (number, certificate) in certificates.into_iter().enumerate() {
            let suffix = if several { format!("-{}", number + 1) } else { String::new() };
            let bytes = certificate.pem.into_bytes();
            match files.insert(format!("{LOCAL}/{stem}{suffix}.crt"), bytes.clone()) {
                Some(other) if other != bytes => problems.push(problem("another certificate has the same name")),
                _ => {}
            }
        }
    }
    files
}

fn good_stem(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".pem").or_else(|| name.strip_suffix(".crt"))?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (!stem.is_empty() && stem.len() <= 200 && !stem.starts_with('.') && stem.bytes().all(good)).then_some(stem)
}
