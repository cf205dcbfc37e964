//! From lock to finished image with the real binary, and what later builds do not do again.

use crate::support::deb::Deb;
use crate::support::image::Image;
use crate::support::project::Project;
use crate::support::project::ROOT;
use crate::support::project::files;
use crate::support::project::library;
use crate::support::project::noise;
use crate::support::project::packages;
use sockel::sys::fs;
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Makes a project, locked and built.
fn built() -> Project {
    let project = Project::new();
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    project
}

fn image(project: &Project, name: &str) -> Image {
    Image::read(&project.path("out"), &format!("{name}:1"))
}

/// Returns the usual packages with another one in place of that of the same name.
fn patched(new: &Deb) -> Vec<Deb> {
    let name = new.value("Package").to_owned();
    packages().into_iter().map(|old| if old.value("Package") == name { new.clone() } else { old }).collect()
}

fn spoil(path: &Path) {
    let middle = fs::size(path).expect("is there") / 2;
    let file = std::fs::OpenOptions::new().write(true).read(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).expect("read");
    file.write_all_at(&[byte[0] ^ 1], middle).expect("written");
}

#[test]
fn levels_have_what_recipes_say() {
    let project = built();
    let (base, runtime, app) = (image(&project, "base"), image(&project, "runtime"), image(&project, "app"));
    insta::assert_snapshot!(base.text(0), @r#"
    usr/ 0755 0:0
    usr/lib/ 0755 0:0
    var/ 0755 0:0
    var/lib/ 0755 0:0
    var/lib/dpkg/ 0755 0:0
    var/lib/dpkg/status.d/ 0755 0:0
    usr/lib/libc.so -> libc.so.6
    usr/lib/libc.so.6 0755 0:0 60000
    var/lib/dpkg/status.d/libc 0644 0:0 161
    --
    etc/ 0755 0:0
    usr/ 0755 0:0
    usr/share/ 0755 0:0
    usr/share/doc/ 0755 0:0
    usr/share/doc/base-files/ 0755 0:0
    var/ 0755 0:0
    var/lib/ 0755 0:0
    var/lib/dpkg/ 0755 0:0
    var/lib/dpkg/status.d/ 0755 0:0
    etc/base.conf 0644 0:0 5
    usr/share/doc/base-files/copyright 0644 0:0 5
    var/lib/dpkg/status.d/base-files 0644 0:0 150
    --
    boot/ 0755 0:0
    dev/ 0755 0:0
    etc/ 0755 0:0
    etc/opt/ 0755 0:0
    home/ 0755 0:0
    home/app/ 0750 10001:10001
    media/ 0755 0:0
    mnt/ 0755 0:0
    opt/ 0755 0:0
    proc/ 0755 0:0
    root/ 0700 0:0
    run/ 0755 0:0
    run/lock/ 1777 0:0
    srv/ 0755 0:0
    sys/ 0755 0:0
    tmp/ 1777 0:0
    usr/ 0755 0:0
    usr/bin/ 0755 0:0
    usr/local/ 0755 0:0
    usr/local/bin/ 0755 0:0
    usr/local/etc/ 0755 0:0
    usr/local/lib/ 0755 0:0
    usr/local/sbin/ 0755 0:0
    usr/local/share/ 0755 0:0
    usr/sbin/ 0755 0:0
    var/ 0755 0:0
    var/cache/ 0755 0:0
    var/lib/ 0755 0:0
    var/lib/dpkg/ 0755 0:0
    var/lib/dpkg/status.d/ 0755 0:0
    var/log/ 0755 0:0
    var/opt/ 0755 0:0
    var/spool/ 0755 0:0
    var/tmp/ 1777 0:0
    bin -> usr/bin
    etc/group 0644 0:0 53
    etc/gshadow 0640 0:42 40
    etc/nsswitch.conf 0644 0:0 147
    etc/passwd 0644 0:0 157
    etc/shadow 0640 0:42 44
    lib -> usr/lib
    sbin -> usr/sbin
    var/lock -> /run/lock
    var/run -> /run
    "#);
    insta::assert_snapshot!(runtime.text(base.layers.len()), @r#"
    usr/ 0755 0:0
    usr/lib/ 0755 0:0
    usr/lib/runtime/ 0755 0:0
    usr/lib/runtime/bin/ 0755 0:0
    var/ 0755 0:0
    var/lib/ 0755 0:0
    var/lib/dpkg/ 0755 0:0
    var/lib/dpkg/status.d/ 0755 0:0
    usr/lib/runtime/bin/run 0755 0:0 1000
    usr/lib/runtime/modules 0644 0:0 300000
    var/lib/dpkg/status.d/runtime 0644 0:0 173
    usr/lib/runtime/bin/start = usr/lib/runtime/bin/run
    --
    usr/ 0755 0:0
    usr/bin/ 0755 0:0
    usr/bin/run -> ../lib/runtime/bin/run
    "#);
    insta::assert_snapshot!(app.text(runtime.layers.len()), @r#"
    usr/ 0755 0:0
    usr/share/ 0755 0:0
    usr/share/app/ 0755 0:0
    var/ 0755 0:0
    var/lib/ 0755 0:0
    var/lib/app/ 0750 10001:10001
    var/lib/dpkg/ 0755 0:0
    var/lib/dpkg/status.d/ 0755 0:0
    usr/share/app/app.jar 0644 0:0 40000
    var/lib/dpkg/status.d/app 0644 0:0 179
    --
    usr/ 0755 0:0
    usr/share/ 0755 0:0
    usr/share/runtime/ 0755 0:0
    var/ 0755 0:0
    var/lib/ 0755 0:0
    var/lib/dpkg/ 0755 0:0
    var/lib/dpkg/status.d/ 0755 0:0
    usr/share/runtime/table 0644 0:0 20000
    var/lib/dpkg/status.d/runtime-data 0644 0:0 172
    --
    etc/ 0755 0:0
    usr/ 0755 0:0
    usr/share/ 0755 0:0
    usr/share/app/ 0755 0:0
    usr/share/runtime/ 0755 0:0
    etc/app.conf 0644 0:0 10
    "#);
    for (image, path, words) in [
        (&base, "var/lib/dpkg/status.d/libc", "Package: libc\nVersion: 2.0\n"),
        (&base, "var/lib/dpkg/status.d/libc", "Source: glibc\n"),
        (&runtime, "var/lib/dpkg/status.d/runtime", "Version: 17.1\n"),
        (&app, "var/lib/dpkg/status.d/app", "Depends: runtime, runtime-data\n"),
        (&app, "etc/app.conf", "port=8080\n"),
        (&app, "etc/passwd", "app:x:10001:10001:application:/home/app:/usr/sbin/nologin\n"),
    ] {
        let text = String::from_utf8_lossy(&image.get(path).expect(path).content).into_owned();
        assert!(text.contains(words), "{path}:\n{text}");
    }
}

#[test]
fn documents_name_everything() {
    let project = built();
    let app = image(&project, "app");
    insta::with_settings!({ filters => vec![
        (r"sha256:[0-9a-f]{64}", "sha256:…"),
        (r#""size": \d+"#, r#""size": …"#),
    ] }, {
        insta::assert_snapshot!(serde_json::to_string_pretty(&app.manifest).unwrap(), @r#"
        {
          "annotations": {
            "io.sockel.base.top-layer": "sha256:…",
            "io.sockel.lock": "sha256:…",
            "io.sockel.parameters": "release=1",
            "io.sockel.revision": "1",
            "org.opencontainers.image.authors": "platform@example.org",
            "org.opencontainers.image.base.digest": "sha256:…",
            "org.opencontainers.image.base.name": "runtime:1",
            "org.opencontainers.image.created": "2025-06-01T02:40:00Z",
            "org.opencontainers.image.description": "Test of app",
            "org.opencontainers.image.title": "app",
            "org.opencontainers.image.vendor": "Platform",
            "org.opencontainers.image.version": "3.2.0.0.20250601.1"
          },
          "config": {
            "digest": "sha256:…",
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "size": …
          },
          "layers": [
            {
              "digest": "sha256:…",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": …
            },
            {
              "digest": "sha256:…",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": …
            },
            {
              "digest": "sha256:…",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": …
            },
            {
              "digest": "sha256:…",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": …
            },
            {
              "digest": "sha256:…",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": …
            },
            {
              "digest": "sha256:…",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": …
            },
            {
              "digest": "sha256:…",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": …
            },
            {
              "digest": "sha256:…",
              "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
              "size": …
            }
          ],
          "mediaType": "application/vnd.oci.image.manifest.v1+json",
          "schemaVersion": 2
        }
        "#);
        insta::assert_snapshot!(serde_json::to_string_pretty(&app.config["config"]).unwrap(), @r#"
        {
          "Entrypoint": [
            "run",
            "/usr/share/app/app.jar"
          ],
          "Env": [
            "LANG=C.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
          ],
          "ExposedPorts": {
            "8080/tcp": {}
          },
          "Labels": {
            "io.sockel.base.top-layer": "sha256:…",
            "io.sockel.lock": "sha256:…",
            "io.sockel.parameters": "release=1",
            "io.sockel.revision": "1",
            "io.sockel.writable": "/var/lib/app",
            "org.opencontainers.image.authors": "platform@example.org",
            "org.opencontainers.image.base.digest": "sha256:…",
            "org.opencontainers.image.base.name": "runtime:1",
            "org.opencontainers.image.created": "2025-06-01T02:40:00Z",
            "org.opencontainers.image.description": "Test of app",
            "org.opencontainers.image.title": "app",
            "org.opencontainers.image.vendor": "Platform",
            "org.opencontainers.image.version": "3.2.0.0.20250601.1",
            "release": "1"
          },
          "User": "10001:10001"
        }
        "#);
    });
    assert_eq!(app.config["rootfs"]["diff_ids"].as_array().unwrap().len(), app.layers.len());
    assert_eq!(app.index["manifests"][0]["platform"]["architecture"], "amd64");
}

#[test]
fn images_stack() {
    let project = built();
    for (parent, child) in [("base", "runtime"), ("runtime", "app")] {
        let (below, above) = (image(&project, parent), image(&project, child));
        assert_eq!(below.digests(), above.digests()[..below.layers.len()]);
        let annotations = &above.manifest["annotations"];
        assert_eq!(annotations["org.opencontainers.image.base.name"], format!("{parent}:1"));
        let expected = &below.index["manifests"][0]["digest"];
        assert_eq!(annotations["org.opencontainers.image.base.digest"], *expected);
        let expected = project.digests("out")[&format!("{parent}:1")].clone();
        assert_eq!(above.index["annotations"]["org.opencontainers.image.base.digest"], expected);
        for layer in &above.layers {
            let paths: BTreeSet<&str> = layer.members.iter().map(|member| member.path.as_str()).collect();
            assert_eq!(paths.len(), layer.members.len(), "{child}: a layer has a path twice");
        }
    }
}

#[test]
fn second_build_does_nothing() {
    use std::os::unix::fs::MetadataExt;
    let project = built();
    let state = || {
        let files = fs::walk(&project.path("out")).expect("listed").into_iter();
        files
            .map(|file| {
                let metadata = std::fs::metadata(&file.path).expect("there");
                (file.path, metadata.ino(), metadata.mtime_nsec(), metadata.len())
            })
            .collect::<Vec<_>>()
    };
    let before = state();
    project.server.requests();
    project.run(&["build"]).good();
    assert_eq!(project.server.requests(), Vec::<String>::new());
    assert_eq!(state(), before);
}

#[test]
fn a_patched_package_costs_its_own_layer() {
    let mut project = built();
    let (base, app) = (image(&project, "base"), image(&project, "app"));
    project.publish(&patched(&library("2.1", 9)));
    project.server.requests();
    project.run(&["lock"]).good();
    project.run(&["build"]).good();
    let fetched: Vec<String> = project.server.requests().into_iter().filter(|path| path.contains("/pool/")).collect();
    assert_eq!(fetched, [format!("{ROOT}/pool/libc_2.1.deb")]);
    let (new_base, new_app) = (image(&project, "base"), image(&project, "app"));
    let changed = |old: &Image, new: &Image| {
        assert_eq!(old.layers.len(), new.layers.len());
        let pairs = old.digests().into_iter().zip(new.digests()).enumerate();
        pairs.filter(|(_, (old, new))| old != new).map(|(index, _)| index).collect::<Vec<_>>()
    };
    let of_package = base.layers.iter().position(|layer| layer.members.iter().any(|m| m.path == "usr/lib/libc.so.6"));
    let expected = [of_package.expect("is there")];
    assert_eq!(changed(&base, &new_base), expected);
    assert_eq!(changed(&app, &new_app), expected);
    assert_eq!(new_app.get("usr/lib/libc.so.6").unwrap().content, noise(9, 60_000));
}

/// Chunks of the old layer are copied into the new one; a damaged old layer must not spoil the new one.
#[test]
fn chunks_are_copied_unless_damaged() {
    let results: Vec<_> = [false, true]
        .into_iter()
        .map(|damaged| {
            let mut project = Project::new();
            project.edit("recipes/app.yaml", "packages:", "layers: 1\npackages:");
            project.run(&["lock"]).good();
            project.run(&["build"]).good();
            let chunks = || files(&project.path("store/results/chunk")).len();
            let before = chunks();
            let old = image(&project, "app").digests().pop().unwrap().to_owned();
            if damaged {
                spoil(&project.path("store/blobs/sha256").join(old.trim_start_matches("sha256:")));
            }
            let new = Deb::new("runtime-data", "17.2").field("Source", "data (17)").architecture("all");
            let new = new.file("/usr/share/runtime/table", &[b'y'; 20_000], 0o644);
            project.publish(&patched(&new));
            project.run(&["lock"]).good();
            project.run(&["build"]).good();
            assert_eq!(files(&project.path("store/results/chunk")).len() - before, 1, "one chunk");
            let new = image(&project, "app");
            assert_ne!(new.digests().pop(), Some(&*old));
            assert_eq!(new.get("usr/share/app/app.jar").unwrap().content, noise(4, 40_000));
            new.digests().into_iter().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(results[0], results[1]);
}

#[test]
fn offline_needs_no_network() {
    let project = built();
    project.server.requests();
    for folder in ["out", "store/results"] {
        fs::remove_dir(&project.path(folder)).expect("removed");
        project.run(&["build", "--offline"]).good();
    }
    assert_eq!(project.server.requests(), Vec::<String>::new());
    // without what is needed it says so
    fs::remove_dir(&project.path("store")).expect("removed");
    let error = project.run(&["build", "--offline"]).fails(3);
    assert!(error.contains("cannot prove the locks of `base`") && error.contains("offline"), "{error}");
}

#[test]
fn locked_refuses_stale_locks() {
    let project = built();
    project.run(&["build", "--locked"]).good();
    project.edit("recipes/app.yaml", "port=8080", "port=9090");
    let error = project.run(&["build", "--locked"]).fails(1);
    assert!(error.contains("cannot use the lock files of app") && error.contains("sockel lock app"), "{error}");
    assert!(error.contains("definition of `level app` changed"), "{error}");
    project.run(&["lock", "--check"]).fails(1);
    fs::remove(&project.path("base-images/base.lock.yaml")).expect("removed");
    let error = project.run(&["build", "--locked"]).fails(1);
    assert!(error.contains("base: there is no lock file"), "{error}");
    // without the flag the build locks, says so, and is done
    let answer = project.run(&["build"]);
    assert!(answer.stderr.contains("to be reviewed and committed"), "{}", answer.stderr);
    answer.good();
    project.run(&["build", "--locked"]).good();
}

#[test]
fn gone_packages_are_named_and_refreshed() {
    let mut project = Project::new();
    project.run(&["lock"]).good();
    fs::remove_dir(&project.path("store")).expect("removed");
    project.publish(&patched(&Deb::new("app", "3.3-1").file("/usr/share/app/app.jar", b"new", 0o644)));
    project.server.remove(&format!("{ROOT}/pool/app_3.2-1.deb"));
    let locks = || ["base", "runtime", "app"].map(|image| project.text(&format!("base-images/{image}.lock.yaml")));
    let before = locks();
    let error = project.run(&["build"]).fails(1);
    assert!(
        error.contains("`app` is locked at 3.2-1, the archives have 3.3-1") && error.contains("--refresh"),
        "{error}"
    );
    assert!(!project.path("out").exists());
    assert_eq!(locks(), before);
    let answer = project.run(&["build", "--refresh"]);
    assert!(answer.stderr.contains("locking anew") && answer.stderr.contains("3.3-1"), "{}", answer.stderr);
    answer.good();
    assert_eq!(image(&project, "app").get("usr/share/app/app.jar").unwrap().content, b"new");
    let after = locks();
    assert_eq!((&after[..2], after[2] == before[2]), (&before[..2], false), "only what is gone is locked anew");
}

#[test]
fn archives_are_readable() {
    let project = built();
    let list = |file: &str| {
        let mut archive = tar::Archive::new(fs::open(&project.path(file)).expect("opened"));
        let members = archive.entries().expect("a tar").map(|member| member.expect("sound"));
        members.map(|member| member.path().expect("UTF-8").display().to_string()).collect::<Vec<_>>()
    };
    project.run(&["build", "app", "-o", "oci-archive:app.tar", "-o", "docker-archive:docker.tar"]).good();
    let oci = list("app.tar");
    assert!(["index.json", "oci-layout"].iter().all(|name| oci.iter().any(|path| path == name)), "{oci:?}");
    let app = image(&project, "app");
    for digest in app.digests() {
        let path = format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"));
        assert!(oci.contains(&path), "{path}");
    }
    // containerd imports it under the name that the Docker archive has there
    let mut archive = tar::Archive::new(fs::open(&project.path("app.tar")).unwrap());
    let index =
        archive.entries().unwrap().map(Result::unwrap).find(|member| member.path().unwrap().ends_with("index.json"));
    let index: serde_json::Value = serde_json::from_reader(index.unwrap()).unwrap();
    let annotations = &index["manifests"][0]["annotations"];
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "app:1");
    assert_eq!(annotations["io.containerd.image.name"], "docker.io/library/app:1");
    let docker = list("docker.tar");
    for diff_id in app.config["rootfs"]["diff_ids"].as_array().unwrap() {
        let path = format!("{}.tar", diff_id.as_str().unwrap().trim_start_matches("sha256:"));
        assert!(docker.contains(&path), "{path} in {docker:?}");
    }
    assert_eq!(docker.last().map(String::as_str), Some("manifest.json"));
    let error = project.run(&["build", "-o", "oci-archive:all.tar"]).fails(2);
    assert!(error.contains("name one image"), "{error}");
    assert!(!project.path("all.tar").exists());
}

#[test]
fn paths_have_an_origin() {
    let project = built();
    for (path, origin) in [
        ("/usr/share/app/app.jar", "app"),
        ("/usr/lib/libc.so.6", "libc"),
        ("/etc/app.conf", "recipe"),
        ("/etc/passwd", "accounts"),
    ] {
        let text = project.run(&["show", "app", "--path", path]).good();
        assert!(text.contains(path) && text.contains(origin), "{path}: {text}");
    }
    let error = project.run(&["show", "app", "--path", "/bin/nonsense"]).fails(1);
    assert!(error.contains("the image has no such path"), "{error}");
}

#[test]
fn verify_finds_damaged_packages() {
    let project = built();
    let before = project.digests("out");
    let packages = fs::walk(&project.path("store/packages")).expect("listed").into_iter();
    let largest = packages.filter(|file| file.path.ends_with("payload")).max_by_key(|file| file.size);
    spoil(&largest.expect("there are some").path);
    assert!(project.run(&["cache", "verify"]).good().contains("removed 1"));
    for folder in ["out", "store/results"] {
        fs::remove_dir(&project.path(folder)).expect("removed");
    }
    project.run(&["build"]).good();
    assert_eq!(project.digests("out"), before);
    assert!(project.run(&["cache", "verify"]).good().contains("removed 0"));
}

#[test]
fn verify_finds_damage() {
    let project = built();
    let before = project.digests("out");
    let clean = project.run(&["cache", "verify"]).good();
    assert!(clean.contains("removed 0"), "{clean}");
    let digest = image(&project, "app").digests().pop().unwrap().trim_start_matches("sha256:").to_owned();
    spoil(&project.path("store/blobs/sha256").join(&digest));
    let answer = project.run(&["cache", "verify"]);
    assert!(answer.stderr.contains(&digest), "{}", answer.stderr);
    assert!(answer.good().contains("removed 1"));
    fs::remove_dir(&project.path("out")).expect("removed");
    project.run(&["build"]).good();
    assert_eq!(project.digests("out"), before);
    assert!(project.run(&["cache", "verify"]).good().contains("removed 0"));
}

/// A generator does not take the place of what the recipe itself says.
#[test]
fn a_file_of_the_recipe_is_not_replaced_silently() {
    for (key, path) in [
        ("files: { /etc/shadow: { content: \"x\" } }", "etc/shadow"),
        ("files: { /etc/passwd: { content: \"x\" } }", "etc/passwd"),
        ("files: { /etc/group: { content: \"x\", mode: \"0600\" } }", "etc/group"),
        ("copy: { /etc/gshadow: { from: /etc/base.conf } }", "etc/gshadow"),
        ("links: { /etc/shadow: /run/shadow }", "etc/shadow"),
    ] {
        let project = Project::new();
        project.edit("recipes/base.yaml", "generate: [", &format!("{key}\ngenerate: ["));
        let error = project.run(&["build", "base"]).fails(1);
        assert!(error.contains(&format!("/{path}`")) && error.contains("brings it too"), "{key}: {error}");
    }
}

#[test]
fn an_archive_of_the_only_image_needs_no_name() {
    let project = Project::new();
    for image in ["runtime", "app"] {
        fs::remove(&project.path(&format!("base-images/{image}.yaml"))).expect("removed");
    }
    project.run(&["build", "-o", "oci-archive:base.tar"]).good();
    assert!(project.path("base.tar").exists());
    let several = Project::new();
    let error = several.run(&["build", "-o", "oci-archive:base.tar"]).fails(2);
    assert!(error.contains("cannot write several images"), "{error}");
}
