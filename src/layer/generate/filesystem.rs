//! Owns the skeleton that every root file system has: merged-/usr links, runtime folders, temporary folders.
//!
//! Replaces what the scripts of base-files, usrmerge and usr-is-merged do; sources: their postinst scripts and the
//! Filesystem Hierarchy Standard 3.0. Left out on purpose: log files, `/root/.profile`, `/etc/profile`, `/etc/motd`,
//! `/var/mail`.

use crate::layer::generate::Error;
use crate::layer::generate::Scene;
use crate::layer::generate::folder;
use crate::layer::generate::link;
use crate::tree::Entry;
use crate::tree::Kind;

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

/// Folders that are made when nobody brings them.
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

pub(super) fn run(scene: &Scene<'_>) -> Result<Vec<Entry>, Error> {
    let mut made = Vec::new();
    let mut problems = Vec::new();
    for (path, target) in LINKS {
        if path == "lib64" && scene.get("usr/lib64").is_none() {
            continue;
        }
        match scene.get(path).map(|entry| &entry.kind) {
            None => made.push(link(NAME, path, target)),
            // packages may bring the folder itself, empty, where their scripts would turn it into the link
            Some(Kind::Directory) => match scene.merged.below(path).next() {
                None => made.push(link(NAME, path, target)),
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
    made.extend(
        FOLDERS.iter().filter(|(path, _)| scene.get(path).is_none()).map(|(path, mode)| folder(NAME, path, *mode)),
    );
    made.extend(SHARED.iter().map(|path| folder(NAME, path, 0o1777)));
    made.extend(origin_link(scene));
    Ok(made)
}

/// The vendor of this system for dpkg-vendor(1); Ubuntu brings Debian's file too.
fn origin_link(scene: &Scene<'_>) -> Option<Entry> {
    let path = "etc/dpkg/origins/default";
    let vendor =
        ["ubuntu", "debian"].into_iter().find(|vendor| scene.get(&format!("etc/dpkg/origins/{vendor}")).is_some())?;
    scene.get(path).is_none().then(|| link(NAME, path, vendor))
}
