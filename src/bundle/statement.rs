//! Compares a bundle's statements about the files of a build with the project and the signed states.
//!
//! Nothing is built from these statements: they serve people and other tools. But their readers must be able to believe
//! them, so a bundle that lies about anything that a build uses is refused.

use crate::apt::archive::PastPocket;
use crate::bundle::BundleContents;
use crate::bundle::BundledFile;
use crate::bundle::BundledFileKind;
use crate::bundle::BundledIndex;
use crate::bundle::BundledKey;
use crate::bundle::BundledPackage;
use crate::bundle::BundledPocket;
use crate::bundle::contents::shown;
use crate::bundle::gather;
use crate::bundle::title;
use crate::lock::LockedImage;
use crate::lock::file::LockedPackage;
use crate::values::Digest;

/// Returns the differences between list of contents and project about images, keys and packages.
pub(super) fn problems<'a>(
    contents: &BundleContents,
    orders: &[LockedImage<'_>],
    packages: impl Iterator<Item = &'a LockedPackage>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for LockedImage { definition, lock } in orders {
        let bundled = contents.images.iter().find(|image| image.image == lock.image);
        let platforms = bundled.map(|image| image.platforms.as_slice()).unwrap_or_default();
        for platform in platforms.iter().filter(|platform| !definition.platforms.contains(platform)) {
            problems.push(format!("image `{}` is not built for {platform}", lock.image));
        }
        // the lock in the bundle is what people compare, so it must be the project's, byte for byte
        let file = expected(title::lock(&lock.image), lock.to_yaml().as_bytes(), BundledFileKind::Lock);
        problems.extend(differs(contents, &file));

        for archive in &definition.archives {
            for bytes in &archive.keys {
                let key = BundledKey { archive: archive.name.clone(), digest: Digest::of(bytes) };
                if !contents.keys.contains(&key) {
                    problems.push(format!("it does not name the key {} of archive `{}`", key.digest, archive.name));
                }
                // a key of several archives has the title of one of them, which was checked with the list
                let title = contents.file(&key.digest).map(|file| file.title.clone()).unwrap_or_default();
                problems.extend(differs(contents, &expected(title, bytes, BundledFileKind::Key)));
            }
        }
    }

    // name and version of a package are not needed for a build, but people search bundles by them
    for package in packages {
        let LockedPackage { name, version, architecture, sha256, .. } = package.clone();
        if !contents.packages.contains(&BundledPackage { name, version, architecture, digest: sha256 }) {
            problems.push(format!("it says something else about `{}`", gather::title(package)));
        }
    }

    // images share archives, so a wrong key would be reported for each of them
    problems.sort();
    problems.dedup();
    problems
}

/// Returns the list's entry for a file whose bytes the project has as well.
fn expected(title: String, bytes: &[u8], kind: BundledFileKind) -> BundledFile {
    BundledFile { title, digest: Digest::of(bytes), size: bytes.len() as u64, kind }
}

/// Returns the problem of a file whose entry is not the expected one.
fn differs(contents: &BundleContents, file: &BundledFile) -> Option<String> {
    let same = contents.files.contains(file);
    (!same).then(|| format!("it says something else about `{}`", shown(&file.title)))
}

/// Returns the differences between the list's description of a pocket and its signed state.
pub(super) fn problems_of(pocket: &BundledPocket, opened: &PastPocket) -> Vec<String> {
    let mut problems = Vec::new();
    let name = pocket.title();
    if pocket.date != opened.facts.date {
        problems.push(format!("the date of pocket `{name}` is {}, not {}", opened.facts.date, pocket.date));
    }
    if pocket.signed_by != opened.facts.signed_by {
        let (signer, said) = (&opened.facts.signed_by, shown(&pocket.signed_by));
        problems.push(format!("pocket `{name}` is signed by {signer}, not by {said}"));
    }

    // the bundle may have further indexes, of other platforms
    for file in &opened.files {
        if !pocket.indexes.contains(&BundledIndex::of(file)) {
            problems.push(format!("it says something else about index `{}` of `{name}`", file.path));
        }
    }
    problems
}
