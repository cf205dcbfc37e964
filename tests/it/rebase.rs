//! `sockel rebase`: applications that others built on our images, moved onto patched ones, or refused with every reason.

use crate::hostile::watched;
use crate::support::deb::Deb;
use crate::support::project::Project;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Fault;
use crate::support::registry::Registry;
use crate::support::registry::Response;
use crate::support::registry::Trouble;
use flate2::write::GzEncoder;
use serde_json::Value;
use serde_json::json;
use sockel::oci;
use sockel::sys::fs;
use sockel::values::Digest;
use std::io::Write;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// A project whose image `app` is published in `team/app`, and an application `shop/web` on it.
struct Lab {
    project: Project,
    registry: Registry,
}

/// How an application was built.
struct Build<'a> {
    files: &'a [(&'a str, &'a str)],
    /// Docker's media types; layers of the base packed once more.
    docker: bool,
    /// Annotations as buildah writes them.
    annotated: bool,
    /// What the builder changed in the settings.
    change: fn(&mut Value),
    tag: &'a str,
}

const PLAIN: Build<'_> =
    Build { files: &[("opt/web/index.jsp", "hello")], docker: false, annotated: false, change: |_| {}, tag: "1" };

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Returns a packed layer and its diffID.
fn layer(files: &[(&str, &str)]) -> (Vec<u8>, Digest) {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content.as_bytes()).expect("written");
    }
    let tar = archive.into_inner().expect("finished");
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&tar).expect("packed");
    (packed.finish().expect("packed"), Digest::of(&tar))
}

impl Lab {
    fn new() -> Self {
        let project = Project::new();
        let registry = Registry::start();
        project.write("base-images/registry.yaml", &format!("target: {}/team\n", registry.url()));
        project.run(&["lock"]).good();
        let lab = Self { project, registry };
        lab.publish();
        // the other tags move with the next build of the same day
        lab.tag("team/app", "1", "old");
        lab
    }

    fn publish(&self) {
        self.project.run(&["publish"]).good();
    }

    fn tag(&self, repository: &str, from: &str, to: &str) {
        let digest = self.registry.tags(repository)[from].clone();
        self.registry.contents().repository(repository).tags.insert(to.to_owned(), digest);
    }

    /// Publishes images with another C library.
    fn patch(&mut self) {
        let new = library("2.1", 9);
        let all = packages().into_iter().map(|old| if old.value("Package") == "libc" { new.clone() } else { old });
        self.project.publish(&all.collect::<Vec<Deb>>());
        self.project.run(&["lock"]).good();
        self.publish();
    }

    fn document(&self, repository: &str, reference: &str) -> Value {
        self.registry.manifest(repository, reference).expect("there").json()
    }

    /// Returns manifest and configuration of the only platform.
    fn image(&self, repository: &str, reference: &str) -> (Value, Value) {
        let mut manifest = self.document(repository, reference);
        while manifest.get("manifests").is_some() {
            manifest = self.document(repository, text(&manifest["manifests"][0]["digest"]));
        }
        let config = self.registry.contents().blob(repository, text(&manifest["config"]["digest"])).expect("there");
        (manifest, serde_json::from_slice(&config).expect("JSON"))
    }

    /// Builds `FROM team/app:1` as others do; returns the digest of the manifest.
    fn build(&self, build: &Build<'_>) -> String {
        let (base, mut config) = self.image("team/app", "1");
        let digest = text(&self.document("team/app", "1")["manifests"][0]["digest"]).to_owned();
        let mut contents = self.registry.contents();
        let mut layers = Vec::new();
        for described in base["layers"].as_array().expect("a list") {
            let mut bytes = contents.blob("team/app", text(&described["digest"])).expect("there").to_vec();
            if build.docker {
                // an empty gzip member changes the bytes and not what they mean
                bytes.extend(GzEncoder::new(Vec::new(), flate2::Compression::fast()).finish().expect("packed"));
            }
            let size = bytes.len();
            layers.push(json!({ "digest": contents.add_blob("shop/web", bytes), "size": size }));
        }
        let (bytes, diff_id) = layer(build.files);
        let size = bytes.len();
        layers.push(json!({ "digest": contents.add_blob("shop/web", bytes), "size": size }));
        for layer in &mut layers {
            layer["mediaType"] = if build.docker { DOCKER_LAYER } else { LAYER }.into();
        }
        config["created"] = "2025-06-01T12:00:00.5+02:00".into();
        let push = |list: &mut Value, entry: Value| list.as_array_mut().expect("a list").push(entry);
        push(&mut config["rootfs"]["diff_ids"], diff_id.to_string().into());
        push(&mut config["config"]["Env"], "WEB=1".into());
        push(&mut config["history"], json!({ "created_by": "ENV WEB=1", "empty_layer": true }));
        push(&mut config["history"], json!({ "created_by": "COPY index.jsp" }));
        (build.change)(&mut config["config"]);
        let bytes = config.to_string().into_bytes();
        let kind = if build.docker {
            "application/vnd.docker.container.image.v1+json"
        } else {
            text(&base["config"]["mediaType"])
        };
        let size = bytes.len();
        let described = json!({ "mediaType": kind, "digest": contents.add_blob("shop/web", bytes), "size": size });
        let kind = if build.docker { DOCKER } else { MANIFEST };
        let mut manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": described, "layers": layers });
        if build.annotated {
            let mut notes = base["annotations"].clone();
            notes["org.opencontainers.image.base.name"] = format!("{}/team/app:1", self.registry.address()).into();
            notes["org.opencontainers.image.base.digest"] = digest.into();
            manifest["annotations"] = notes;
        }
        let digest = contents.add_manifest("shop/web", kind, manifest.to_string().into_bytes());
        contents.repository("shop/web").tags.insert(build.tag.to_owned(), digest.clone());
        digest
    }

    fn web(&self) -> String {
        format!("{}/shop/web:1", self.registry.url())
    }

    fn rebase(&self, more: &[&str]) -> Value {
        let web = self.web();
        json(&self.project.run(&[&["rebase", &web, "--format", "json"], more].concat()).good())
    }

    fn refused(&self, more: &[&str]) -> String {
        let web = self.web();
        let before = self.registry.tags("shop/web");
        let said = self.project.run(&[&["rebase", &web], more].concat()).fails(4);
        assert_eq!(self.registry.tags("shop/web"), before, "{said}");
        said
    }
}

fn digests(layers: &Value) -> Vec<&str> {
    layers.as_array().expect("a list").iter().map(|layer| text(&layer["digest"])).collect()
}

#[test]
fn an_application_of_docker_moves_without_a_layer_being_sent() {
    let mut lab = Lab::new();
    // Docker writes nothing about the base, but its labels are inherited
    let old = lab.build(&PLAIN);
    assert_eq!(lab.rebase(&[])["state"], "up-to-date");
    lab.patch();
    let (before, _) = lab.image("shop/web", "1");
    let (base, base_config) = lab.image("team/app", "1");
    lab.registry.server.clear_log();
    let would = lab.rebase(&["--dry-run", "--check-files", "never"]);
    assert_eq!((&would["state"], &would["tags"]), (&json!("would-rebase"), &json!(["1"])));
    assert_eq!(lab.registry.tags("shop/web")["1"], old);
    let answer = lab.rebase(&["--check-files", "never"]);
    let log = lab.registry.log();
    let (new, config) = lab.image("shop/web", "1");
    assert_eq!((&answer["state"], &answer["new"], &would["new"]), (&json!("rebased"), &answer["new"], &answer["new"]));
    assert_eq!(answer["new"], lab.registry.tags("shop/web")["1"].as_str());
    // the new base's layers, then those of the application
    let own = *digests(&before["layers"]).last().expect("has some");
    assert_eq!(digests(&new["layers"]), [digests(&base["layers"]), vec![own]].concat());
    assert_eq!(
        config["config"]["Env"].as_array().map(Vec::len),
        Some(base_config["config"]["Env"].as_array().unwrap().len() + 1)
    );
    assert_eq!(config["config"]["Labels"], base_config["config"]["Labels"]);
    assert_eq!(config["created"], "2025-06-01T12:00:00.5+02:00");
    assert_eq!(new["annotations"]["io.sockel.rebased-from"], old.as_str());
    let name = format!("{}/team/app:1", lab.registry.address());
    assert_eq!(new["annotations"]["org.opencontainers.image.base.name"], name.as_str());
    // one layer has the library; the configuration is all that was sent, and no layer was read
    let platform = &answer["platforms"][0];
    assert_eq!((&platform["replaced"], &answer["transfer"]["mounted"]["count"]), (&json!(1), &json!(1)));
    assert_eq!(answer["transfer"]["uploaded"], json!({ "count": 1, "bytes": new["config"]["size"] }));
    assert_eq!(log.blob_bytes(), new["config"]["size"].as_u64().unwrap());
    let layers: Vec<&str> = [digests(&new["layers"]), digests(&before["layers"])].concat();
    let read = log.of("GET", "/v2/*/blobs/*");
    assert!(read.iter().all(|entry| !layers.iter().any(|layer| entry.path.ends_with(layer))), "{:#?}", log.lines());
    // again: nothing to do; the old tag moved once more: the same digest
    lab.registry.server.clear_log();
    let again = lab.rebase(&[]);
    assert_eq!((&again["state"], &again["new"]), (&json!("up-to-date"), &answer["new"]));
    assert_eq!(lab.registry.log().count("P*", "*"), 0);
    lab.registry.contents().repository("shop/web").tags.insert("1".to_owned(), old);
    assert_eq!(lab.rebase(&["--tag", "2", "--tag", "1"])["new"], answer["new"]);
    assert_eq!(lab.registry.tags("shop/web")["2"], lab.registry.tags("shop/web")["1"]);
}

#[test]
fn annotations_of_buildah_prove_a_base_that_has_no_tag_any_more() {
    let mut lab = Lab::new();
    lab.registry.contents().repository("team/app").tags.remove("old");
    let old = lab.build(&Build { annotated: true, ..PLAIN });
    lab.patch();
    let answer = lab.rebase(&[]);
    assert_eq!((&answer["state"], &answer["files-checked"]), (&json!("rebased"), &json!(true)));
    let (new, _) = lab.image("shop/web", "1");
    let (base, _) = lab.image("team/app", "1");
    let of_base = text(&lab.document("team/app", "1")["manifests"][0]["digest"]).to_owned();
    let mut expected = base["annotations"].clone();
    expected["org.opencontainers.image.base.name"] = format!("{}/team/app:1", lab.registry.address()).into();
    expected["org.opencontainers.image.base.digest"] = of_base.into();
    expected["io.sockel.rebased-from"] = old.into();
    assert_eq!(new["annotations"], expected);
    assert_eq!(lab.rebase(&[])["state"], "up-to-date");
}

#[test]
fn media_types_of_docker_stay_and_attestations_go() {
    let mut lab = Lab::new();
    let digest = lab.build(&Build { docker: true, ..PLAIN });
    let attestation = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": { "mediaType": "x/y", "digest": digest, "size": 1 }, "layers": [] });
    let mut contents = lab.registry.contents();
    let manifest = contents.repository("shop/web").manifests[&digest].bytes.len();
    let bytes = attestation.to_string().into_bytes();
    let size = bytes.len();
    let about = contents.add_manifest("shop/web", MANIFEST, bytes);
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        { "mediaType": DOCKER, "digest": digest, "size": manifest, "platform": { "os": "linux", "architecture": "amd64" } },
        { "mediaType": MANIFEST, "digest": about, "size": size, "platform": { "os": "unknown", "architecture": "unknown" },
          "annotations": { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest } },
    ] });
    let root = contents.add_manifest("shop/web", INDEX, index.to_string().into_bytes());
    contents.repository("shop/web").tags.insert("1".to_owned(), root.clone());
    drop(contents);
    lab.patch();
    let web = lab.web();
    let answer = lab.project.run(&["rebase", &web, "--format", "json"]);
    assert!(answer.stderr.contains("it describes the old image: attestation-manifest sha256:"), "{}", answer.stderr);
    assert_eq!(json(&answer.good())["state"], "rebased");
    let index = lab.document("shop/web", "1");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(index["annotations"]["io.sockel.rebased-from"], root.as_str());
    let (new, config) = lab.image("shop/web", "1");
    assert_eq!((&new["mediaType"], &new["annotations"]), (&json!(DOCKER), &Value::Null));
    let kinds: Vec<&Value> = new["layers"].as_array().unwrap().iter().map(|layer| &layer["mediaType"]).collect();
    assert!(kinds.iter().all(|kind| **kind == DOCKER_LAYER), "{kinds:?}");
    assert_eq!(config["config"]["Labels"]["io.sockel.rebased-from"], digest.as_str());
    // layers that were packed again make way for the base's own
    let (base, _) = lab.image("team/app", "1");
    assert_eq!(digests(&new["layers"])[..digests(&base["layers"]).len()], digests(&base["layers"]));
    assert_eq!(lab.rebase(&[])["state"], "up-to-date");
}

#[test]
fn every_reason_is_told_and_no_tag_moves() {
    let mut lab = Lab::new();
    lab.build(&PLAIN);
    let base = format!("{}/team/base:1", lab.registry.url());
    let there = format!("{}/team/base", lab.registry.url());
    // what its base stands on is not enough
    for way in [["--base", &there], ["--onto", &base]] {
        let said = lab.refused(&way);
        assert!(said.contains("it is not built directly on `base`"), "{said}");
    }
    let said = lab.refused(&["--base", &format!("{}/team/nothing", lab.registry.url())]);
    assert!(said.contains("it is not built on any of the 0 image(s)"), "{said}");
    lab.patch();
    lab.project.run(&["rebase", &lab.web()]).good();
    // going back must be asked for
    let old = format!("{}/team/app:old", lab.registry.url());
    let said = lab.refused(&["--onto", &old]);
    assert!(said.contains("linux/amd64: the new base is older: created 2025-06-01T0"), "{said}");
    assert_eq!(lab.rebase(&["--onto", &old, "--older"])["state"], "rebased");
    // another user and another value of a parameter, both said
    lab.project.edit("recipes/base.yaml", "default: \"1\"", "default: \"2\"");
    lab.project.edit("recipes/base.yaml", "user: \"10001:10001\"", "user: \"10001:10002\"");
    lab.project.run(&["lock"]).good();
    lab.publish();
    lab.tag("team/app", "old", "last");
    let new = format!("{}/team/app:1", lab.registry.url());
    let said = lab.refused(&["--onto", &new]);
    assert!(said.contains("2 reasons"), "{said}");
    assert!(said.contains("parameter `release` is `2` in the new base instead of `1`"), "{said}");
    assert!(said.contains("the new base runs as user `10001:10002` instead of `10001:10001`"), "{said}");
    // without a name, images of another line are not looked at: the patched one of its own line still has its fixed tag
    assert_eq!(lab.rebase(&[])["state"], "rebased");
    assert_eq!(lab.rebase(&[])["state"], "up-to-date");
}

#[test]
fn halves_of_a_command_line_are_not_mixed() {
    let mut lab = Lab::new();
    lab.build(&Build { change: |settings| settings["Cmd"] = json!(["--mine"]), ..PLAIN });
    lab.project.edit("recipes/app.yaml", "entrypoint: [ run,", "entrypoint: [ /usr/lib/runtime/bin/start,");
    lab.patch();
    let said = lab.refused(&[]);
    assert!(said.contains("it sets its own `Cmd` for the `Entrypoint` of its base"), "{said}");
    // what takes over both halves gets both anew
    lab.tag("team/app", "1", "new");
    lab.tag("team/app", "old", "1");
    lab.build(&PLAIN);
    lab.tag("team/app", "new", "1");
    assert_eq!(lab.rebase(&[])["state"], "rebased");
    assert_eq!(lab.image("shop/web", "1").1["config"]["Entrypoint"][0], "/usr/lib/runtime/bin/start");
}

#[test]
fn files_in_the_way_of_a_patch_are_reasons() {
    type Files<'a> = &'a [(&'a str, &'a str)];
    let mut lab = Lab::new();
    let table: [(&str, Files<'_>, Option<&str>); 4] = [
        ("own", &[("opt/web/x", "1"), ("etc/app.conf", "port=1")], None),
        ("library", &[("usr/lib/libc.so.6", "mine")], Some("`/usr/lib/libc.so.6`")),
        ("records", &[("var/lib/dpkg/status.d/libc", "mine")], Some("`/var/lib/dpkg/status.d/libc`")),
        ("below", &[("usr/lib/libc.so/x", "mine")], None),
    ];
    for (tag, files, _) in &table {
        lab.build(&Build { files, tag, ..PLAIN });
    }
    lab.patch();
    for (tag, _, reason) in table {
        let image = format!("{}/shop/web:{tag}", lab.registry.url());
        let answer = lab.project.run(&["rebase", &image, "--dry-run"]);
        match reason {
            Some(reason) => {
                let said = answer.fails(4);
                assert!(said.contains(reason), "{tag}: {said}");
                lab.project.run(&["rebase", &image, "--dry-run", "--check-files", "never"]).good();
            }
            None => drop(answer.good()),
        }
    }
}

#[test]
fn a_tag_that_moved_meanwhile_is_left_alone() {
    let mut lab = Lab::new();
    let old = lab.build(&PLAIN);
    lab.patch();
    let newer = Response::new(200)
        .with("content-type", MANIFEST)
        .with("content-length", "7")
        .with("docker-content-digest", &Digest::of(b"newer").to_string());
    lab.registry.fault(Fault::new("HEAD", "/v2/shop/web/manifests/1", Trouble::Answer(newer)).always());
    let said = lab.project.run(&["rebase", &lab.web()]).fails(3);
    assert!(said.contains("its tag was moved to another image in the meantime"), "{said}");
    assert_eq!(lab.registry.tags("shop/web")["1"], old);
}

#[test]
fn layers_are_carried_to_another_registry_and_into_folders() {
    let mut lab = Lab::new();
    lab.build(&PLAIN);
    lab.patch();
    // the application moved house
    let other = Registry::start();
    {
        let (from, mut to) = (lab.registry.contents(), other.contents());
        let repository = from.repositories["shop/web"].clone();
        for digest in &repository.blobs {
            to.add_blob("shop/web", from.blobs[digest].to_vec());
        }
        *to.repository("shop/web") = repository;
    }
    let base = format!("{}/team/app", lab.registry.url());
    let web = format!("{}/shop/web:1", other.url());
    let said = lab.project.run(&["rebase", &web, "--base", &base, "--format", "json"]).good();
    let answer = json(&said);
    assert_eq!((&answer["state"], &answer["transfer"]["uploaded"]["count"]), (&json!("rebased"), &json!(2)));
    let repository = other.contents().repositories["shop/web"].clone();
    let manifest = repository.manifests[&other.tags("shop/web")["1"]].clone();
    assert_eq!(repository.missing(&manifest), Vec::<String>::new());
    // the same in a layout folder
    let layout = lab.project.path("layout");
    fs::create_dir(&layout.join("blobs/sha256")).unwrap();
    fs::write_atomic(&layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let digest = lab.build(&Build { tag: "2", ..PLAIN });
    let contents = lab.registry.contents();
    let manifest = contents.repositories["shop/web"].manifests[&digest].clone();
    for blob in manifest.blobs() {
        let name = blob.trim_start_matches("sha256:");
        fs::write_atomic(&layout.join("blobs/sha256").join(name), &contents.blobs[&blob]).unwrap();
    }
    drop(contents);
    fs::write_atomic(&layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:")), &manifest.bytes).unwrap();
    let entry = json!({ "mediaType": MANIFEST, "digest": digest, "size": manifest.bytes.len(),
        "annotations": { "org.opencontainers.image.ref.name": "web:1" } });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [entry] });
    fs::write_atomic(&layout.join("index.json"), &oci::canonical(&index)).unwrap();
    let old = format!("{}/team/app:old", lab.registry.url());
    let run = |more: &[&str]| {
        let arguments = ["rebase", "oci:layout:web:1", "--onto", &old, "--older", "--format", "json"];
        json(&lab.project.run(&[&arguments, more].concat()).good())
    };
    let moved = run(&["--tag", "web:old"]);
    assert_eq!(moved["state"], "rebased");
    assert_eq!(lab.project.digests("layout")["web:old"], text(&moved["new"]));
    assert_eq!(lab.project.digests("layout")["web:1"], digest);
    let back = json(
        &lab.project
            .run(&["rebase", "oci:layout:web:old", "--base", &base, "--tag", "web:2", "--format", "json"])
            .good(),
    );
    assert_eq!(back["state"], "rebased");
}

#[test]
fn what_is_no_image_is_an_error() {
    let lab = Lab::new();
    let base = format!("{}/team/app", lab.registry.url());
    let run = |image: &str| lab.project.run(&["rebase", image, "--base", &base]);
    assert!(run(&lab.web()).fails(1).contains("there is no such image"));
    let digest = Digest::of(b"");
    assert!(run(&format!("{}/shop/web@{digest}", lab.registry.url())).fails(2).contains("without `--tag`"));
    assert!(run("oci:nowhere").fails(2).contains("names no tag"));
    let mut contents = lab.registry.contents();
    let digest = contents.add_blob("shop/web", b"{}".to_vec());
    let described = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2 });
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": [described] });
    let digest = contents.add_manifest("shop/web", MANIFEST, manifest.to_string().into_bytes());
    contents.repository("shop/web").tags.insert("1".to_owned(), digest);
    drop(contents);
    let said = run(&lab.web()).fails(1);
    assert!(said.contains("its configuration has the media type `application/vnd.oci.empty.v1+json`"), "{said}");
}

/// An application whose documents are many, large, or full of values: it is refused before they fill the memory.
#[test]
fn images_with_too_many_documents_are_refused() {
    let lab = Lab::new();
    lab.build(&PLAIN);
    let (manifest, config) = lab.image("shop/web", "1");
    // what every platform says besides: nothing, one long text, very many small values
    let table = [
        (300, json!({}), "it has more than 64 platforms"),
        (60, json!("x".repeat(1 << 18)), "its documents have more than 8388608 bytes"),
        (60, json!(vec![0; 20_000]), "its documents have more than 200000 values"),
        (1, json!(vec![0; 2_000_000]), "its documents have more than 200000 values"),
    ];
    for (count, more, expected) in table {
        let mut entries = Vec::new();
        let mut contents = lab.registry.contents();
        for number in 0..count {
            let (mut manifest, mut config) = (manifest.clone(), config.clone());
            config["architecture"] = format!("cpu{number}").into();
            config["more"] = more.clone();
            let bytes = oci::canonical(&config);
            manifest["config"]["size"] = bytes.len().into();
            manifest["config"]["digest"] = contents.add_blob("shop/web", bytes).into();
            let bytes = oci::canonical(&manifest);
            let size = bytes.len();
            let digest = contents.add_manifest("shop/web", MANIFEST, bytes);
            entries.push(json!({
                "mediaType": MANIFEST, "digest": digest, "size": size,
                "platform": { "os": "linux", "architecture": format!("cpu{number}") },
            }));
        }
        let index = oci::canonical(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }));
        let wide = contents.add_manifest("shop/web", INDEX, index);
        contents.repository("shop/web").tags.insert("wide".to_owned(), wide);
        drop(contents);
        let image = format!("{}/shop/web:wide", lab.registry.url());
        let base = format!("{}/team/app", lab.registry.url());
        let (error, peak) = watched(&mut lab.project.command(&["rebase", &image, "--base", &base]));
        assert!(error.contains(expected), "{count}: {error}");
        assert!((1 << 10..256 << 10).contains(&peak), "{count} platforms: peak of {peak} KiB");
    }
    // and the one that they are made of is fine
    lab.project.run(&["rebase", &lab.web(), "--dry-run"]).good();
}
