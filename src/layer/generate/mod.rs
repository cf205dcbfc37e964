//! Owns the list of generators: native replacements for what maintainer scripts would write into a root file system.

mod accounts;
mod certificates;
mod error;
mod filesystem;
mod ld_so_cache;
mod locale;
mod localtime;
mod nsswitch;
mod os_release;
mod soname_links;
mod trust_store;
pub mod x509;

pub use accounts::AccountIds;
pub use accounts::account_ids;
pub use error::Error;

use crate::layer::loader;
use crate::recipe::LevelDefinition;
use crate::tree::ContentReader;
use crate::tree::EntryKind;
use crate::tree::EntryOrigin;
use crate::tree::FileContent;
use crate::tree::Tree;
use crate::tree::TreeEntry;
use crate::values::Architecture;
use crate::values::CONTENT_MTIME;

/// What generators may look at. There is no clock, no network and no host file system.
#[derive(Debug, Clone, Copy)]
pub struct GeneratorInput<'a> {
    /// All levels from the root up; the last is the one being built.
    pub levels: &'a [LevelDefinition],
    /// Architecture of the image.
    pub architecture: Architecture,
    /// All lower levels, merged.
    pub lower: &'a Tree,
    /// This level: packages and recipe files so far.
    pub level: &'a Tree,
    /// Reads the bytes of both trees.
    pub contents: &'a ContentReader<'a>,
}

/// One row of the table below.
struct FileGenerator {
    name: &'static str,
    version: u32,
    /// A recipe switches it on in its `generate:` list; the others have recipe keys of their own.
    plain: bool,
    wanted: fn(&[LevelDefinition]) -> bool,
    run: fn(&MergedView<'_>) -> Result<Vec<TreeEntry>, Error>,
    /// Paths that exist to be written by this generator, so that a recipe need not name them in `replaces`; one with
    /// a trailing slash means everything below.
    targets: &'static [&'static str],
}

/// Every generator, in running order. A new version number says that its output may differ for the same input.
const GENERATORS: &[FileGenerator] = &[
    FileGenerator {
        name: "accounts",
        version: 1,
        plain: false,
        wanted: accounts::wanted,
        run: accounts::run,
        targets: &["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"],
    },
    FileGenerator {
        name: "filesystem",
        version: 1,
        plain: true,
        wanted: |levels| named(levels, "filesystem"),
        run: filesystem::run,
        targets: &["bin", "sbin", "lib", "lib64", "tmp", "var/tmp", "var/run", "var/lock", "run/lock"],
    },
    FileGenerator {
        name: "nsswitch",
        version: 1,
        plain: true,
        wanted: |levels| named(levels, "nsswitch"),
        run: nsswitch::run,
        targets: &[],
    },
    FileGenerator {
        name: "locale",
        version: 1,
        plain: true,
        wanted: |levels| named(levels, "locale"),
        run: locale::run,
        targets: &["etc/default/locale"],
    },
    FileGenerator {
        name: "os-release",
        version: 1,
        plain: true,
        wanted: |levels| named(levels, "os-release"),
        run: os_release::run,
        targets: &[],
    },
    FileGenerator {
        name: "soname-links",
        version: 1,
        plain: false,
        wanted: |_| true,
        run: soname_links::run,
        targets: &[],
    },
    FileGenerator {
        name: "ld-so-cache",
        version: 2,
        plain: true,
        wanted: |_| true,
        run: ld_so_cache::run,
        targets: &[loader::CACHE],
    },
    FileGenerator {
        name: "localtime",
        version: 1,
        plain: false,
        wanted: |levels| levels.last().is_some_and(|level| level.localtime.is_some()),
        run: localtime::run,
        targets: &["etc/localtime", "etc/timezone"],
    },
    FileGenerator {
        name: "certificates",
        version: 1,
        plain: false,
        wanted: certificates::wanted,
        run: certificates::run,
        targets: &["etc/ca-certificates.conf", "etc/ssl/certs/"],
    },
    FileGenerator {
        name: "trust-store",
        version: 1,
        plain: false,
        wanted: trust_store::wanted,
        run: trust_store::run,
        targets: &[],
    },
];

/// Tells whether this level's recipe names a plain generator.
fn named(levels: &[LevelDefinition], name: &str) -> bool {
    levels.last().is_some_and(|level| level.generate.iter().any(|wanted| wanted == name))
}

/// Returns the names that a recipe's `generate:` list may have.
pub fn plain_names() -> impl Iterator<Item = &'static str> {
    GENERATORS.iter().filter(|generator| generator.plain).map(|generator| generator.name)
}

/// Returns name and version of every generator, for cache keys.
pub fn versions() -> impl Iterator<Item = (&'static str, u32)> {
    GENERATORS.iter().map(|generator| (generator.name, generator.version))
}

/// Tells whether a path (without leading slash) exists to be written by this generator, so that it may be replaced
/// without being named in a recipe's `replaces`.
#[must_use]
pub fn may_replace(generator: &str, path: &str, levels: &[LevelDefinition]) -> bool {
    // recipes choose the path of the trust store, so it is in no table
    if generator == "trust-store" {
        return trust_store::targets(levels).contains(path);
    }
    let Some(generator) = GENERATORS.iter().find(|known| known.name == generator) else { return false };
    generator.targets.iter().any(|target| match target.ends_with('/') {
        true => path.starts_with(target),
        false => path == *target,
    })
}

/// Runs every generator that the last level asks for.
///
/// Entries come in byte order of their paths, each path once, with [`EntryOrigin::Generator`] and [`CONTENT_MTIME`]. What
/// the trees already hold with the same attributes is left out; entries that replace a path of a package or a lower
/// level are returned, and the caller decides with [`may_replace`] and the recipe's `replaces`.
///
/// # Errors
/// All problems of all generators together: [`Error::Several`] if they are more than one.
pub fn generate(input: &GeneratorInput<'_>) -> Result<Vec<TreeEntry>, Error> {
    let scene = MergedView::new(input);
    let mut problems = unknown(input.levels);
    let mut tree = Tree::default();
    for generator in GENERATORS.iter().filter(|generator| (generator.wanted)(input.levels)) {
        // after an error the others still run, so that people see all problems at once
        match (generator.run)(&scene) {
            Ok(entries) => {
                for entry in entries {
                    // without these, upper layers would repeat what lower ones have
                    if !scene.has(&entry) {
                        tree.add(entry)?;
                    }
                }
            }
            Err(error) => problems.push(error),
        }
    }

    Error::gather(problems)?;
    Ok(tree.iter().cloned().collect())
}

/// Returns an error for each generator that the recipe names and that does not exist.
fn unknown(levels: &[LevelDefinition]) -> Vec<Error> {
    let Some(level) = levels.last() else { return Vec::new() };
    let mut problems = Vec::new();
    for name in &level.generate {
        if !plain_names().any(|known| known == name) {
            problems.push(Error::Unknown { name: name.clone(), recipe: level.recipe.clone() });
        }
    }
    problems
}

/// The input with both trees merged, as a running container would see it.
struct MergedView<'a> {
    input: GeneratorInput<'a>,
    merged: Tree,
}

impl<'a> MergedView<'a> {
    fn new(input: &GeneratorInput<'a>) -> Self {
        let merged = input.lower.iter().chain(input.level.iter()).cloned().collect();
        Self { input: *input, merged }
    }

    /// The level being built; the callers' `wanted` saw it.
    fn level(&self) -> Option<&LevelDefinition> {
        self.input.levels.last()
    }

    fn get(&self, path: &str) -> Option<&TreeEntry> {
        self.merged.get(path)
    }

    /// Tells whether the trees already hold this, whatever its origin and time.
    fn has(&self, new: &TreeEntry) -> bool {
        let Some(old) = self.get(&new.path) else { return false };
        let has_same_attributes = (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid);
        has_same_attributes
            && match (&old.kind, &new.kind) {
                // the same bytes, wherever they are kept
                (EntryKind::File(old), EntryKind::File(new)) => old.digest == new.digest,
                (old, new) => old == new,
            }
    }

    /// Tells whether a path leads to a regular file, through links.
    fn is_file(&self, path: &str) -> bool {
        self.merged.resolve(path).is_some_and(|entry| entry.content().is_some())
    }

    /// Reads a small file through links; `None` when it does not exist.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(content) = self.merged.resolve(path).and_then(TreeEntry::content) else { return Ok(None) };
        let read = self.input.contents.read(content, READ_LIMIT);
        read.map(Some).map_err(|cause| Error::Read { path: path.to_owned(), cause })
    }
}

/// Largest file that a generator reads: all of them are small text files and certificates.
const READ_LIMIT: u64 = 1 << 20;

fn entry(generator: &str, path: &str, kind: EntryKind, mode: u32) -> TreeEntry {
    let origin = EntryOrigin::Generator(generator.to_owned());
    TreeEntry { path: path.to_owned(), kind, mode, uid: 0, gid: 0, mtime: CONTENT_MTIME, origin }
}

/// A file of root's.
fn file(generator: &str, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> TreeEntry {
    entry(generator, path, EntryKind::File(FileContent::inline(bytes.into())), mode)
}

/// A symbolic link; links have no mode of their own, 0777 is what the kernel shows.
fn link(generator: &str, path: &str, target: &str) -> TreeEntry {
    entry(generator, path, EntryKind::Symlink(target.to_owned()), 0o777)
}

/// A folder of root's.
fn folder(generator: &str, path: &str, mode: u32) -> TreeEntry {
    entry(generator, path, EntryKind::Directory, mode)
}

#[cfg(test)]
mod tests;
