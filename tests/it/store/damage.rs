//! Damage and edits are noticed before anything leaves, and what is damaged is made again.

use crate::store::built;
use crate::store::spoil;
use crate::store::wrong;
use crate::support::image::Image;
use crate::support::project::Project;
use crate::support::project::files;
use crate::support::registry::Registry;
use sockel::sys::fs;
use sockel::sys::own;
use std::path::Path;
use std::path::PathBuf;

/// Returns the store's blobs of image `app`: index, manifest, configuration, layers.
fn blobs(project: &Project) -> Vec<PathBuf> {
    let digests = project.digests("out");
    let image = Image::read(&project.path("out"), "app:1");
    let text = |value: &serde_json::Value| value["digest"].as_str().expect("text").to_owned();
    let mut all = vec![digests["app:1"].clone(), text(&image.index["manifests"][0]), text(&image.manifest["config"])];
    all.extend(image.digests().into_iter().map(str::to_owned));
    let path = |digest: String| project.path("store/blobs/sha256").join(digest.trim_start_matches("sha256:"));
    all.into_iter().map(path).collect()
}

/// Returns the files of archives, which do not change.
fn archives(project: &Project) -> [Vec<u8>; 2] {
    ["a.oci.tar", "a.docker.tar"].map(|name| fs::read(&project.path(name), 1 << 26).expect("read"))
}

/// Writes image `app` in every way.
fn write(project: &Project) {
    project.run(&["build"]).good();
    project.run(&["build", "app", "-o", "oci-archive:a.oci.tar", "-o", "docker-archive:a.docker.tar"]).good();
    project.run(&["publish", "--to", "oci:published"]).good();
}

fn clear(project: &Project, folders: &[&str]) {
    for folder in folders {
        fs::remove_any(&project.path(folder)).expect("removed");
    }
}

#[test]
fn damaged_blobs_are_made_again_before_they_leave() {
    let project = built();
    write(&project);
    let (digests, tars) = (project.digests("out"), archives(&project));
    for blob in blobs(&project) {
        for (records, output) in [(true, 0), (false, 0), (true, 1), (true, 2), (true, 3)] {
            spoil(&blob);
            if !records {
                clear(&project, &["store/results/image"]);
            }
            clear(&project, &["out", "published", "a.oci.tar", "a.docker.tar"]);
            match output {
                0 => drop(project.run(&["build", "--offline"]).good()),
                1 => drop(project.run(&["build", "app", "-o", "oci-archive:a.oci.tar", "--offline"]).good()),
                2 => drop(project.run(&["build", "app", "-o", "docker-archive:a.docker.tar", "--offline"]).good()),
                _ => drop(project.run(&["publish", "--to", "oci:published", "--offline"]).good()),
            }
            write(&project);
            let what = format!("{} {records} {output}", blob.display());
            assert_eq!((project.digests("out"), archives(&project)), (digests.clone(), tars.clone()), "{what}");
            for folder in ["out", "published", "store"] {
                assert_eq!(wrong(&project.path(folder)), Vec::<String>::new(), "{what}");
            }
        }
    }
}

#[test]
fn a_registry_gets_what_was_damaged_made_again() {
    let project = built();
    let digests = project.digests("out");
    for blob in blobs(&project) {
        let registry = Registry::start();
        spoil(&blob);
        project.run(&["publish", "--to", &format!("{}/team", registry.url())]).good();
        assert_eq!(registry.tags("team/app")["1"], digests["app:1"], "{}", blob.display());
        assert_eq!(wrong(&project.path("store")), Vec::<String>::new());
    }
}

/// Changes the tree of the package that brings the library; everything made from it is forgotten.
fn edit_tree(project: &Project, change: impl Fn(&str, &Path) -> String) {
    clear(project, &["store/results", "out"]);
    fs::create_dir(&project.path("store/results")).expect("made");
    let mut changed = 0;
    for name in fs::list(&project.path("store/packages")).expect("listed") {
        let folder = project.path("store/packages").join(name);
        let tree = folder.join("tree.json");
        let text = fs::read_text(&tree, 1 << 24).expect("read");
        if text.contains("usr/lib/libc.so.6") {
            let after = change(&text, &folder);
            changed += usize::from(after != text);
            fs::write_atomic(&tree, after.as_bytes()).expect("written");
        }
    }
    assert!(changed > 0);
}

#[test]
fn edited_package_trees_are_unpacked_again() {
    let project = built();
    let digests = project.digests("out");
    type Change = fn(&str, &Path) -> String;
    let changes: [(&str, Change); 5] = [
        ("setuid", |text, _| text.replace("\"mode\":493", "\"mode\":2541")),
        ("owner", |text, _| text.replace("\"uid\":0", "\"uid\":10001")),
        ("path", |text, _| text.replace("usr/lib/libc.so.6", "usr/lib/libd.so.6")),
        ("content", |text, folder| {
            // other bytes behind the payload, with the right digest
            let mut payload = fs::read(&folder.join("payload"), 1 << 24).expect("read");
            let (evil, at) = (b"BACKDOOR", payload.len());
            payload.extend(evil);
            fs::write_atomic(&folder.join("payload"), &payload).expect("written");
            let mut tree: serde_json::Value = serde_json::from_str(text).expect("JSON");
            let mut entries = tree["entries"].as_array_mut().expect("a list").iter_mut();
            let file = entries.find(|entry| entry["path"] == "usr/lib/libc.so.6").expect("is there");
            file["kind"]["file"]["digest"] = sockel::values::Digest::of(evil).to_string().into();
            file["kind"]["file"]["size"] = evil.len().into();
            file["kind"]["file"]["source"]["payload"]["offset"] = at.into();
            tree.to_string()
        }),
        ("no JSON", |text, _| text[1..].to_owned()),
    ];
    for (what, change) in changes {
        edit_tree(&project, change);
        project.run(&["build", "--offline"]).good();
        assert_eq!(project.digests("out"), digests, "{what}");
        edit_tree(&project, change);
        let verified = project.run(&["cache", "verify"]).good();
        assert!(verified.contains("removed 1"), "{what}: {verified}");
        project.run(&["build", "--offline"]).good();
    }
    // with a sum that fits: the .deb says something else
    edit_tree(&project, |text, folder| {
        let after = text.replace("usr/lib/libc.so.6", "usr/lib/libd.so.6");
        let sum = format!("{}\n", sockel::values::Digest::of(after.as_bytes()));
        fs::write_atomic(&folder.join("sum"), sum.as_bytes()).expect("written");
        after
    });
    assert!(project.run(&["cache", "verify"]).good().contains("removed 1"));
    project.run(&["build", "--offline"]).good();
    assert_eq!(project.digests("out"), digests);
}

#[test]
fn damaged_payloads_and_packages_are_made_again() {
    let project = built();
    let digests = project.digests("out");
    let packages = fs::walk(&project.path("store/packages")).expect("listed");
    let payloads: Vec<PathBuf> =
        packages.into_iter().map(|file| file.path).filter(|path| path.ends_with("payload")).collect();
    for payload in &payloads {
        clear(&project, &["store/results", "out"]);
        spoil(payload);
        project.run(&["build", "--offline"]).good();
        assert_eq!(project.digests("out"), digests, "{}", payload.display());
    }
    // a damaged .deb is fetched again
    let is_deb = |path: &Path| fs::read(path, 1 << 26).expect("read").starts_with(b"!<arch>");
    let blobs = fs::walk(&project.path("store/blobs")).expect("listed").into_iter().map(|file| file.path);
    for deb in blobs.filter(|path| is_deb(path)).collect::<Vec<_>>() {
        spoil(&deb);
        clear(&project, &["store/results", "store/packages", "out"]);
        project.run(&["build"]).good();
        assert_eq!(project.digests("out"), digests, "{}", deb.display());
        assert_eq!(wrong(&project.path("store")), Vec::<String>::new());
    }
}

#[test]
fn edited_records_are_found_out_again() {
    let project = built();
    let digests = project.digests("out");
    let all = files(&project.path("store/results"));
    let kinds: std::collections::BTreeSet<&str> = all.iter().filter_map(|path| path.split('/').next()).collect();
    assert!(["image", "layer", "chunk", "whole"].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    type Change = fn(&str) -> String;
    let changes: [Change; 4] = [
        // another size, digest or mode; what it was is still well-formed
        |text| text.replacen(|letter: char| letter.is_ascii_digit(), "7", 1),
        |text| text.replacen("sha256:", "sha256:0", 1),
        |text| text[..text.len() / 2].to_owned(),
        |text| format!("{text} "),
    ];
    for kind in kinds {
        for (number, change) in changes.iter().enumerate() {
            for path in fs::walk(&project.path("store/results").join(kind)).expect("listed") {
                let text = fs::read_text(&path.path, 1 << 24).expect("read");
                fs::write_atomic(&path.path, change(&text).as_bytes()).expect("written");
            }
            clear(&project, &["out"]);
            project.run(&["build"]).good();
            assert_eq!(project.digests("out"), digests, "{kind} {number}");
            assert_eq!(wrong(&project.path("out")), Vec::<String>::new(), "{kind} {number}");
        }
        // one record in the place of another
        let records = fs::walk(&project.path("store/results").join(kind)).expect("listed");
        if let [first, .., last] = &records[..] {
            let bytes = fs::read(&first.path, 1 << 24).expect("read");
            fs::write_atomic(&last.path, &bytes).expect("written");
            clear(&project, &["out"]);
            project.run(&["build"]).good();
            assert_eq!((project.digests("out"), wrong(&project.path("out"))), (digests.clone(), Vec::new()), "{kind}");
        }
    }
}

#[test]
fn a_layout_shares_nothing_with_the_store_and_is_mended() {
    let project = built();
    let digests = project.digests("out");
    for blob in blobs(&project) {
        let name = blob.file_name().expect("a name");
        let outside = project.path("out/blobs/sha256").join(name);
        assert_eq!(own::look(&outside).expect("looked").expect("is there").names, 1);
        spoil(&outside);
        assert_eq!(wrong(&project.path("store")), Vec::<String>::new());
        project.run(&["build", "--offline"]).good();
        assert_eq!((project.digests("out"), wrong(&project.path("out"))), (digests.clone(), Vec::new()));
        // the same for what an older version linked
        fs::remove(&outside).expect("removed");
        std::fs::hard_link(&blob, &outside).expect("linked");
        project.run(&["build", "--offline"]).good();
        assert_eq!(own::look(&blob).expect("looked").expect("is there").names, 1);
    }
    let before: Vec<own::FileStamp> = blobs(&project).iter().filter_map(|blob| own::FileStamp::of(blob)).collect();
    project.run(&["build", "--offline"]).good();
    let after: Vec<own::FileStamp> = blobs(&project).iter().filter_map(|blob| own::FileStamp::of(blob)).collect();
    assert_eq!(before, after, "nothing is written again without a reason");
}

#[test]
fn diff_refuses_blobs_that_are_not_their_digest() {
    let project = built();
    for blob in blobs(&project) {
        let outside = project.path("out/blobs/sha256").join(blob.file_name().expect("a name"));
        let good = fs::read(&outside, 1 << 26).expect("read");
        // a document stays well-formed: a space behind it
        let mut bad = good.clone();
        bad.push(b' ');
        for bad in [bad, good.iter().map(u8::to_ascii_uppercase).collect()] {
            if bad == good {
                continue;
            }
            fs::write_atomic(&outside, &bad).expect("written");
            let error = project.run(&["diff", "base:1", "app:1"]).fails(1);
            let is_told = error.contains("its bytes have digest") || error.contains("larger than");
            assert!(is_told, "{}: {error}", outside.display());
        }
        fs::write_atomic(&outside, &good).expect("written");
    }
    project.run(&["diff", "base:1", "app:1"]).good();
}

/// A file system that was repaired, or a person, may put anything in the place of a blob.
#[test]
fn folders_in_place_of_blobs_are_made_again() {
    let project = built();
    let digests = project.digests("out");
    for blob in blobs(&project) {
        fs::remove(&blob).expect("removed");
        fs::create_dir(&blob.join("folder/in/it")).expect("made");
        clear(&project, &["out"]);
        project.run(&["build"]).good();
        assert_eq!((project.digests("out"), wrong(&project.path("out"))), (digests.clone(), Vec::new()));
    }
    // as `cache verify` has it: what is not needed now is removed as well
    let blob = blobs(&project).remove(0);
    fs::remove_any(&blob).expect("removed");
    fs::create_dir(&blob).expect("made");
    assert!(project.run(&["cache", "verify"]).good().contains("removed 1"));
    project.run(&["build"]).good();
}

#[test]
fn a_version_file_that_says_nothing_is_mended_and_a_strange_one_explained() {
    let project = built();
    let version = project.path("store/version");
    let good = fs::read(&version, 100).expect("read");
    for text in [&b""[..], b"\n", b" "] {
        fs::write_atomic(&version, text).expect("written");
        project.run(&["build", "--offline"]).good();
        assert_eq!(fs::read(&version, 100).expect("read"), good);
    }
    fs::write_atomic(&version, b"x1\n").expect("written");
    let error = project.run(&["build"]).fails(1);
    assert!(error.contains("store/version` says `x1`, which is no format"), "{error}");
    assert!(error.contains("hint: if the folder is a store, remove `"), "{error}");
    fs::write_atomic(&version, b"2\n").expect("written");
    let error = project.run(&["build"]).fails(1);
    assert!(error.contains("it has format 2") && error.contains("hint: use the newer sockel"), "{error}");
}
