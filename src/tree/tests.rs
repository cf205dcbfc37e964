//! Contract of trees and tar headers.

use super::*;
use proptest::prelude::*;
use std::io::Read;

fn entry(path: &str, kind: EntryKind) -> TreeEntry {
    let origin = EntryOrigin::Recipe("test".to_owned());
    TreeEntry { path: path.to_owned(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 1, origin }
}

fn file(path: &str) -> TreeEntry {
    entry(path, EntryKind::File(FileContent::inline(*b"x")))
}

#[test]
fn refuses_paths_that_are_not_normal() {
    for path in ["", "/etc", "etc/", "a//b", "./a", "a/..", "../a", "a\0b", &"x".repeat(256), &"x/".repeat(3000)] {
        assert!(check_path(path).is_err(), "{path}");
    }
    for path in ["a", "etc/passwd", "usr/share/Főtanúsítvány.crt", "..a", "a/...b"] {
        assert_eq!(check_path(path), Ok(()), "{path}");
    }
}

#[test]
fn whiteouts_are_no_names() {
    for path in [".wh.a", "a/.wh.b", "a/.wh.b/c", ".wh..wh..opq", "a/.wh..wh.plnk", ".wh."] {
        assert_eq!(check_path(path), Err(Error::Whiteout(path.to_owned())));
        let mut tree = Tree::default();
        for kind in
            [EntryKind::Directory, EntryKind::File(FileContent::inline(*b"")), EntryKind::Symlink("x".to_owned())]
        {
            assert!(tree.add(entry(path, kind.clone())).is_err() && tree.replace(entry(path, kind)).is_err());
        }
        let target = format!("../{path}");
        assert!(tree.add(entry("x", EntryKind::Symlink(target))).is_err());
    }
    for path in ["a.wh.b", ".whx", ".wh", "wh.a"] {
        assert_eq!(check_path(path), Ok(()));
    }
}

#[test]
fn one_path_has_one_origin_but_folders_are_shared() {
    let mut tree = Tree::default();
    tree.add(entry("etc", EntryKind::Directory)).unwrap();
    tree.add(entry("etc", EntryKind::Directory)).unwrap();
    tree.add(file("etc/a")).unwrap();
    assert!(matches!(tree.add(file("etc/a")), Err(Error::Duplicate { .. })));
    assert!(matches!(tree.add(file("etc")), Err(Error::Duplicate { .. })));
    assert!(tree.replace(file("etc/a")).unwrap().is_some());
}

#[test]
fn follows_links_like_the_kernel() {
    let link = |path: &str, target: &str| entry(path, EntryKind::Symlink(target.to_owned()));
    let tree: Tree = [
        link("lib", "usr/lib"),
        link("usr/lib/loop", "loop"),
        link("usr/lib/up", "../../../../etc/./x"),
        link("abs", "/lib/f"),
        file("usr/lib/f"),
        file("etc/x"),
    ]
    .into_iter()
    .collect();
    let table = [
        ("lib/f", Some("usr/lib/f")),
        ("abs", Some("usr/lib/f")),
        ("lib/up", Some("etc/x")),
        ("lib/loop", None),
        ("nothing", None),
    ];
    for (path, expected) in table {
        assert_eq!(tree.resolve(path).map(|entry| entry.path.as_str()), expected, "{path}");
    }
}

#[test]
fn names_missing_folders_and_what_stands_on_a_file() {
    let lower: Tree = [entry("usr", EntryKind::Directory)].into_iter().collect();
    let tree: Tree = [file("usr/share/doc/x")].into_iter().collect();
    assert_eq!(tree.missing_folders(&lower).unwrap(), ["usr/share", "usr/share/doc"]);
    let bad: Tree = [file("etc"), file("etc/x")].into_iter().collect();
    assert!(matches!(bad.missing_folders(&lower).unwrap_err()[..], [Error::NotAFolder { .. }]));
}

/// Reads one header back with the `tar` crate.
fn read_back(entry: &TreeEntry) -> (String, Option<String>, u64, u64) {
    let mut bytes = tar::header(entry);
    if let EntryKind::File(content) = &entry.kind {
        let length = usize::try_from(content.size + tar::padding(content.size)).unwrap();
        bytes.resize(bytes.len() + length, b'x');
    }
    bytes.extend_from_slice(&tar::END);
    let mut archive = ::tar::Archive::new(&bytes[..]);
    let mut entries = archive.entries().unwrap();
    let mut found = entries.next().unwrap().unwrap();
    let path = String::from_utf8(found.path_bytes().into_owned()).unwrap();
    let link = found.link_name_bytes().map(|name| String::from_utf8(name.into_owned()).unwrap());
    let answer = (path, link, found.header().uid().unwrap(), found.size());
    std::io::copy(&mut found.by_ref(), &mut std::io::sink()).unwrap();
    assert!(entries.next().is_none());
    answer
}

#[test]
fn uses_pax_only_when_forced() {
    let short = tar::header(&file("etc/passwd"));
    assert_eq!(short.len(), 512);
    let split = tar::header(&file(&format!("{}/{}", "a".repeat(150), "b".repeat(90))));
    assert_eq!(split.len(), 512);
    assert_eq!(tar::header(&file("usr/share/Főtanúsítvány.crt")).len(), 1536);
}

proptest! {
    #[test]
    fn every_reader_sees_the_path_that_was_written(parts in prop::collection::vec("[a-zäß .~+-]{1,60}", 1..8), target in "[a-z/ä]{1,200}") {
        let path = parts.iter().map(|part| part.replace(['.', ' '], "_")).collect::<Vec<_>>().join("/");
        prop_assert_eq!(read_back(&file(&path)), (path.clone(), None, 0, 1));
        let link = entry(&path, EntryKind::Symlink(target.clone()));
        prop_assert_eq!(read_back(&link), (path.clone(), Some(target), 0, 0));
        let folder = entry(&path, EntryKind::Directory);
        prop_assert_eq!(read_back(&folder).0, format!("{path}/"));
    }
}

#[test]
fn follows_the_text_of_a_link() {
    let table = [
        ("a/b", "c", "a/c"),
        ("a/b", "../c", "c"),
        ("a/b", "/c/./d/", "c/d"),
        ("a/b", "../../../../c", "c"),
        ("a", "/", ""),
        ("a/b", ".", "a"),
    ];
    for (path, target, expected) in table {
        assert_eq!(link_target(path, target), expected, "{path} {target}");
    }
}
