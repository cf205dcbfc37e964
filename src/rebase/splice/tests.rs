//! Golden documents, histories, and objections to a move.

use super::*;
use crate::rebase::judge;
use crate::rebase::judge::SuccessorCase;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image with layers of these names and this history: a name is a layer, `ENV` is none.
fn face(layers: &[&str], history: &[&str], settings: &Value) -> PlatformImage {
    let layer = |name: &&str| IdentifiedLayer {
        diff_id: Digest::of(name.as_bytes()),
        blob: ContentDescriptor {
            digest: Digest::of(format!("{name}.gz").as_bytes()),
            size: 10,
            media_type: LAYER.to_owned(),
        },
    };
    let layers: Vec<IdentifiedLayer> = layers.iter().map(layer).collect();
    let step = |name: &&str| match name.starts_with("ENV") {
        true => json!({ "created_by": name, "empty_layer": true }),
        false => json!({ "created_by": name }),
    };
    let history: Vec<Value> = history.iter().map(step).collect();
    let named =
        |blob: &ContentDescriptor| json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.size });
    let blobs: Vec<Value> = layers.iter().map(|layer| named(&layer.blob)).collect();
    let config = json!({
        "created": "2026-01-01T00:00:00Z", "architecture": "amd64", "os": "linux", "config": settings,
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>() },
        "history": history,
    });
    let described =
        json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": Digest::of(b""), "size": 0 });
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI, "config": described, "layers": blobs });
    let digest = Digest::of(&oci::canonical(&json!([manifest, config])));
    let (platform, media_type) = ("linux/amd64".to_owned(), OCI.to_owned());
    PlatformImage { platform, descriptor: Value::Null, digest, media_type, manifest, config, layers }
}

fn labels(version: &str) -> Value {
    json!({ "org.opencontainers.image.title": "java-25", "io.sockel.lock": version, "io.sockel.parameters": "java=25" })
}

fn old() -> PlatformImage {
    face(&["libc-1", "java"], &["libc", "java"], &json!({ "User": "10001", "Labels": labels("1") }))
}

fn new() -> PlatformImage {
    let mut new =
        face(&["libc-2", "ssl", "java"], &["libc", "ssl", "java"], &json!({ "User": "10001", "Labels": labels("2") }));
    new.config["created"] = "2026-02-01T00:00:00Z".into();
    new
}

fn application() -> PlatformImage {
    let mut settings = json!({ "User": "10001", "Labels": labels("1"), "Env": ["A=1"] });
    settings["Labels"]["team"] = "shop".into();
    face(&["libc-1", "java", "web"], &["libc", "java", "ENV A=1", "COPY web", "ENV B"], &settings)
}

fn spliced(application: &PlatformImage, old: &PlatformImage, new: &PlatformImage) -> (Value, Value, SplicedPlatform) {
    let spliced = splice(&SpliceInput { application, old, new, base_name: "r.example/java:25" }).unwrap();
    let read = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    (read(&spliced.config), read(&spliced.manifest), spliced)
}

#[test]
fn a_rebased_configuration() {
    let (config, manifest, spliced) = spliced(&application(), &old(), &new());
    insta::assert_snapshot!(serde_json::to_string_pretty(&config).unwrap(), @r#"
    {
      "architecture": "amd64",
      "config": {
        "Env": [
          "A=1"
        ],
        "Labels": {
          "io.sockel.lock": "2",
          "io.sockel.parameters": "java=25",
          "org.opencontainers.image.title": "java-25",
          "team": "shop"
        },
        "User": "10001"
      },
      "created": "2026-02-01T00:00:00Z",
      "history": [
        {
          "created_by": "libc"
        },
        {
          "created_by": "ssl"
        },
        {
          "created_by": "java"
        },
        {
          "created_by": "ENV A=1",
          "empty_layer": true
        },
        {
          "created_by": "COPY web"
        },
        {
          "created_by": "ENV B",
          "empty_layer": true
        }
      ],
      "os": "linux",
      "rootfs": {
        "diff_ids": [
          "sha256:ef2ee6dd842826394f092475963441b65dce72b6a30d2143ceaad94a06f10aa6",
          "sha256:dc5a2e46e9ef93ecfa28d22ce4a3bca1765a20af1e7336b70bd5cab4e5590d87",
          "sha256:38a0963a6364b09ad867aa9a66c6d009673c21e182015461da236ec361877f77",
          "sha256:4b5e57f6eb2f42b9039b3d1e13929295f231749c510cbe341cd68036d9af97e2"
        ],
        "type": "layers"
      }
    }
    "#);
    insta::assert_snapshot!(serde_json::to_string_pretty(&manifest).unwrap(), @r#"
    {
      "annotations": {
        "io.sockel.rebased-from": "sha256:c23311cc3f4475bd9bc62a66aca6916c6d74de6a363498dd2382e612cb40ea58",
        "org.opencontainers.image.base.digest": "sha256:b5601a6489b35f6eba8c2699a2eb6ea93ef6bce8e18a13134d4f4a93a0133ade",
        "org.opencontainers.image.base.name": "r.example/java:25"
      },
      "config": {
        "digest": "sha256:e0eeae2a121a2d820ffb194218bf69a8c79547a70db3f29827e99dcde5c2c749",
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "size": 757
      },
      "layers": [
        {
          "digest": "sha256:aa6815a2f35f789bdc00fc869cb1441ecef787b961d1c66e210236c3676d0f27",
          "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
          "size": 10
        },
        {
          "digest": "sha256:92ecd83378fe54719915122364437c45354b4a37be8539221c3fba983f4e3f8f",
          "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
          "size": 10
        },
        {
          "digest": "sha256:6816c3ffedcdbe11fec1b5893d4b186a35ba27082a37566c10f69f93511470bc",
          "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
          "size": 10
        },
        {
          "digest": "sha256:de0d4f1a274073e930ad583f32a8600dae9aaaff019185f8aa75ece481dd7f66",
          "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
          "size": 10
        }
      ],
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "schemaVersion": 2
    }
    "#);
    assert_eq!((spliced.kept, spliced.added.len()), (2, 2));
    assert_eq!(self::spliced(&application(), &old(), &new()).2, spliced);
}

#[test]
fn history_always_fits_the_layers() {
    let table: [(&[&str], &[&str], &[&str]); 6] = [
        (&["libc", "java"], &["libc", "java", "ENV A", "COPY web"], &["libc", "ssl", "java", "ENV A", "COPY web"]),
        // the base's own last steps made no layer
        (&["libc", "java", "ENV J"], &["libc", "java", "ENV J", "COPY web"], &["libc", "ssl", "java", "COPY web"]),
        // a builder that writes the base's history in its own words
        (&["libc", "java"], &["FROM 1", "FROM 2", "COPY web"], &["libc", "ssl", "java", "COPY web"]),
        // one step too few, none at all, one too many
        (&["libc", "java"], &["COPY web"], &["libc", "ssl", "java", "unknown: the history did not fit the layers"]),
        (&["libc", "java"], &[], &["libc", "ssl", "java", "unknown: the history did not fit the layers"]),
        (&["libc"], &["a", "b", "c", "d"], &["libc", "ssl", "java", "unknown: the history did not fit the layers"]),
    ];
    for (before, all, expected) in table {
        let old = face(&["libc-1", "java"], before, &json!({}));
        let application = face(&["libc-1", "java", "web"], all, &json!({}));
        let (config, ..) = spliced(&application, &old, &new());
        let steps: Vec<&str> =
            config["history"].as_array().unwrap().iter().map(|step| step["created_by"].as_str().unwrap()).collect();
        assert_eq!(steps, expected, "{all:?}");
    }
}

#[test]
fn labels_that_name_the_base_follow_it() {
    let (old, new) = (old(), new());
    let mut own = application();
    own.config["config"]["Labels"][BASE_DIGEST] = old.digest.to_string().into();
    let (config, ..) = spliced(&own, &old, &new);
    assert_eq!(config["config"]["Labels"][BASE_DIGEST], new.digest.to_string());
    // those that the base has inherited from what it stands on do not
    let (config, ..) = spliced(&application(), &old, &new);
    assert_eq!(config["config"]["Labels"].get(BASE_DIGEST), None);
}

#[test]
fn dockers_manifests_name_what_they_can() {
    let mut own = application();
    own.media_type = DOCKER.to_owned();
    let (config, manifest, _) = spliced(&own, &old(), &new());
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    assert_eq!(
        (manifest.get("annotations"), &config["config"]["Labels"][BASE_NAME]),
        (None, &json!("r.example/java:25"))
    );
    let mut new = new();
    new.layers[0].blob.media_type = "application/vnd.oci.image.layer.v1.tar+zstd".to_owned();
    let refused = splice(&SpliceInput { application: &own, old: &old(), new: &new, base_name: "x" });
    assert!(refused.is_err_and(|reason| reason.contains("tar+zstd")));
}

#[test]
fn reasons_are_told_together() {
    let case = |change: fn(&mut PlatformImage, &mut PlatformImage)| {
        let (mut own, mut after) = (application(), new());
        change(&mut own, &mut after);
        judge::reasons(&SuccessorCase { application: &own, old: &old(), new: &after, allows_older: false })
    };
    assert_eq!(case(|_, _| {}), Vec::<String>::new());
    let told = case(|_, new| {
        new.config["config"]["User"] = "10002".into();
        new.config["config"]["Labels"] =
            json!({ "org.opencontainers.image.title": "java-21", "io.sockel.parameters": "java=21,x=1" });
        new.config["created"] = "2025-01-01T00:00:00Z".into();
    });
    insta::assert_snapshot!(told.join("\n"), @"
    the new base was not built by sockel: it has no label `io.sockel.lock`
    the new base is `java-21` instead of `java-25`
    parameter `java` is `21` in the new base instead of `25`
    parameter `x` is `1` in the new base instead of not set
    the new base runs as user `10002` instead of `10001`
    the new base is older: created 2025-01-01T00:00:00Z instead of 2026-01-01T00:00:00Z
    ");
    let told = case(|own, new| {
        own.config["config"]["Cmd"] = json!(["mine"]);
        new.config["config"]["Entrypoint"] = json!(["/other"]);
    });
    assert_eq!(
        told,
        ["it sets its own `Cmd` for the `Entrypoint` of its base, but the new base has another `Entrypoint`"]
    );
    let told = case(|own, new| {
        own.config["config"]["Cmd"] = json!(["mine"]);
        own.config["config"]["Entrypoint"] = json!(["/mine"]);
        new.config["config"]["Entrypoint"] = json!(["/other"]);
        new.config["config"]["Cmd"] = json!(["other"]);
    });
    assert_eq!(told, Vec::<String>::new());
}
