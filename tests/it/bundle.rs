//! `sockel bundle` and `--bundle`: builds without any archive, and bundles that want to do harm.

use crate::support::archive::Archive;
use crate::support::deb::Deb;
use crate::support::openpgp;
use crate::support::openpgp::Key;
use crate::support::project::Answer;
use crate::support::project::Project;
use crate::support::project::ROOT;
use crate::support::project::answer;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Registry;
use serde_json::Value;
use serde_json::json;
use sockel::bundle::BundleContents;
use sockel::bundle::BundledFile;
use sockel::bundle::BundledFileKind;
use sockel::bundle::PackageProof;
use sockel::sys::fs;
use sockel::values::Digest;
use sockel::values::Epoch;
use std::path::PathBuf;

/// A project that is locked, with its images built the usual way in `out`, and a bundle of all of it in `bundle`.
fn bundled() -> Project {
    let project = Project::new();
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    project.run(&["bundle"]).good();
    project
}

/// Runs with a store of its own, in which nothing is.
fn elsewhere(project: &Project, arguments: &[&str]) -> Answer {
    fs::remove_any(&project.path("elsewhere")).expect("removed");
    answer(project.command(arguments).env("SOCKEL_STORE", project.path("elsewhere")))
}

/// Takes the archive off the network.
fn without_archive(project: &Project) {
    for path in project.server.files().keys() {
        project.server.remove(path);
    }
    project.server.requests();
}

fn json(answer: Answer) -> Value {
    serde_json::from_str(&answer.good()).expect("JSON")
}

#[test]
fn a_build_from_a_bundle_needs_no_archive() {
    let project = bundled();
    let registry = Registry::start();
    let there = format!("{}/team/bundles:all", registry.url());
    project.run(&["bundle", "-o", "oci-archive:bundle.tar"]).good();
    let pushed = json(project.run(&["bundle", "-o", &there, "--format", "json"]));
    let again = json(project.run(&["bundle", "-o", &there, "--format", "json"]));
    assert_eq!((&pushed["digest"], &again["pushed"]["uploaded"]["count"]), (&again["digest"], &json!(0)));
    let manifest = registry.manifest("team/bundles", "all").expect("pushed");
    assert_eq!(manifest.artifact_type(), "application/vnd.sockel.bundle.v1+json");
    without_archive(&project);
    let expected = project.digests("out");
    for (number, bundle) in ["oci:bundle", "oci-archive:bundle.tar", &there].into_iter().enumerate() {
        let output = format!("out{number}");
        elsewhere(&project, &["build", "--bundle", bundle, "-o", &format!("oci:{output}")]).good();
        assert_eq!(project.digests(&output), expected, "{bundle}");
    }
    let target = format!("{}/team", registry.url());
    elsewhere(&project, &["publish", "app", "--bundle", &there, "--to", &target]).good();
    assert_eq!(registry.tags("team/app")["1"], expected["app:1"]);
    // files need no network whatsoever
    elsewhere(&project, &["build", "app", "--offline", "--bundle", "oci-archive:bundle.tar"]).good();
    assert_eq!(project.server.requests(), Vec::<String>::new());
}

#[test]
fn the_same_locks_give_the_same_bundle() {
    let project = bundled();
    let digest = |answer: Answer| json(answer)["digest"].clone();
    let first = digest(project.run(&["bundle", "-o", "oci:one", "--format", "json"]));
    let second = digest(elsewhere(&project, &["bundle", "-o", "oci-archive:two.tar", "--format", "json"]));
    let offline = digest(project.run(&["bundle", "--offline", "-o", "oci:three", "--format", "json"]));
    assert_eq!((&first, &first), (&second, &offline));
    let one = digest(project.run(&["bundle", "base", "-o", "oci:four", "--format", "json"]));
    assert_ne!(first, one);
    let error = elsewhere(&project, &["build", "app", "--bundle", "oci:four"]).fails(1);
    for package in ["runtime 17.1 amd64", "runtime-data 17.1 all", "app 3.2-1 amd64"] {
        assert!(error.contains(package), "{error}");
    }
    assert!(!error.contains("libc"), "{error}");
    elsewhere(&project, &["build", "base", "--bundle", "oci:four"]).good();
}

#[test]
fn a_later_release_stands_in_only_for_what_it_proves() {
    let mut project = bundled();
    let expected = project.digests("out");
    let mut more = packages();
    more.push(Deb::new("unrelated", "1").file("/usr/share/unrelated", b"x", 0o644));
    project.publish(&more);
    let answer = elsewhere(&project, &["bundle", "-o", "oci:later", "--format", "json"]);
    assert!(answer.stderr.contains("nobody has the InRelease file"), "{}", answer.stderr);
    let contents = &json(answer)["contents"];
    assert_eq!(contents["pockets"][0]["proof"], "later");
    assert_ne!(contents["pockets"][0]["locked"], contents["pockets"][0]["in-release"]);
    let build = elsewhere(&project, &["build", "--bundle", "oci:later", "-o", "oci:from-later"]);
    assert!(build.stderr.contains("proven by the one of"), "{}", build.stderr);
    assert_eq!((build.code, project.digests("from-later")), (Some(0), expected));
    // the store that locked still has the lock's own
    let own = json(project.run(&["bundle", "-o", "oci:own", "--format", "json"]));
    assert_eq!(own["contents"]["pockets"][0]["proof"], "locked");
    let mut other = packages();
    other.retain(|deb| deb.value("Package") != "libc");
    other.push(library("2.1", 9));
    project.publish(&other);
    let error = elsewhere(&project, &["bundle", "-o", "oci:none"]).fails(1);
    assert!(
        error.contains("`libc` is locked at 2.0, the archives have 2.1") && error.contains("sockel lock"),
        "{error}"
    );
    assert!(!project.path("none").exists());
}

#[test]
fn every_platform_is_bundled_unless_one_is_named() {
    let everywhere: Vec<Deb> = packages().into_iter().map(|deb| deb.architecture("all")).collect();
    let project = Project::with(&everywhere);
    for image in ["base", "runtime", "app"] {
        project.edit(&format!("base-images/{image}.yaml"), "[ linux/amd64 ]", "[ linux/amd64, linux/arm64 ]");
    }
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    let both = json(project.run(&["bundle", "--format", "json"]));
    let one = json(project.run(&["bundle", "--platform", "linux/arm64", "-o", "oci:arm", "--format", "json"]));
    let platforms = |bundle: &Value| bundle["contents"]["images"][0]["platforms"].clone();
    assert_eq!(platforms(&both), json!(["linux/amd64", "linux/arm64"]));
    assert_eq!(platforms(&one), json!(["linux/arm64"]));
    let indexes = |bundle: &Value| bundle["contents"]["pockets"][0]["indexes"].as_array().expect("a list").len();
    assert_eq!((indexes(&both), indexes(&one)), (2, 1));
    without_archive(&project);
    elsewhere(&project, &["build", "--bundle", "oci:bundle", "-o", "oci:again"]).good();
    assert_eq!(project.digests("again"), project.digests("out"));
    elsewhere(&project, &["build", "--bundle", "oci:arm", "--platform", "linux/arm64", "-o", "oci:one"]).good();
}

#[test]
fn a_snapshot_service_still_has_what_was_locked() {
    let mut project = Project::new();
    let snapshot = format!("    uri: \"{}{ROOT}\"\n", project.server.url());
    let service = format!("{snapshot}    snapshot: \"{}/snapshot/{{timestamp}}\"\n", project.server.url());
    project.edit("recipes/base.yaml", &snapshot, &service);
    project.run(&["lock"]).good();
    // what the archive had then, seen an hour later
    let then: Vec<(String, Vec<u8>)> = project.server.files().into_iter().collect();
    let lock = project.text("base-images/base.lock.yaml");
    assert!(lock.contains("2025-06-01T02:40:00Z"), "{lock}");
    for (path, bytes) in &then {
        project.server.put(&path.replacen(ROOT, "/snapshot/20250601T034000Z", 1), bytes);
        project.server.remove(path);
    }
    project.publish(&[library("9", 9)]);
    // packages themselves are looked for at the time of the lock
    for (path, bytes) in then.iter().filter(|(path, _)| path.contains("/pool/")) {
        project.server.put(&path.replacen(ROOT, "/snapshot/20250601T024000Z", 1), bytes);
    }
    let bundle = json(elsewhere(&project, &["bundle", "--format", "json"]));
    assert_eq!(bundle["contents"]["pockets"][0]["proof"], "locked");
    without_archive(&project);
    elsewhere(&project, &["build", "--bundle", "oci:bundle"]).good();
}

/// A layout with the blobs of `bundle`, whose documents can be changed.
struct Forge {
    folder: PathBuf,
    contents: BundleContents,
}

impl Forge {
    fn new(project: &Project) -> Self {
        let (from, folder) = (project.path("bundle"), project.path("evil"));
        fs::remove_any(&folder).expect("removed");
        fs::create_dir(&folder.join("blobs/sha256")).expect("made");
        for name in fs::list(&from.join("blobs/sha256")).expect("listed") {
            let blob = fs::read(&from.join("blobs/sha256").join(&name), 1 << 24).expect("read");
            fs::write_atomic(&folder.join("blobs/sha256").join(&name), &blob).expect("written");
        }
        let index: Value = read(&from.join("index.json"));
        let forge = Self { folder, contents: empty() };
        let manifest: Value = read(&forge.blob(index["manifests"][0]["digest"].as_str().expect("a digest")));
        let config = forge.blob(manifest["config"]["digest"].as_str().expect("a digest"));
        let contents = serde_json::from_slice(&fs::read(&config, 1 << 24).expect("read")).expect("contents");
        Self { contents, ..forge }
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    fn add(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write_atomic(&self.blob(&digest.to_string()), bytes).expect("written");
        digest
    }

    /// Writes documents that fit together, but for this change of the manifest.
    fn write(&mut self, change: impl FnOnce(&mut Value)) {
        self.contents = BundleContents { format: self.contents.format, ..self.contents.clone().sorted() };
        self.add(&self.contents.to_json());
        let mut manifest: Value = serde_json::from_slice(&self.contents.manifest()).expect("JSON");
        change(&mut manifest);
        let same = serde_json::from_slice::<Value>(&self.contents.manifest()).expect("JSON") == manifest;
        let bytes = if same { self.contents.manifest() } else { serde_json::to_vec(&manifest).expect("JSON") };
        let digest = self.add(&bytes);
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let entry = json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() });
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        fs::write_atomic(&self.folder.join("index.json"), index.to_string().as_bytes()).expect("written");
    }

    fn file(&mut self, kind: BundledFileKind) -> &mut BundledFile {
        self.contents.files.iter_mut().find(|file| file.kind == kind).expect("there is one")
    }

    fn title(&mut self, kind: BundledFileKind, title: &str) {
        self.file(kind).title = title.to_owned();
    }
}

fn empty() -> BundleContents {
    serde_json::from_value(json!({
        "format": 1, "images": [], "pockets": [], "keys": [], "packages": [], "files": [],
    }))
    .expect("contents")
}

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path, 1 << 24).expect("read")).expect("JSON")
}

#[track_caller]
fn refused(project: &Project, what: &str, words: &[&str]) {
    let error = elsewhere(project, &["build", "--bundle", "oci:evil", "-o", "oci:from-evil"]).fails(1);
    for word in words {
        assert!(error.contains(word), "{what}: `{word}` is missing in\n{error}");
    }
    assert!(!project.path("from-evil").exists(), "{what}");
    let verify = answer(project.command(&["cache", "verify"]).env("SOCKEL_STORE", project.path("elsewhere")));
    assert!(verify.good().contains("removed 0"), "{what}");
}

type Change = fn(&mut Forge);

#[test]
fn lists_of_contents_that_lie_are_refused() {
    let project = bundled();
    without_archive(&project);
    let table: [(&str, Change, &[&str]); 15] = [
        (
            "up",
            |f| f.title(BundledFileKind::Package, "../../etc/evil"),
            &["`../../etc/evil` is not a path below a folder"],
        ),
        ("absolute", |f| f.title(BundledFileKind::Key, "/etc/evil"), &["`/etc/evil` is not a path"]),
        (
            "control",
            |f| f.title(BundledFileKind::Key, "a\u{1b}[31m"),
            &["has characters that are not allowed", "\\u{1b}"],
        ),
        ("long", |f| f.title(BundledFileKind::Key, &"a/".repeat(5000)), &["is empty or too long"]),
        (
            "two of one name",
            |f| {
                let title = f.file(BundledFileKind::Key).title.clone();
                f.title(BundledFileKind::Index, &title);
            },
            &["two files have the title `keys/test/"],
        ),
        (
            "extra file",
            |f| {
                let digest = f.add(b"evil");
                f.contents.files.push(BundledFile {
                    title: "evil".to_owned(),
                    digest,
                    size: 4,
                    kind: BundledFileKind::Key,
                });
            },
            &["nothing says what `evil` is for"],
        ),
        (
            "file that is not listed",
            |f| f.contents.files.retain(|file| file.kind != BundledFileKind::InRelease),
            &["of pocket `test/security` is not among its files"],
        ),
        ("huge", |f| f.file(BundledFileKind::InRelease).size = 1 << 40, &["has 1099511627776 bytes, 8388608 at most"]),
        ("other size", |f| f.file(BundledFileKind::Package).size += 1, &["it does not have", " 17.1 "]),
        ("wrong proof", |f| f.contents.pockets[0].proof = PackageProof::Later, &["`test/security` says a wrong proof"]),
        ("other locks", |f| f.contents.images[0].decisions = Digest::of(b""), &["made for other locks of app"]),
        (
            "no state",
            |f| {
                f.contents.pockets.clear();
                f.contents
                    .files
                    .retain(|file| !matches!(file.kind, BundledFileKind::InRelease | BundledFileKind::Index));
            },
            &["it does not have the signed state of test/security"],
        ),
        (
            "no index",
            |f| {
                f.contents.pockets[0].indexes.clear();
                f.contents.files.retain(|file| file.kind != BundledFileKind::Index);
            },
            &["it does not have index `main/binary-amd64/Packages.gz` of test/security"],
        ),
        ("newer", |f| f.contents.format = 2, &["it has format 2, this sockel knows 1"]),
        (
            "other package",
            |f| {
                let evil = f.add(b"evil");
                let (old, size) = (f.file(BundledFileKind::Package).digest, 4);
                let title = f.file(BundledFileKind::Package).title.replace(&old.short(), &evil.short());
                *f.file(BundledFileKind::Package) =
                    BundledFile { title, digest: evil, size, kind: BundledFileKind::Package };
                f.contents.packages.iter_mut().filter(|p| p.digest == old).for_each(|p| p.digest = evil);
            },
            &["it does not have"],
        ),
    ];
    for (what, change, words) in table {
        let mut forge = Forge::new(&project);
        change(&mut forge);
        forge.write(|_| ());
        refused(&project, what, words);
    }
    // and what was not changed is fine
    Forge::new(&project).write(|_| ());
    elsewhere(&project, &["build", "--bundle", "oci:evil"]).good();
}

#[test]
fn manifests_that_say_something_else_are_refused() {
    let project = bundled();
    type Edit = fn(&mut Value);
    let extra = |manifest: &mut Value| {
        let mut layer = manifest["layers"][0].clone();
        layer["annotations"]["org.opencontainers.image.title"] = json!("evil");
        manifest["layers"].as_array_mut().expect("a list").push(layer);
    };
    let table: [(&str, Edit, &[&str]); 6] = [
        ("extra layer", extra, &["has a layer `evil` that is not among its files"]),
        (
            "missing layer",
            |manifest| _ = manifest["layers"].as_array_mut().expect("a list").remove(0),
            &["its manifest has no layer `"],
        ),
        ("other digest", |m| m["layers"][0]["digest"] = json!(Digest::of(b"x").to_string()), &["says something else"]),
        (
            "other kind",
            |m| m["layers"][0]["mediaType"] = json!("application/x-evil"),
            &["unknown kind, `application/x-evil`"],
        ),
        (
            "an image",
            |m| m["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json"),
            &["it is no bundle"],
        ),
        ("huge list", |m| m["config"]["size"] = json!(1_u64 << 50), &["list of contents has 1125899906842624 bytes"]),
    ];
    for (what, edit, words) in table {
        Forge::new(&project).write(edit);
        refused(&project, what, words);
    }
}

#[test]
fn damaged_files_are_refused() {
    let project = bundled();
    without_archive(&project);
    for kind in [BundledFileKind::Package, BundledFileKind::Index, BundledFileKind::InRelease] {
        let mut forge = Forge::new(&project);
        forge.write(|_| ());
        let (digest, title) = (forge.file(kind).digest.to_string(), forge.file(kind).title.clone());
        let path = forge.blob(&digest);
        let mut bytes = fs::read(&path, 1 << 24).expect("read");
        bytes[10] ^= 1;
        fs::write_atomic(&path, &bytes).expect("written");
        refused(&project, "changed", &[&title, "instead of", &digest]);
        fs::write_atomic(&path, &bytes[..bytes.len() / 2]).expect("written");
        refused(&project, "cut off", &["it does not have", &title]);
        fs::remove(&path).expect("removed");
        refused(&project, "missing", &["it does not have", &title]);
    }
    project.run(&["bundle", "--offline", "-o", "oci-archive:whole.tar"]).good();
    let whole = fs::read(&project.path("whole.tar"), 1 << 26).expect("read");
    for end in [0, 700, whole.len() / 2, whole.len() - 1024] {
        fs::write_atomic(&project.path("cut.tar"), &whole[..end]).expect("written");
        let error = elsewhere(&project, &["build", "--bundle", "oci-archive:cut.tar"]).fails(1);
        assert!(error.contains("the archive is cut off"), "{end}: {error}");
    }
}

#[test]
fn registries_that_lie_are_refused() {
    let project = bundled();
    let registry = Registry::start();
    let there = format!("{}/team/bundles:all", registry.url());
    let pushed = json(project.run(&["bundle", "-o", &there, "--format", "json"]));
    without_archive(&project);
    let files = pushed["contents"]["files"].as_array().expect("a list");
    let package = files.iter().find(|file| file["kind"] == "package").expect("one");
    let digest = package["digest"].as_str().expect("a digest");
    let build = || elsewhere(&project, &["build", "--bundle", &there, "-o", "oci:from-registry"]);
    let genuine = registry.contents().blobs[digest].clone();
    let mut changed = genuine.to_vec();
    changed[10] ^= 1;
    for (blob, expected) in [(changed, "instead of"), ([&genuine[..], b"more"].concat(), "bytes")] {
        registry.contents().blobs.insert(digest.to_owned(), blob.into());
        let answer = build();
        assert!(
            answer.code != Some(0) && answer.stderr.contains(digest) && answer.stderr.contains(expected),
            "{}",
            answer.stderr
        );
        assert!(!project.path("from-registry").exists());
    }
    registry.contents().blobs.remove(digest);
    let missing = build();
    assert!(missing.code != Some(0) && missing.stderr.contains(digest), "{}", missing.stderr);
    registry.contents().blobs.insert(digest.to_owned(), genuine);
    build().good();
    let none = elsewhere(&project, &["build", "--bundle", &there.replace(":all", ":none")]);
    assert!(none.code != Some(0) && none.stderr.contains("none"), "{}", none.stderr);
    // an image is no bundle
    let target = format!("{}/team", registry.url());
    project.run(&["publish", "base", "--to", &target]).good();
    let image = elsewhere(&project, &["build", "--bundle", &format!("{target}/base:1")]).fails(1);
    assert!(image.contains("cannot use bundle"), "{image}");
}

/// Whoever makes a bundle cannot make a signature.
#[test]
fn states_that_are_not_signed_by_the_pinned_key_are_refused() {
    let mut project = bundled();
    let release = |project: &Project| {
        let path = format!("{ROOT}/dists/noble-security/InRelease");
        project.server.files().get(&path).cloned().expect("served")
    };
    let genuine = release(&project);
    // a state that a pinned key did sign, but that does not list what is locked
    project.publish(&[library("9", 9)]);
    let other = release(&project);
    let signed_by_another = {
        let stranger = openpgp::Recipe { seed: 7, ..openpgp::GOOD };
        let text = String::from_utf8(genuine.clone()).expect("text");
        let text = text.split_once("\n\n").expect("headers").1.split_once("\n-----BEGIN").expect("a signature").0;
        Key::new(stranger).sign(text, Archive::good().signing)
    };
    let changed = String::from_utf8(genuine.clone()).expect("text").replace("Origin: Ubuntu", "Origin: Debian");
    let table: [(&str, Vec<u8>, &[&str]); 3] = [
        ("another key", signed_by_another, &["test/security", "it is not signed by the pinned key"]),
        ("changed text", changed.into_bytes(), &["does not match the text"]),
        ("another state", other, &["it does not have index `main/binary-amd64/Packages.gz`"]),
    ];
    let swap = |bytes: &[u8]| {
        let mut forge = Forge::new(&project);
        let digest = forge.add(bytes);
        let (size, old) = (bytes.len() as u64, forge.contents.pockets[0].in_release);
        *forge.file(BundledFileKind::InRelease) =
            BundledFile { digest, size, ..forge.file(BundledFileKind::InRelease).clone() };
        for file in &mut forge.contents.files {
            file.title = file.title.replace(&old.short(), &digest.short());
        }
        let pocket = &mut forge.contents.pockets[0];
        (pocket.in_release, pocket.proof, pocket.date) = (digest, PackageProof::Later, Epoch(0));
        forge
    };
    for (what, bytes, words) in &table {
        swap(bytes).write(|_| ());
        refused(&project, what, words);
    }
    // with its own index, too
    let mut forge = swap(&table[2].1);
    let files = project.server.files().into_iter().filter(|(path, _)| path.contains("binary-amd64/by-hash"));
    let mut indexes = files.map(|(_, bytes)| bytes);
    let index = indexes.find(|bytes| forge.contents.file(&Digest::of(bytes)).is_none()).expect("the new one");
    let (digest, size) = (forge.add(&index), index.len() as u64);
    let file = forge.file(BundledFileKind::Index);
    *file = BundledFile { digest, size, ..file.clone() };
    forge.contents.pockets[0].indexes[0].digest = digest;
    forge.write(|_| ());
    refused(&project, "another state, complete", &["no signed index in it lists", "libc 2.0 amd64"]);
}
