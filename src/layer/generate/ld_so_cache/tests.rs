//! Contract of the loader cache; the oracle is ldconfig on a folder with real libraries.

use super::*;
use crate::layer::generate::GeneratorInput;
use crate::layer::generate::generate;
use crate::recipe::LevelDefinition;
use crate::store::Store;
use crate::sys::fs;
use crate::tree::ContentReader;
use crate::tree::ContentSource;
use crate::tree::FileContent;
use crate::tree::Tree;
use proptest::prelude::*;
use std::path::Path;
use std::process::Command;

#[test]
fn orders_names_like_glibc() {
    let table = [
        ("libz.so.1", "libz.so.1", Ordering::Equal),
        ("libz.so.10", "libz.so.9", Ordering::Greater),
        ("libz.so.1", "libz.so", Ordering::Greater),
        ("libz.so", "libz.so.1", Ordering::Less),
        ("liba1", "liba", Ordering::Greater),
        ("liba", "liba1", Ordering::Less),
        ("lib1", "libx", Ordering::Greater),
        ("libx", "lib1", Ordering::Less),
        ("libx.so.01", "libx.so.1", Ordering::Equal),
        ("libc.so.6", "libd.so.6", Ordering::Less),
    ];
    for (first, second, expected) in table {
        assert_eq!(compare(first, second), expected, "{first} {second}");
    }
}

fn cache(tree: &Tree) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let contents = ContentReader::new(&store);
    let level = LevelDefinition { generate: vec![NAME.to_owned()], ..LevelDefinition::default() };
    let levels = [LevelDefinition::default(), level];
    let lower = Tree::default();
    let input = GeneratorInput {
        levels: &levels,
        architecture: Architecture::Amd64,
        lower: &lower,
        level: tree,
        contents: &contents,
    };
    let made = generate(&input).unwrap();
    match &made[0].content().unwrap().source {
        ContentSource::Inline(bytes) => bytes.to_vec(),
        ContentSource::Payload { .. } => panic!("inline"),
    }
}

/// What `ldconfig -p` says about a cache, without the line that names the writer and the cache's path.
fn show(path: &Path) -> String {
    let output = Command::new("ldconfig").arg("-p").arg("-C").arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter(|line| line.starts_with('\t')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn says_what_ldconfig_says() {
    let real = Path::new("/usr/lib/x86_64-linux-gnu");
    let names = ["libz.so.1", "libm.so.6", "libc.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"];
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let link = |path: &str, target: &str| crate::layer::generate::link(NAME, path, target);
    let mut tree: Tree =
        [link("lib", "usr/lib"), link("usr/lib/x86_64-linux-gnu/libz.so", "libz.so.1")].into_iter().collect();
    let triplet = "usr/lib/x86_64-linux-gnu";
    for name in names {
        let Ok(bytes) = fs::read(&real.join(name), 64 << 20) else {
            return println!("skipped: there is no {name} of this architecture");
        };
        for path in [format!("{triplet}/{name}"), format!("opt/extra/{name}")] {
            tree.replace(file(NAME, &path, bytes.clone(), 0o755)).unwrap();
        }
        // a plugin-like name whose soname is another file's, and something that is no library
        if name == "libz.so.1" {
            tree.replace(file(NAME, &format!("{triplet}/libz.so.1.9.9"), bytes.clone(), 0o755)).unwrap();
            tree.replace(file(NAME, "usr/lib/libz.so.1", bytes, 0o755)).unwrap();
        }
    }
    tree.replace(file(NAME, "usr/lib/libscript.so", "INPUT(libz.so.1)", 0o644)).unwrap();
    tree.replace(file(NAME, "etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n", 0o644)).unwrap();
    tree.replace(file(NAME, "etc/ld.so.conf.d/a.conf", "# extra\n/opt/extra/\n/nowhere\n", 0o644)).unwrap();
    for entry in tree.iter() {
        let path = root.join(&entry.path);
        fs::create_dir(path.parent().unwrap()).unwrap();
        match &entry.kind {
            EntryKind::Symlink(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            EntryKind::File(FileContent { source: ContentSource::Inline(bytes), .. }) => {
                fs::write_atomic(&path, bytes).unwrap();
            }
            _ => unreachable!("there are only links and files"),
        }
    }
    let written = Command::new("ldconfig").arg("-X").arg("-r").arg(root).output();
    match written {
        Ok(output) if output.status.success() => {}
        other => return println!("skipped: ldconfig does not work here: {other:?}"),
    }
    let theirs = show(&root.join("etc/ld.so.cache"));
    let ours = root.join("ours");
    fs::write_atomic(&ours, &cache(&tree)).unwrap();
    assert_eq!(show(&ours), theirs);
    assert!(theirs.lines().count() > 10, "{theirs}");
}

proptest! {
    #[test]
    fn no_damaged_library_panics(seed in prop::collection::vec(any::<u8>(), 58..400), class in any::<bool>()) {
        let mut bytes = seed;
        if class {
            bytes[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0");
            bytes[54..56].copy_from_slice(&[56, 0]);
            bytes[57] = 0;
        }
        let tree: Tree = [file(NAME, "usr/lib/libx.so", bytes, 0o644)].into_iter().collect();
        let made = cache(&tree);
        prop_assert!(made.starts_with(MAGIC));
    }

    #[test]
    fn the_order_is_an_order(names in prop::collection::vec("[a-c.0-2]{0,6}", 3)) {
        let [a, b, c] = &names[..] else { unreachable!() };
        prop_assert_eq!(compare(a, b), compare(b, a).reverse());
        if compare(a, b).is_le() && compare(b, c).is_le() {
            prop_assert!(compare(a, c).is_le());
        }
    }
}
