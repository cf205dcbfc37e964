//! Whether an application's own files stand in the way of what the new base changes.
//!
//! Only layers that differ are read: the application's own, and those that the old and the new base do not share. What
//! they say about a path is compared, and these are reasons against a move:
//! - the application has a file of its own where the base's was patched (a library, or dpkg's records): the patch would
//!   not reach it, and a scanner would believe the wrong record;
//! - it has a file below or a folder at a path that is something else in the new base;
//! - it hides a folder to which the new base adds files;
//! - its link leads to a file that the new base has no more.
//!
//! Configuration below `/etc` and documentation are different: whoever replaces them means it, so that is only said.

use crate::oci;
use crate::rebase::Error;
use crate::rebase::Move;
use crate::rebase::Order;
use crate::rebase::picture::Layer;
use crate::rebase::place;
use crate::rebase::place::Place;
use crate::rebase::place::Reader;
use crate::sys::archive;
use crate::sys::archive::Limits;
use crate::sys::archive::Next;
use crate::sys::fs;
use crate::values::Digest;
use crate::values::Hasher;
use crate::values::shown::shown;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::io::Read;

/// Bytes that [`Check::Auto`] fetches, at most.
pub const AUTO: u64 = 200_000_000;

/// Most bytes that all layers of one check may unpack to, most paths that they may have, and the bytes of these: what is
/// kept of them stays below 256 MiB. Large applications have some 100,000 paths of 80 bytes.
const UNPACKED: u64 = 32 << 30;
const PATHS: u64 = 500_000;
const NAMES: u64 = 48 << 20;

/// Most paths of which the package is remembered; a base image has some 10,000.
const OWNED: usize = 200_000;

/// Largest list of a package's files that is read.
const LIST: u64 = 8 << 20;

/// Largest layer that is fetched.
const LARGEST: u64 = 16 << 30;

/// Most paths that one message names.
const NAMED: usize = 3;

/// Whether layers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// When no more than [`AUTO`] bytes have to be fetched for it.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Layers were compared.
    pub is_checked: bool,
    /// Reasons against the move.
    pub reasons: Vec<String>,
    /// What people should know.
    pub notes: Vec<String>,
}

/// What a layer has at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A folder.
    Folder,
    /// A file: its mode, and the digest of its bytes where that was asked for.
    File(u32, Option<Digest>),
    /// A symbolic link, and where it leads to.
    Link(String),
    /// A device or the like.
    Other,
    /// What lower layers have here and below is gone (image-spec layer.md, "Whiteouts").
    Gone,
}

/// Layers laid upon one another: paths without slashes at either end.
pub type Facts = BTreeMap<String, Fact>;

/// What the base's layers say, before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bases {
    /// Layers that only the old base has.
    pub old: Facts,
    /// Layers that only the new base has.
    pub new: Facts,
    /// Which package has a path.
    pub owners: BTreeMap<String, String>,
}

/// Compares all platforms that move, as far as that was asked for.
pub(crate) async fn check(moves: &[Move<'_>], order: &Order<'_>, reader: &Reader<'_>) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let moves: Vec<&Move<'_>> = moves.iter().filter(|one| !one.is_done()).collect();
    if order.check == Check::Never || moves.is_empty() {
        return Ok(checked);
    }
    let mut wanted: BTreeMap<Digest, u64> = BTreeMap::new();
    for one in &moves {
        for (place, layers) in parts(one, order) {
            let missing = layers.iter().filter(|layer| !place.is_at_hand(&layer.blob, reader));
            wanted.extend(missing.map(|layer| (layer.blob.digest, layer.blob.size)));
        }
    }
    let bytes: u64 = wanted.values().fold(0, |sum, size| sum.saturating_add(*size));
    if order.check == Check::Auto && bytes > AUTO {
        checked.notes.push(format!("files are not checked: {} MB would have to be read", bytes / 1_000_000));
        return Ok(checked);
    }
    checked.is_checked = true;
    for one in moves {
        let [own, gone, come] = parts(one, order);
        let mut limits = Limits::new(PATHS, NAMES, UNPACKED);
        let mut bases = Bases::default();
        let application = laid(own, &mut limits, None, reader).await?;
        bases.old = laid(gone, &mut limits, Some(&mut bases.owners), reader).await?;
        bases.new = laid(come, &mut limits, Some(&mut bases.owners), reader).await?;
        let found = judge(&application, &bases);
        let tell = |text: String| format!("{}: {text}", one.application.platform);
        checked.reasons.extend(found.reasons.into_iter().map(tell));
        checked.notes.extend(found.notes.into_iter().map(tell));
    }
    Ok(checked)
}

/// Returns the application's own layers, those that only the old base has, and those that only the new one has.
fn parts<'a>(one: &Move<'a>, order: &Order<'a>) -> [(&'a Place<'a>, Vec<&'a Layer>); 3] {
    let has = |layers: &[Layer], wanted: &Layer| layers.iter().any(|layer| layer.diff_id == wanted.diff_id);
    let own = one.application.layers.iter().skip(one.old.layers.len()).collect();
    let gone = one.old.layers.iter().filter(|layer| !has(&one.new.layers, layer)).collect();
    let come = one.new.layers.iter().filter(|layer| !has(&one.old.layers, layer)).collect();
    [(order.place, own), (order.base, gone), (order.base, come)]
}

async fn laid(
    (place, layers): (&Place<'_>, Vec<&Layer>),
    limits: &mut Limits,
    mut owners: Option<&mut BTreeMap<String, String>>,
    reader: &Reader<'_>,
) -> Result<Facts, Error> {
    let mut facts = Facts::new();
    for layer in layers {
        let folder = place.folder_with(&layer.blob, LARGEST, reader).await?;
        let path = place::path(&folder, &layer.blob.digest);
        let stream = oci::decompressed(&layer.blob.media_type, fs::open(&path)?)?;
        let read = lay(stream, (&mut facts, owners.as_deref_mut()), limits);
        read.map_err(|cause| fs::Error::new("read", &path, cause))?;
    }
    Ok(facts)
}

/// Lays one layer over those before it; files are only digested where their owners are asked for.
///
/// # Errors
/// What the stream says; an [`io::Error`] with an [`archive::Excess`] inside when there is more than `limits`.
pub fn lay(
    stream: impl Read,
    (facts, mut owners): (&mut Facts, Option<&mut BTreeMap<String, String>>),
    limits: &mut Limits,
) -> io::Result<()> {
    // whiteouts are about lower layers alone, wherever in the archive they stand
    let (mut upper, mut hidden_paths) = (Facts::new(), Vec::new());
    archive::each(stream, limits, |member| {
        let path = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        // engines take `usr//lib`, `./usr/lib` and `/usr/lib` for one path
        let path = resolve("", &path);
        if path.is_empty() {
            return Ok(Next::Go);
        }
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if let Some(hidden) = name.strip_prefix(".wh.") {
            let hidden = match (hidden, folder) {
                // nothing behind the prefix is the folder itself to engines that join the two
                (".wh..opq" | "", folder) => folder.to_owned(),
                (hidden, "") => hidden.to_owned(),
                (hidden, folder) => format!("{folder}/{hidden}"),
            };
            hidden_paths.push(hidden);
        } else {
            let fact = fact(&path, member, owners.as_deref_mut())?;
            upper.insert(path, fact);
        }
        Ok(Next::Go)
    })?;
    for hidden in hidden_paths {
        let below = below(&hidden);
        let gone = facts.range(below.clone()..).map(|(path, _)| path).take_while(|path| path.starts_with(&below));
        for path in gone.cloned().collect::<Vec<_>>() {
            facts.remove(&path);
        }
        // a folder that is back, here or in a later layer, says nothing of what was below it
        if upper.get(&hidden).is_none_or(|fact| *fact == Fact::Folder) {
            upper.insert(hidden, Fact::Gone);
        }
    }
    upper.retain(|path, fact| *fact != Fact::Folder || facts.get(path) != Some(&Fact::Gone));
    facts.append(&mut upper);
    Ok(())
}

fn fact<R: Read>(
    path: &str,
    member: &mut tar::Entry<'_, R>,
    owners: Option<&mut BTreeMap<String, String>>,
) -> io::Result<Fact> {
    let header = member.header().clone();
    let link = member.link_name_bytes().map(|name| String::from_utf8_lossy(&name).into_owned()).unwrap_or_default();
    Ok(match header.entry_type() {
        tar::EntryType::Directory => Fact::Folder,
        tar::EntryType::Symlink => Fact::Link(link),
        tar::EntryType::Link => Fact::File(0, Some(Digest::of(link.as_bytes()))),
        kind if kind.is_file() => {
            let mode = header.mode()? & 0o7777;
            let Some(owners) = owners else { return Ok(Fact::File(mode, None)) };
            let mut hasher = Hasher::default();
            match package(path).filter(|_| member.size() <= LIST) {
                Some(package) => {
                    let mut text = String::new();
                    member.read_to_string(&mut text)?;
                    hasher.update(text.as_bytes());
                    // `<md5>  <path>`, as md5sum(1) writes it
                    let paths = text.lines().filter_map(|line| line.split_once("  "));
                    for (_, path) in paths {
                        owners.insert(path.trim().to_owned(), package.to_owned());
                        if owners.len() > OWNED {
                            return Err(io::Error::other(format!("its packages have more than {OWNED} files")));
                        }
                    }
                }
                None => drop(io::copy(member, &mut hasher)?),
            }
            Fact::File(mode, Some(hasher.finish()))
        }
        _ => Fact::Other,
    })
}

/// Returns the package whose files a path lists.
fn package(path: &str) -> Option<&str> {
    let lists = ["var/lib/dpkg/status.d/", "var/lib/dpkg/info/"];
    let name = lists.iter().find_map(|folder| path.strip_prefix(folder))?.strip_suffix(".md5sums")?;
    Some(name.split(':').next().unwrap_or(name))
}

/// Tells whether a path may be the application's own whatever the base does.
fn is_free(path: &str) -> bool {
    ["etc/", "usr/share/doc/", "usr/share/man/", "usr/share/locale/"].iter().any(|folder| path.starts_with(folder))
}

/// Compares what an application has with what its base changes.
#[must_use]
pub fn judge(application: &Facts, bases: &Bases) -> Checked {
    let mut kinds: BTreeMap<(bool, &str), Vec<String>> = BTreeMap::new();
    let mut say = |free: bool, what: &'static str, path: String| kinds.entry((free, what)).or_default().push(path);
    let is_changed = |path: &str| bases.old.get(path) != bases.new.get(path);
    for (path, fact) in application {
        let after = bases.new.get(path);
        match fact {
            Fact::Gone => {
                let hidden = added_below(path, bases);
                for path in hidden.iter().filter(|path| !covers(application, path)) {
                    say(is_free(path), "it hides what the new base adds", owned(path, bases));
                }
            }
            Fact::Folder if after.is_some_and(|after| *after != Fact::Folder) && is_changed(path) => {
                say(false, "it has a folder where the new base has something else", owned(path, bases));
            }
            Fact::Folder => {}
            _ if is_changed(path) => {
                let what = "it has files of its own in place of those that the new base changes";
                say(is_free(path), what, owned(path, bases));
            }
            Fact::Link(target) => {
                let target = resolve(path, target);
                let is_removed = |path: &str| bases.old.contains_key(path) && !bases.new.contains_key(path);
                if is_removed(&target) && !application.contains_key(&target) {
                    say(false, "it has links to files that the new base has no more", owned(&target, bases));
                }
            }
            _ => {}
        }
        for above in ancestors(path) {
            if bases.new.get(above).is_some_and(|after| *after != Fact::Folder) && is_changed(above) {
                say(false, "it has files below what is no folder in the new base", owned(above, bases));
            }
        }
    }
    let mut checked = Checked { is_checked: true, ..Checked::default() };
    for ((free, what), paths) in kinds {
        let text = format!("{what}: {}", some(&paths));
        if free { checked.notes.push(text) } else { checked.reasons.push(text) }
    }
    checked
}

/// Returns the paths at or below one that only the new base has.
fn added_below<'a>(path: &str, bases: &'a Bases) -> Vec<&'a str> {
    let below = below(path);
    let added = bases.new.range(path.to_owned()..).take_while(|(known, _)| known.starts_with(path));
    let is_below = |known: &str| known == path || known.starts_with(&below);
    let added =
        added.filter(|(known, fact)| is_below(known) && **fact != Fact::Folder && !bases.old.contains_key(*known));
    added.map(|(known, _)| known.as_str()).collect()
}

/// Returns what all paths below a folder begin with; everything is below the root, which has no name.
fn below(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{folder}/") }
}

/// Tells whether the application has a file of its own there, which is judged by itself.
fn covers(application: &Facts, path: &str) -> bool {
    application.get(path).is_some_and(|fact| *fact != Fact::Gone)
}

fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

/// Returns where a link leads to, as far as its text tells.
fn resolve(path: &str, target: &str) -> String {
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { path.split('/').collect() };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn owned(path: &str, bases: &Bases) -> String {
    // package lists may name paths as they were before /usr was merged
    let before_merge = || bases.owners.get(path.strip_prefix("usr/")?);
    let owner = bases.owners.get(path).or_else(before_merge);
    let shown = shown(path);
    owner.map_or_else(|| format!("`/{shown}`"), |owner| format!("`/{shown}` of package `{owner}`"))
}

fn some(paths: &[String]) -> String {
    let paths: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
    let shown: Vec<&str> = paths.iter().copied().take(NAMED).collect();
    let more = paths.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> Fact {
        Fact::File(0o644, Some(Digest::of(content.as_bytes())))
    }

    fn facts(list: &[(&str, Fact)]) -> Facts {
        list.iter().map(|(path, fact)| ((*path).to_owned(), fact.clone())).collect()
    }

    fn bases() -> Bases {
        let old = [
            ("usr/lib/x", Fact::Folder),
            ("usr/lib/x/libssl.so.3", file("1")),
            ("usr/lib/x/libz.so.1", file("same")),
            ("usr/lib/x/gone.so", file("1")),
            ("usr/lib/becomes-link", Fact::Folder),
            ("var/lib/dpkg/status.d/libssl", file("Version: 1")),
            ("etc/ssl/openssl.cnf", file("1")),
        ];
        let new = [
            ("usr/lib/x", Fact::Folder),
            ("usr/lib/x/libssl.so.3", file("2")),
            ("usr/lib/x/libz.so.1", file("same")),
            ("usr/lib/x/new.so", file("2")),
            ("usr/lib/becomes-link", Fact::Link("x".to_owned())),
            ("var/lib/dpkg/status.d/libssl", file("Version: 2")),
            ("etc/ssl/openssl.cnf", file("2")),
            ("etc/ssl/new.cnf", file("2")),
        ];
        let owners = [("usr/lib/x/libssl.so.3".to_owned(), "libssl3t64".to_owned())].into();
        Bases { old: facts(&old), new: facts(&new), owners }
    }

    #[test]
    fn what_stands_in_the_way_is_told() {
        let own = || Fact::File(0o644, None);
        let table: [(&str, Fact, &str, &str); 17] = [
            ("opt/app.jar", own(), "", ""),
            ("usr/lib/x", Fact::Folder, "", ""),
            ("usr/lib/x/libz.so.1", own(), "", ""),
            (
                "usr/lib/x/libssl.so.3",
                own(),
                "in place of those that the new base changes: `/usr/lib/x/libssl.so.3` of package `libssl3t64`",
                "",
            ),
            ("usr/lib/x/libssl.so.3", Fact::Link("/opt/libssl".to_owned()), "in place of", ""),
            ("usr/lib/x/libssl.so.3", Fact::Gone, "", ""),
            ("usr/lib/x/new.so", own(), "in place of", ""),
            ("var/lib/dpkg/status.d/libssl", own(), "in place of", ""),
            ("etc/ssl/openssl.cnf", own(), "", "in place of those that the new base changes: `/etc/ssl/openssl.cnf`"),
            ("usr/lib/x", Fact::Gone, "it hides what the new base adds: `/usr/lib/x/new.so`", ""),
            ("etc/ssl", Fact::Gone, "", "it hides what the new base adds: `/etc/ssl/new.cnf`"),
            (
                "",
                Fact::Gone,
                "it hides what the new base adds: `/usr/lib/x/new.so`",
                "it hides what the new base adds: `/etc/ssl/new.cnf`",
            ),
            (
                "usr/lib/becomes-link/mine",
                own(),
                "below what is no folder in the new base: `/usr/lib/becomes-link`",
                "",
            ),
            ("usr/lib/becomes-link", Fact::Folder, "a folder where the new base has something else", ""),
            ("opt/lib", Fact::Link("../usr/lib/x/gone.so".to_owned()), "no more: `/usr/lib/x/gone.so`", ""),
            ("opt/lib", Fact::Link("/usr/lib/x/libz.so.1".to_owned()), "", ""),
            ("opt/lib", Fact::Link("../../../..//".to_owned()), "", ""),
        ];
        for (path, fact, reason, note) in table {
            let found = judge(&facts(&[(path, fact.clone())]), &bases());
            let fits = |found: &[String], expected: &str| match expected {
                "" => found.is_empty(),
                expected => found.len() == 1 && found[0].contains(expected),
            };
            assert!(fits(&found.reasons, reason), "{path} {fact:?}: {:?}", found.reasons);
            assert!(fits(&found.notes, note), "{path} {fact:?}: {:?}", found.notes);
        }
    }

    fn layer(members: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, content) in members {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(if path.ends_with('/') {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            archive.append_data(&mut header, path, content.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn a_layer_may_hide_all_below_it() {
        let lower = layer(&[("a/", ""), ("a/b", "1"), ("a/c/d", "1"), ("e", "1")]);
        for (upper, expected) in [
            (&[(".wh..wh..opq", ""), ("g", "")][..], &[("", Fact::Gone), ("g", Fact::File(0o644, None))][..]),
            (&[("a/.wh..wh..opq", "")], &[("a", Fact::Gone), ("e", Fact::File(0o644, None))]),
            (&[("a/.wh.", "")], &[("a", Fact::Gone), ("e", Fact::File(0o644, None))]),
        ] {
            let (mut found, mut limits) = (Facts::new(), Limits::new(100, 1000, 1 << 20));
            lay(&lower[..], (&mut found, None), &mut limits).unwrap();
            lay(&layer(upper)[..], (&mut found, None), &mut limits).unwrap();
            assert_eq!(found, facts(expected));
        }
    }

    #[test]
    fn a_path_is_one_however_it_is_written() {
        for path in ["usr/lib/x", "./usr/lib/x", "/usr//lib/./x", ".//usr/lib/x/", "usr/bin/../lib/x"] {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(0);
            header.set_mode(0o644);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_cksum();
            let stream = [&header.as_bytes()[..], &[0; 1024]].concat();
            let (mut found, mut limits) = (Facts::new(), Limits::new(100, 1000, 1 << 20));
            lay(&stream[..], (&mut found, None), &mut limits).unwrap();
            assert_eq!(found.keys().collect::<Vec<_>>(), ["usr/lib/x"], "{path}");
        }
    }

    #[test]
    fn layers_lie_upon_one_another() {
        let (mut found, mut owners) = (Facts::new(), BTreeMap::new());
        let mut limits = Limits::new(100, 1000, 1 << 20);
        let last = layer(&[("e/", ""), ("g", "1")]);
        let lower = layer(&[("./a/", ""), ("a/b", "1"), ("a/c", "1"), ("d", "1"), ("e/", ""), ("e/old", "1")]);
        let list = ("var/lib/dpkg/status.d/libc6.md5sums", "0123  usr/lib/libc.so.6\n");
        let upper = layer(&[("a/.wh.b", ""), ("d", "2"), ("e/", ""), ("e/f", ""), ("e/.wh..wh..opq", ""), list]);
        lay(&lower[..], (&mut found, Some(&mut owners)), &mut limits).unwrap();
        lay(&upper[..], (&mut found, Some(&mut owners)), &mut limits).unwrap();
        lay(&last[..], (&mut found, Some(&mut owners)), &mut limits).unwrap();
        let expected = [
            ("a", Fact::Folder),
            ("a/b", Fact::Gone),
            ("a/c", file("1")),
            ("d", file("2")),
            ("e", Fact::Gone),
            ("e/f", file("")),
            ("g", file("1")),
            (list.0, file(list.1)),
        ];
        assert_eq!(found, facts(&expected));
        assert_eq!(owners["usr/lib/libc.so.6"], "libc6");
        let mut limits = Limits::new(100, 1000, 3);
        assert!(lay(&lower[..], (&mut Facts::new(), None), &mut limits).is_err());
    }
}
