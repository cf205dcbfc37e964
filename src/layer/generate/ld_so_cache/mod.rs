//! Owns `/etc/ld.so.cache`, which libc-bin's trigger writes with ldconfig(8).
//!
//! Format and order: glibc `sysdeps/generic/dl-cache.h`, `elf/cache.c`, `elf/ldconfig.c` (`glibc-ld.so.cache1.1` with
//! the extension block of glibc 2.33). Libraries below `glibc-hwcaps` are left out, so that the baseline variant is
//! found on every processor. Soname links are generator `soname-links`'.

use crate::layer::elf;
use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::file;
use crate::layer::generate::named;
use crate::layer::loader;
use crate::tree::EntryKind;
use crate::tree::TreeEntry;
use crate::values::Architecture;
use crate::values::ElfClass;
use std::cmp::Ordering;
use std::collections::BTreeSet;

const NAME: &str = "ld-so-cache";
const MAGIC: &[u8; 20] = b"glibc-ld.so.cache1.1";
const LITTLE_ENDIAN: u32 = 2;
const BIG_ENDIAN: u32 = 3;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
const GENERATOR: &[u8] = b"sockel ld-so-cache 1";
const HEADER_SIZE: usize = 48;
const ENTRY_SIZE: usize = 24;

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    if !is_needed(scene)? {
        return Ok(Vec::new());
    }
    let mut seen = BTreeSet::new();
    let mut found: Vec<(String, String)> = Vec::new();
    for folder in folders(scene)? {
        let Some(real) = loader::real_folder(&folder, &scene.merged) else { continue };
        // `/lib` and `/usr/lib` are one folder, and the first name is the one that ldconfig shows
        if seen.insert(real.clone()) {
            let sonames = libraries(scene, &real)?;
            found.extend(sonames.into_iter().map(|soname| (format!("/{folder}/{soname}"), soname)));
        }
    }

    // stable, so that of equal names the one of the earlier folder comes first
    found.sort_by(|(_, first), (_, second)| compare(second, first));
    Ok(vec![file(NAME, loader::CACHE, write(&found, scene.input.architecture), 0o644)])
}

/// Tells whether the image needs the cache: a recipe asks for it, a lower level has it, or ld.so.conf(5) names a folder
/// with libraries, which the loader finds through the cache alone.
fn is_needed(scene: &MergedView<'_>) -> Result<bool, Error> {
    let levels = scene.input.levels;
    // above every level that wants it, because each level may bring libraries
    if (1..=levels.len()).any(|count| named(&levels[..count], NAME)) || scene.get(loader::CACHE).is_some() {
        return Ok(true);
    }

    let standard = loader::standard(scene.input.architecture);
    let standard = standard.map(|folder| loader::real_folder(&folder, &scene.merged));
    let mut configured = folders(scene)?.into_iter().filter_map(|folder| loader::real_folder(&folder, &scene.merged));
    Ok(configured.any(|real| {
        let mut below = scene.merged.below(&real);
        !standard.contains(&Some(real.clone())) && below.any(|entry| is_library_name(&entry.path[real.len() + 1..]))
    }))
}

/// Folders in searching order: those of ld.so.conf(5), then the loader's own.
pub(super) fn folders(scene: &MergedView<'_>) -> Result<Vec<String>, Error> {
    let configured = loader::configured(&scene.merged, scene.input.contents);
    let mut folders = configured.map_err(|cause| Error::Read { path: "etc/ld.so.conf".to_owned(), cause })?;
    folders.extend(loader::standard(scene.input.architecture));
    Ok(folders)
}

/// Returns the names under which libraries of one folder can be found, as ldconfig's `search_dir` does.
fn libraries(scene: &MergedView<'_>, folder: &str) -> Result<BTreeSet<String>, Error> {
    let mut sonames = BTreeSet::new();
    for entry in scene.merged.below(folder) {
        let name = &entry.path[folder.len() + 1..];
        if !is_library_name(name) {
            continue;
        }

        // a linker script or another processor's library has a library's name, but no use for the loader
        let Some(content) = scene.merged.resolve(&entry.path).and_then(TreeEntry::content) else { continue };
        let library = elf::read(content, scene.input.contents, scene.input.architecture);
        let library = library.map_err(|cause| Error::Read { path: entry.path.clone(), cause })?;
        let Some(library) = library.filter(|library| library.is_dynamic && library.is_shared) else { continue };

        let soname = library.soname.unwrap_or_else(|| name.to_owned());
        // `libx.so -> libx.so.1` is for the linker, and cached under its own name
        let is_development = name.ends_with(".so") && soname.starts_with(name);
        let is_link = matches!(entry.kind, EntryKind::Symlink(_)) && (name == soname || is_development);
        sonames.insert(if is_link { name.to_owned() } else { soname });
    }

    // a soname is the library's own claim: no path, and only what the folder really has under this name
    sonames.retain(|soname| !soname.contains('/') && soname.is_ascii() && scene.is_file(&format!("{folder}/{soname}")));
    Ok(sonames)
}

/// Tells whether ldconfig would look at a file of this name.
pub(super) fn is_library_name(name: &str) -> bool {
    let is_library = (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so");
    is_library && !name.contains('/') && name.is_ascii()
}

/// glibc's `_dl_cache_libcmp`: runs of digits are numbers and come after other characters. The loader searches with it,
/// so another order would hide libraries.
pub(super) fn compare(first: &str, second: &str) -> Ordering {
    let (mut first, mut second) = (first.as_bytes(), second.as_bytes());
    loop {
        let (left, right) = (first.first(), second.first());
        match (left.is_some_and(u8::is_ascii_digit), right.is_some_and(u8::is_ascii_digit)) {
            (true, true) => match take_number(&mut first).cmp(&take_number(&mut second)) {
                Ordering::Equal => {}
                different => return different,
            },
            (true, false) => return Ordering::Greater,
            (false, true) => return Ordering::Less,
            (false, false) if left != right || left.is_none() => return left.cmp(&right),
            (false, false) => (first, second) = (&first[1..], &second[1..]),
        }
    }
}

/// Takes the number that a text begins with off it.
fn take_number(text: &mut &[u8]) -> u64 {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(count);
    *text = rest;
    digits.iter().fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// Returns the bytes of the cache for paths and the sonames that they end in.
fn write(libraries: &[(String, String)], architecture: Architecture) -> Vec<u8> {
    let ElfClass { cache_flags: flags, is_big_endian, .. } = architecture.elf();
    // the loader reads its own byte order, and the header says which one it is
    let order = if is_big_endian { BIG_ENDIAN } else { LITTLE_ENDIAN };
    let push_fields = |bytes: &mut Vec<u8>, fields: &[u32]| match is_big_endian {
        true => push_big_endian(bytes, fields),
        false => push_little_endian(bytes, fields),
    };

    // struct file_entry_new: flags, key, value, then osversion and hwcap, which are 0 without glibc-hwcaps
    let start = HEADER_SIZE + ENTRY_SIZE * libraries.len();
    let mut strings = Vec::new();
    let mut entries = Vec::new();
    for (path, soname) in libraries {
        let value = start + strings.len();
        // the soname is the end of the path, so one string serves for both
        let key = value + path.len() - soname.len();
        push_fields(&mut entries, &[flags, number(key), number(value), 0, 0, 0]);
        strings.extend_from_slice(path.as_bytes());
        strings.push(0);
    }

    // struct cache_file_new: number of entries, length of strings, flags, extension offset, three unused
    let extension = (start + strings.len()).next_multiple_of(4);
    let mut bytes = MAGIC.to_vec();
    let counts = [number(libraries.len()), number(strings.len())];
    push_fields(&mut bytes, &[counts[0], counts[1], order, number(extension), 0, 0, 0]);
    bytes.extend_from_slice(&entries);
    bytes.extend_from_slice(&strings);
    bytes.resize(extension, 0);

    // struct cache_extension with one section: the generator (tag 0), right behind
    push_fields(&mut bytes, &[EXTENSION_MAGIC, 1, 0, 0, number(extension + 24), number(GENERATOR.len())]);
    bytes.extend_from_slice(GENERATOR);
    bytes
}

fn push_little_endian(bytes: &mut Vec<u8>, fields: &[u32]) {
    fields.iter().for_each(|field| bytes.extend_from_slice(&field.to_le_bytes()));
}

fn push_big_endian(bytes: &mut Vec<u8>, fields: &[u32]) {
    fields.iter().for_each(|field| bytes.extend_from_slice(&field.to_be_bytes()));
}

fn number(number: usize) -> u32 {
    u32::try_from(number).expect("trees hold far less than 4 GiB of names")
}

#[cfg(test)]
mod tests;
