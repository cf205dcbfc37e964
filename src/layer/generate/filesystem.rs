//! Owns the skeleton that every root file system has: merged-/usr links, runtime folders, temporary folders.
//!
//! Replaces what the scripts of base-files, usrmerge and usr-is-merged do; sources: their postinst scripts and the
//! Filesystem Hierarchy Standard 3.0. Log files, `/root/.profile`, `/etc/profile`, `/etc/motd`
//! and `/var/mail` are left out on purpose.

use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::folder;
use crate::layer::generate::link;
use crate::tree::EntryKind;
use crate::tree::TreeEntry;

const NAME: &str = "filesystem";

/// Links with targets as Debian writes them; all but `lib64` are always there.
const LINKS: [(&str, &str); 6] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("var/run", "/run"),
    ("var/lock", "/run/lock"),
];

/// Folders that are added when nobody brings them.
const FOLDERS: [(&str, u32); 30] = [
    ("boot", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o755),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("sys", 0o755),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/lib", 0o755),
    ("usr/local", 0o755),
    ("usr/local/bin", 0o755),
    ("usr/local/etc", 0o755),
    ("usr/local/lib", 0o755),
    ("usr/local/sbin", 0o755),
    ("usr/local/share", 0o755),
    ("usr/sbin", 0o755),
    ("usr/share", 0o755),
    ("var", 0o755),
    ("var/cache", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/opt", 0o755),
    ("var/spool", 0o755),
    ("etc/opt", 0o755),
];

/// Folders where everybody may write; their mode is set whoever brings them.
const SHARED: [&str; 3] = ["tmp", "var/tmp", "run/lock"];

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let mut entries = links(scene)?;
    for (path, mode) in FOLDERS {
        if scene.get(path).is_none() {
            entries.push(folder(NAME, path, mode));
        }
    }
    // sticky, so that users cannot delete each other's files
    entries.extend(SHARED.iter().map(|path| folder(NAME, path, 0o1777)));
    entries.extend(origin_link(scene));
    Ok(entries)
}

/// Returns the links of [`LINKS`] that nobody brings.
fn links(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for (path, target) in LINKS {
        // the loader's folder of amd64: a link to nothing would only puzzle people on other architectures
        if path == "lib64" && scene.get("usr/lib64").is_none() {
            continue;
        }

        match scene.get(path).map(|entry| &entry.kind) {
            None => entries.push(link(NAME, path, target)),
            // packages may bring the folder itself, empty, where their scripts would turn it into the link
            Some(EntryKind::Directory) => match scene.merged.below(path).next() {
                None => entries.push(link(NAME, path, target)),
                // the link would hide these files, so somebody has to decide
                Some(first) => problems.push(Error::NotEmpty {
                    folder: path.to_owned(),
                    target: target.to_owned(),
                    path: first.path.clone(),
                    origin: first.origin.clone(),
                }),
            },
            Some(_) => {}
        }
    }
    Error::gather(problems)?;
    Ok(entries)
}

/// Returns the link to the vendor of this system for dpkg-vendor(1).
fn origin_link(scene: &MergedView<'_>) -> Option<TreeEntry> {
    let path = "etc/dpkg/origins/default";
    // Ubuntu brings Debian's file too, so it is tried first
    let vendors = ["ubuntu", "debian"];
    let vendor = vendors.into_iter().find(|vendor| scene.get(&format!("etc/dpkg/origins/{vendor}")).is_some())?;
    scene.get(path).is_none().then(|| link(NAME, path, vendor))
}
