//! Owns the links by which programs find libraries: `libx.so.3 -> libx.so.3.1.4`.
//!
//! Debian's packages bring them. Where one does not, ldconfig(8) makes them on every system, when the package activates
//! the trigger `ldconfig` or calls it; so they are made here for every library in a folder of the loader.

use crate::layer::elf;
use crate::layer::generate::Error;
use crate::layer::generate::MergedView;
use crate::layer::generate::ld_so_cache::compare;
use crate::layer::generate::ld_so_cache::folders;
use crate::layer::generate::ld_so_cache::is_library_name;
use crate::layer::generate::link;
use crate::layer::loader;
use crate::tree::EntryKind;
use crate::tree::TreeEntry;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

const NAME: &str = "soname-links";

pub(super) fn run(scene: &MergedView<'_>) -> Result<Vec<TreeEntry>, Error> {
    let mut seen = BTreeSet::new();
    let mut entries = Vec::new();
    for folder in folders(scene)? {
        let Some(real) = loader::real_folder(&folder, &scene.merged) else { continue };
        if seen.insert(real.clone()) {
            let missing = missing(scene, &real)?;
            entries.extend(missing.iter().map(|(soname, name)| link(NAME, &format!("{real}/{soname}"), name)));
        }
    }
    Ok(entries)
}

/// Returns the sonames of a folder that nothing is called by, each with the newest file that has it.
fn missing(scene: &MergedView<'_>, folder: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut missing: BTreeMap<String, String> = BTreeMap::new();
    // lower levels have made theirs
    for entry in scene.input.level.below(folder) {
        let name = &entry.path[folder.len() + 1..];
        let EntryKind::File(content) = &entry.kind else { continue };
        if !is_library_name(name) {
            continue;
        }

        let library = elf::read(content, scene.input.contents, scene.input.architecture);
        let library = library.map_err(|cause| Error::Read { path: entry.path.clone(), cause })?;
        let Some(soname) = library.and_then(|library| library.soname) else { continue };
        // a soname is the library's own claim: it must be a name of a library, not a path
        if !is_library_name(&soname) || scene.get(&format!("{folder}/{soname}")).is_some() {
            continue;
        }

        let newest = missing.entry(soname).or_insert_with(|| name.to_owned());
        if compare(name, newest).is_gt() {
            name.clone_into(newest);
        }
    }
    Ok(missing)
}
