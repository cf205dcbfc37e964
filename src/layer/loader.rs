//! Where the dynamic loader looks for libraries: the folders of ld.so.conf(5), and its own on Debian.

use crate::store::Error;
use crate::tree::ContentReader;
use crate::tree::Tree;
use crate::tree::TreeEntry;
use crate::values::Architecture;

/// The cache that lists the libraries in the folders of ld.so.conf(5).
pub const CACHE: &str = "etc/ld.so.cache";

/// Largest configuration file that is read.
const LIMIT: u64 = 1 << 20;

/// Returns the folders that the loader searches without a cache, on Debian (`ld.so --list-diagnostics`, `path.system_dirs`).
#[must_use]
pub fn standard(architecture: Architecture) -> [String; 4] {
    let triplet = architecture.triplet();
    [format!("lib/{triplet}"), format!("usr/lib/{triplet}"), "lib".to_owned(), "usr/lib".to_owned()]
}

/// Returns the folders of ld.so.conf(5), without slashes at their ends. The loader sees them only through the cache.
///
/// # Errors
/// When a file cannot be read.
pub fn configured(tree: &Tree, contents: &ContentReader<'_>) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for line in read_lines("etc/ld.so.conf", tree, contents)? {
        match line.strip_prefix("include").filter(|rest| rest.starts_with([' ', '\t'])) {
            // Debian's only include; one level is enough
            Some(pattern) if pattern.trim().trim_start_matches('/') == "etc/ld.so.conf.d/*.conf" => {
                for entry in tree.below("etc/ld.so.conf.d").filter(|entry| entry.path.ends_with(".conf")) {
                    lines.extend(read_lines(&entry.path, tree, contents)?);
                }
            }
            Some(_) => {}
            None => lines.push(line),
        }
    }

    // ldconfig passes over relative paths, too
    let folders = lines.iter().filter_map(|line| line.strip_prefix('/'));
    Ok(folders.map(|line| line.trim_end_matches('/').to_owned()).collect())
}

/// Returns where a folder really is. The link `/lib` may be made by generator `filesystem` later in the same run.
#[must_use]
pub fn real_folder(folder: &str, tree: &Tree) -> Option<String> {
    [folder.to_owned(), format!("usr/{folder}")].into_iter().find_map(|path| {
        let resolved = tree.resolve(&path).map(|entry| entry.path.clone());
        resolved.or_else(|| tree.below(&path).next().map(|_| path))
    })
}

/// Lines without comments and blanks.
fn read_lines(path: &str, tree: &Tree, contents: &ContentReader<'_>) -> Result<Vec<String>, Error> {
    let Some(content) = tree.resolve(path).and_then(TreeEntry::content) else { return Ok(Vec::new()) };
    let bytes = contents.read(content, LIMIT)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim().to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}
