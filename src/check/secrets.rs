//! Nothing secret is in the image, and nothing is loaded into every program: whoever may pull an image reads all of it.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingDetails;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::view::ImageView;
use crate::store::Error;
use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;

const KEY: CheckKind = error("private-key", "A file holds a private key.");
const VARIABLE: CheckKind = error("secret-in-env", "An environment variable of the image looks like a secret.");
const PRELOAD: CheckKind = error("preload", "A library is loaded into every program (ld.so(8)).");

pub(super) const KINDS: &[&CheckKind] = &[&KEY, &VARIABLE, &PRELOAD];

/// Largest file that is searched for a key.
const LIMIT: u64 = 1 << 20;

/// Words in names of variables that hold secrets.
const WORDS: [&str; 9] =
    ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "API_KEY", "APIKEY", "PRIVATE_KEY", "CREDENTIAL"];

/// Variables of the loader that name libraries.
const LOADER: [&str; 2] = ["LD_PRELOAD", "LD_AUDIT"];

/// What the loader reads before every program.
const PRELOAD_FILE: &str = "etc/ld.so.preload";

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    for (name, value) in &image.config.env {
        variable(name, value, findings);
    }
    for entry in image.subject.whole.iter().filter(|entry| may_be_key(entry)) {
        file(entry, image, findings)?;
    }
    if let Some(entry) = image.resolve(PRELOAD_FILE).filter(|entry| entry.content().is_some_and(|file| file.size > 0)) {
        let cause = "the loader puts the libraries that it names into every program".to_owned();
        let remedy = "exclude it".to_owned();
        findings.add(
            &PRELOAD,
            FindingDetails { path: format!("/{PRELOAD_FILE}"), origin: Some(&entry.origin), cause, remedy },
        );
    }
    Ok(())
}

fn variable(name: &str, value: &str, findings: &mut FindingList) {
    let path = format!("config.env.{name}");
    if LOADER.contains(&name) && !value.is_empty() {
        let cause = "the loader puts the libraries that it names into every program".to_owned();
        let remedy = "remove the variable".to_owned();
        return findings.add(&PRELOAD, FindingDetails { path, origin: None, cause, remedy });
    }

    let upper = name.to_uppercase();
    // the name of a file with a secret is no secret
    let is_secret = WORDS.iter().any(|word| upper.contains(word)) && !value.is_empty() && !value.starts_with('/');
    if is_secret {
        let cause = "everybody who may pull the image can read it".to_owned();
        let remedy = "give it to the container when it starts, or name a file that is mounted".to_owned();
        findings.add(&VARIABLE, FindingDetails { path, origin: None, cause, remedy });
    }
}

/// Tells whether a file is worth reading: all of recipes, and of packages those that are called like keys.
fn may_be_key(entry: &TreeEntry) -> bool {
    let name = entry.path.rsplit('/').next().unwrap_or_default();
    let is_called_so = [".pem", ".key", ".priv"].iter().any(|ending| name.ends_with(ending))
        || ["id_", "ssh_host_"].iter().any(|beginning| name.starts_with(beginning));
    let is_small = entry.content().is_some_and(|content| content.size <= LIMIT);
    is_small && (is_called_so || matches!(entry.origin, EntryOrigin::Recipe(_)))
}

fn file(entry: &TreeEntry, image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    let Some(content) = entry.content() else { return Ok(()) };
    let bytes = image.subject.contents.read(content, LIMIT)?;

    // RFC 7468, "Textual Encoding of PKCS #8"; RFC 4716 has five hyphens, too
    let has_key = memchr::memmem::find_iter(&bytes, b"-----BEGIN ").any(|start| {
        let line = bytes[start..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        memchr::memmem::find(line, b"PRIVATE KEY").is_some()
    });
    if has_key {
        let cause = "it holds a private key, which everybody who may pull the image can read";
        findings.at(entry, &KEY, cause, "mount it when the container starts, or exclude it");
    }
    Ok(())
}
