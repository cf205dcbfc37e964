//! Images in the making, for planting faults: a good one, and what changes it.

use crate::support::elf::Elf;
use serde_json::json;
use sockel::check;
use sockel::check::CheckReport;
use sockel::check::CheckSubject;
use sockel::layer::unpack::UnpackedPackage;
use sockel::lock::file::Lock;
use sockel::recipe::ImageDefinition;
use sockel::recipe::LevelDefinition;
use sockel::recipe::RecipeRequest;
use sockel::recipe::RequestSection;
use sockel::recipe::RuntimeConfig;
use sockel::store::Store;
use sockel::tree::ContentReader;
use sockel::tree::EntryKind;
use sockel::tree::EntryOrigin;
use sockel::tree::FileContent;
use sockel::tree::Tree;
use sockel::tree::TreeEntry;
use sockel::values::Platform;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// An image in the making: one level, packages `libc` and `app`.
pub(crate) struct Plant {
    pub(crate) tree: Tree,
    pub(crate) level: LevelDefinition,
    pub(crate) packages: BTreeMap<String, UnpackedPackage>,
    pub(crate) excluded: Vec<&'static str>,
}

pub(crate) fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

impl Plant {
    /// Returns an image without fault.
    pub(crate) fn good() -> Self {
        let config = RuntimeConfig {
            user: Some("10001:10001".to_owned()),
            entrypoint: words(&["/usr/bin/app"]),
            working_directory: Some("/".to_owned()),
            writable: [("/var/lib/app".to_owned(), "state".to_owned())].into(),
            ..RuntimeConfig::default()
        };
        let level = LevelDefinition { recipe: "base".to_owned(), config, ..LevelDefinition::default() };
        let mut plant = Self { tree: Tree::default(), level, packages: BTreeMap::new(), excluded: Vec::new() };
        for name in ["app", "libc"] {
            let nothing = UnpackedPackage { control: BTreeMap::new(), entries: Vec::new(), owners: BTreeMap::new() };
            plant.packages.insert(name.to_owned(), nothing);
            plant.file(&format!("usr/share/doc/{name}/copyright"), b"free", 0o644);
            plant.text(&format!("var/lib/dpkg/status.d/{name}"), &format!("Package: {name}\nVersion: 1\n"));
        }
        plant.link("lib", "usr/lib").link("lib64", "usr/lib64").folder("tmp", 0o1777).folder("var/lib/app", 0o750);
        plant.owner("var/lib/app", 10001, 10001);
        plant.elf("usr/lib64/ld-linux-x86-64.so.2", &Elf::library("ld-linux-x86-64.so.2"));
        plant.elf("usr/lib/x86_64-linux-gnu/libc.so.6", &Elf::library("libc.so.6"));
        plant.elf("usr/bin/app", &Elf::program(&["libc.so.6"]));
        plant.text("etc/passwd", "root:x:0:0::/:\napp:x:10001:10001::/:\n");
        plant.text("etc/group", "root:x:0:\napp:x:10001:\n");
        plant.text("etc/shadow", "root:*:::::::\napp:!*:::::::\n");
        plant
    }

    pub(crate) fn put(&mut self, path: &str, kind: EntryKind, mode: u32) -> &mut Self {
        let origin = EntryOrigin::Package("app".to_owned());
        let entry = TreeEntry { path: path.to_owned(), kind, mode, uid: 0, gid: 0, mtime: 0, origin };
        self.tree.replace(entry).expect("a sound path");
        self
    }

    pub(crate) fn file(&mut self, path: &str, bytes: &[u8], mode: u32) -> &mut Self {
        self.put(path, EntryKind::File(FileContent::inline(bytes)), mode)
    }

    pub(crate) fn text(&mut self, path: &str, text: &str) -> &mut Self {
        self.file(path, text.as_bytes(), 0o644)
    }

    pub(crate) fn elf(&mut self, path: &str, elf: &Elf) -> &mut Self {
        self.file(path, &elf.build(), 0o755)
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.put(path, EntryKind::Symlink(target.to_owned()), 0o777)
    }

    pub(crate) fn folder(&mut self, path: &str, mode: u32) -> &mut Self {
        self.put(path, EntryKind::Directory, mode)
    }

    pub(crate) fn change(&mut self, path: &str, change: impl FnOnce(&mut TreeEntry)) -> &mut Self {
        let mut entry = self.tree.remove(path).expect("it is there");
        change(&mut entry);
        self.tree.replace(entry).expect("a sound path");
        self
    }

    pub(crate) fn owner(&mut self, path: &str, uid: u32, gid: u32) -> &mut Self {
        self.change(path, |entry| (entry.uid, entry.gid) = (uid, gid))
    }

    pub(crate) fn of_recipe(&mut self, path: &str) -> &mut Self {
        self.change(path, |entry| entry.origin = EntryOrigin::Recipe("base".to_owned()))
    }

    pub(crate) fn remove(&mut self, path: &str) -> &mut Self {
        assert!(self.tree.remove(path).is_some(), "{path}");
        self
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.level.config.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn start(&mut self, line: &[&str]) -> &mut Self {
        self.level.config.entrypoint = words(line);
        self
    }

    /// Starts a Java that has two modules.
    pub(crate) fn java(&mut self, arguments: &[&str]) -> &mut Self {
        self.file("usr/lib/jvm/java/bin/java", b"x", 0o755).link("usr/bin/java", "../lib/jvm/java/bin/java");
        self.text("usr/lib/jvm/java/release", "JAVA_VERSION=\"25\"\nMODULES=\"java.base java.xml\"\n");
        self.start(&[&["/usr/bin/java"], arguments].concat())
    }

    /// Makes the package `app` bring a path, whether or not it is in the image.
    pub(crate) fn brought(&mut self, path: &str) -> &mut Self {
        let origin = EntryOrigin::Package("app".to_owned());
        let kind = EntryKind::File(FileContent::inline(*b"x"));
        let entry = TreeEntry { path: path.to_owned(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0, origin };
        let entries = &mut self.packages.get_mut("app").expect("it is there").entries;
        entries.push(entry);
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        self
    }

    pub(crate) fn request(&mut self, section: RequestSection, text: &str) -> &mut Self {
        let (filled, written) = (text.to_owned(), text.to_owned());
        self.level.requests.push(RecipeRequest { section, filled, written, place: "recipes/base.yaml:7".to_owned() });
        self
    }

    pub(crate) fn definition(&self) -> ImageDefinition {
        ImageDefinition {
            image: "base".to_owned(),
            parent: None,
            platforms: vec![platform()],
            parameters: BTreeMap::new(),
            archives: Vec::new(),
            levels: [(platform(), vec![self.level.clone()])].into(),
            inputs: BTreeMap::new(),
            publish: sockel::recipe::PublishSettings::default(),
            version_of: None,
            purpose: String::new(),
            owner: sockel::recipe::ImageOwner::default(),
            rebuild: sockel::recipe::RebuildSchedule::default(),
        }
    }

    pub(crate) fn lock(&self) -> Lock {
        let digest = format!("sha256:{}", "0".repeat(64));
        let package = |name: &String| {
            json!({
                "name": name, "version": "1", "architecture": "amd64", "source": name, "from": "a/b",
                "component": "main", "path": "p", "size": 1, "sha256": digest, "sha512": "", "why": "requested",
            })
        };
        let packages: Vec<_> = self.packages.keys().map(package).collect();
        let excluded: Vec<_> =
            self.excluded.iter().map(|name| json!({ "name": name, "reason": "x", "wanted-by": ["app"] })).collect();
        let level = json!({
            "recipe": "base", "layers": [["*"]], "packages": { "linux/amd64": packages }, "excluded": excluded,
        });
        let lock = json!({
            "format": 2, "engine": 1, "image": "base", "epoch": "2026-01-01T00:00:00Z", "parameters": {},
            "archives": [], "levels": [level],
        });
        serde_json::from_value(lock).expect("a sound lock")
    }

    pub(crate) fn check(&self) -> CheckReport {
        let folder = tempfile::tempdir().expect("made");
        let store = Store::open(folder.path()).expect("opened");
        let contents = ContentReader::new(&store);
        let packages: BTreeMap<String, Arc<UnpackedPackage>> =
            self.packages.iter().map(|(name, package)| (name.clone(), Arc::new(package.clone()))).collect();
        let mut tree = self.tree.clone();
        for path in tree.missing_folders(&Tree::default()).expect("folders are folders") {
            let origin = EntryOrigin::Package("app".to_owned());
            let kind = EntryKind::Directory;
            tree.add(TreeEntry { path, kind, mode: 0o755, uid: 0, gid: 0, mtime: 0, origin }).expect("a sound path");
        }
        let (definition, lock, levels) = (self.definition(), self.lock(), [tree]);
        let subject = CheckSubject {
            definition: &definition,
            lock: &lock,
            platform: platform(),
            levels: &levels,
            whole: &levels[0],
            packages: &[packages],
            contents: &contents,
        };
        check::check(subject).expect("inline bytes can be read")
    }
}

/// Ends a chain of changes.
pub(crate) fn done(_: &mut Plant) {}

pub(crate) fn platform() -> Platform {
    "linux/amd64".parse().expect("a platform")
}

pub(crate) fn jar(manifest: &str) -> Vec<u8> {
    let mut jar = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    jar.start_file("META-INF/MANIFEST.MF", zip::write::SimpleFileOptions::default()).expect("memory takes it");
    jar.write_all(manifest.as_bytes()).expect("memory takes it");
    jar.finish().expect("memory takes it").into_inner()
}

pub(crate) const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";
