//! Every program finds its loader and its libraries.
//!
//! The search is that of ld.so(8): own search path (`RUNPATH`, with `$ORIGIN`), `LD_LIBRARY_PATH` of the image, the
//! cache's folders if there is a cache, the loader's own folders. Variants below `glibc-hwcaps` do not count, since
//! not every processor has them.

use crate::check::finding::CheckKind;
use crate::check::finding::FindingList;
use crate::check::finding::error;
use crate::check::view::ImageView;
use crate::layer::elf::ElfFile;
use crate::layer::loader;
use crate::store::Error;
use crate::tree::EntryOrigin;
use crate::tree::TreeEntry;
use crate::tree::parent;
use std::collections::BTreeSet;

const LIBRARY: CheckKind =
    error("library-missing", "A program or library needs a library that the loader does not find in the image.");
const LOADER: CheckKind =
    error("loader-missing", "The loader that the kernel starts a program with is not in the image.");

pub(super) const KINDS: &[&CheckKind] = &[&LIBRARY, &LOADER];

pub(super) fn run(image: &ImageView<'_>, findings: &mut FindingList) -> Result<(), Error> {
    let search = LibrarySearch::new(image)?;
    for (path, program) in &image.programs {
        let Some(entry) = image.subject.whole.get(path) else { continue };

        if let Some(loader) = program.interpreter.as_deref().filter(|loader| image.resolve(loader).is_none()) {
            let cause = format!("its loader `{loader}` is not in the image");
            findings.at(entry, &LOADER, cause, "add the C library that it was built for, or exclude it");
        }
        for needed in program.needed.iter().filter(|needed| !search.finds(needed, entry, program)) {
            let cause = format!("it needs `{needed}`, which the loader does not find in the image");
            findings.at(entry, &LIBRARY, cause, remedy(needed, &entry.origin, image));
        }
    }
    Ok(())
}

/// Where the loader looks in one image.
struct LibrarySearch<'a> {
    image: &'a ImageView<'a>,
    /// Folders for every program, in order.
    folders: Vec<String>,
    /// Sonames and file names of all libraries, each with the source package that brings it.
    brought: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> LibrarySearch<'a> {
    fn new(image: &'a ImageView<'a>) -> Result<Self, Error> {
        let subject = &image.subject;
        let mut folders: Vec<String> = Vec::new();
        if let Some(path) = image.config.env.get("LD_LIBRARY_PATH") {
            folders.extend(path.split(':').filter(|folder| folder.starts_with('/')).map(str::to_owned));
        }
        // without the cache the loader does not know the configuration
        if subject.whole.get(loader::CACHE).is_some() {
            folders.extend(loader::configured(subject.whole, subject.contents)?);
        }
        folders.extend(loader::standard(subject.platform.architecture()));

        let mut brought = BTreeSet::new();
        for (path, library) in image.programs.iter().filter(|(_, program)| program.is_shared && program.is_dynamic) {
            let source = subject.whole.get(path).and_then(|entry| image.source_of(&entry.origin));
            let name = path.rsplit('/').next().unwrap_or(path);
            for name in library.soname.as_deref().into_iter().chain([name]) {
                brought.extend(source.map(|source| (source, name)));
            }
        }
        Ok(Self { image, folders, brought })
    }

    fn finds(&self, needed: &str, entry: &TreeEntry, program: &ElfFile) -> bool {
        if needed.contains('/') {
            return self.image.resolve(needed).is_some();
        }

        let origin = parent(&entry.path).unwrap_or_default();
        let own = program.search.iter().map(|folder| expanded(folder, origin, self.image));
        let common = self.folders.iter().cloned();
        if own.chain(common).any(|folder| self.is_library(&format!("{folder}/{needed}"))) {
            return true;
        }

        // A library that a program loads itself finds what the program has loaded before (dlopen(3)). Which program that
        // is nothing says; that it comes from the same source package is the rule in practice: Java, PostgreSQL, PHP.
        let is_loaded_by_another = program.is_shared && program.interpreter.is_none();
        let source = self.image.source_of(&entry.origin);
        is_loaded_by_another && source.is_some_and(|source| self.brought.contains(&(source, needed)))
    }

    /// Tells whether a path leads to a library for the image's processor.
    fn is_library(&self, path: &str) -> bool {
        let entry = self.image.resolve(path);
        entry.and_then(|entry| self.image.programs.get(entry.path.as_str())).is_some_and(|library| library.is_dynamic)
    }
}

/// Replaces the loader's variables (ld.so(8), "Dynamic string tokens").
fn expanded(folder: &str, origin: &str, image: &ImageView<'_>) -> String {
    let library = format!("lib/{}", image.subject.platform.architecture().triplet());
    let mut folder = folder.to_owned();
    for (name, value) in [("ORIGIN", format!("/{origin}")), ("LIB", library)] {
        folder = folder.replace(&format!("${{{name}}}"), &value).replace(&format!("${name}"), &value);
    }
    folder
}

/// Says which package would have brought a library, where recipes exclude it.
fn remedy(needed: &str, origin: &EntryOrigin, image: &ImageView<'_>) -> String {
    let left_out = image.subject.lock.levels.iter().flat_map(|level| &level.excluded);
    let excluded = image.levels().iter().flat_map(|level| level.exclude_packages.keys());
    let mut names = left_out.clone().map(|left_out| &left_out.name).chain(excluded);
    let Some(name) = names.find(|name| is_called_like(needed, name)) else {
        return "add the package that brings it to `packages`, or exclude this file".to_owned();
    };

    let wants = match origin {
        EntryOrigin::Package(package)
            if left_out.clone().any(|out| out.name == *name && out.wanted_by.contains(package)) =>
        {
            format!("{package} depends on `{name}`")
        }
        _ => format!("it is in `{name}`"),
    };
    let recipe =
        image.recipe_excluding(name).map(|recipe| format!(", which recipe {recipe} excludes")).unwrap_or_default();
    format!("{wants}{recipe}: add it to `packages` of a recipe of this image")
}

/// What Debian appends to names of library packages when an interface changes in other ways than its soname.
const SUFFIXES: [&str; 8] = ["", "a", "b", "c", "g", "t64", "v5", "ldbl"];

/// Tells whether a package's name is made from a library's (Debian policy 8.1): `libcrypt.so.1` → `libcrypt1`, `libssl.so.3` → `libssl3t64`.
fn is_called_like(library: &str, package: &str) -> bool {
    let Some((stem, version)) = library.split_once(".so") else { return false };
    let (stem, version) = (stem.to_lowercase().replace('_', "-"), version.trim_start_matches('.'));
    // some names have the first part of the version only, and a hyphen keeps digits of name and version apart
    let major = version.split('.').next().unwrap_or_default();
    let names = [version, major].map(|version| [format!("{stem}{version}"), format!("{stem}-{version}")]);
    // suffixes tell changes of an interface apart: libssl3t64, libharfbuzz0b, libcups2t64
    names
        .iter()
        .flatten()
        .any(|name| package.strip_prefix(name.as_str()).is_some_and(|suffix| SUFFIXES.contains(&suffix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_called_like_their_libraries() {
        let table = [
            ("libcrypt.so.1", "libcrypt1", true),
            ("libssl.so.3", "libssl3t64", true),
            ("liblcms2.so.2", "liblcms2-2", true),
            ("libjpeg.so.8", "libjpeg8", true),
            ("libharfbuzz.so.0", "libharfbuzz0b", true),
            ("libLLVM.so.19.1", "libllvm19", true),
            ("libcrypt.so.1", "libcrypt2", false),
            ("libcrypt", "libcrypt", false),
        ];
        for (library, package, expected) in table {
            assert_eq!(is_called_like(library, package), expected, "{library} {package}");
        }
    }
}
