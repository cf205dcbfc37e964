//! Three images as `[application, old base, new base]`, each with configuration and manifest: the application's layers on
//! the new base's, the same every time.
#![no_main]

use serde::Deserialize;
use serde_json::Value;
use sockel::oci::registry::document::ContentDescriptor;
use sockel::rebase::merge;
use sockel::rebase::picture::IdentifiedLayer;
use sockel::rebase::picture::PlatformImage;
use sockel::rebase::splice;
use sockel::rebase::splice::SpliceInput;
use sockel::rebase::time;
use sockel::values::Digest;

#[derive(Deserialize)]
struct Image {
    config: Value,
    manifest: Value,
    /// Names of its layers.
    layers: Vec<String>,
    media_type: String,
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Some((_, nanoseconds)) = time::parse(text)
    {
        assert!(nanoseconds < 1_000_000_000);
    }
    let Ok([application, old, new]) = serde_json::from_slice::<[Image; 3]>(bytes) else { return };
    let [Some(application), Some(old), Some(new)] = [application, old, new].map(face) else { return };
    if !application.is_built_on(&old) {
        return;
    }
    let parts = SpliceInput { application: &application, old: &old, new: &new, base_name: "r.example/base:1" };
    let Ok(spliced) = splice::splice(&parts) else { return };
    assert_eq!(splice::splice(&parts).as_ref(), Ok(&spliced));
    let config: Value = serde_json::from_slice(&spliced.config).expect("it is JSON");
    let manifest: Value = serde_json::from_slice(&spliced.manifest).expect("it is JSON");
    let count = new.layers.len() + application.layers.len() - old.layers.len();
    let length = |value: &Value| value.as_array().map_or(0, Vec::len);
    assert_eq!(length(&config["rootfs"]["diff_ids"]), count);
    assert_eq!(length(&manifest["layers"]), count);
    let steps = config["history"].as_array().into_iter().flatten();
    assert_eq!(steps.filter(|step| step["empty_layer"] != true).count(), count);
    assert_eq!(manifest["config"]["digest"], Digest::of(&spliced.config).to_string());
    // a base that does not change changes nothing
    let same = merge::settings(&old.config["config"], &application.config["config"], &old.config["config"]);
    assert_eq!(same.conflicts, Vec::<String>::new());
});

/// An image as `rebase::picture` would let it through.
fn face(image: Image) -> Option<PlatformImage> {
    let Image { config, manifest, layers, media_type } = image;
    let is_whole = config["config"].is_object() && manifest["layers"].as_array()?.len() == layers.len();
    let layers = layers.iter().map(|name| IdentifiedLayer {
        diff_id: Digest::of(name.as_bytes()),
        blob: ContentDescriptor {
            digest: Digest::of(format!("packed {name}").as_bytes()),
            size: name.len() as u64,
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
        },
    });
    let layers = layers.collect();
    let digest = Digest::of(manifest.to_string().as_bytes());
    let platform = "linux/amd64".to_owned();
    is_whole.then_some(PlatformImage {
        platform,
        descriptor: Value::Null,
        digest,
        media_type,
        manifest,
        config,
        layers,
    })
}
