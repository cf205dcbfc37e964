//! Another client as judge: `oci-client` reads what was pushed, and what it pushed is pulled.

use crate::registry::Image;
use crate::registry::MARKER;
use crate::registry::REPOSITORY;
use crate::registry::connect;
use crate::registry::login;
use crate::registry::options;
use crate::registry::run;
use crate::registry::tags;
use crate::support::registry::Registry as Double;
use crate::support::registry::Tokens;
use oci_distribution::Reference;
use oci_distribution::client::Client;
use oci_distribution::client::ClientConfig;
use oci_distribution::client::ClientProtocol;
use oci_distribution::client::Config;
use oci_distribution::client::ImageLayer;
use oci_distribution::secrets::RegistryAuth;
use sockel::oci::layout;
use sockel::report::EventRecorder;
use sockel::sys::fs;
use sockel::values::Digest;

/// Returns the other client, and how it names a tag.
fn peer(double: &Double, tag: &str) -> (Client, Reference, RegistryAuth) {
    // an error only says that our own client was faster with the same choice
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() };
    let client = Client::try_from(config).unwrap();
    let reference = Reference::with_tag(double.address(), REPOSITORY.to_owned(), tag.to_owned());
    (client, reference, RegistryAuth::Basic("robot$ci".to_owned(), MARKER.to_owned()))
}

fn double() -> Double {
    Double::start().with_tokens(Tokens::new().user("robot$ci", MARKER, &["staging"]))
}

#[test]
fn another_client_reads_what_was_pushed() {
    let (double, image, names) = (double(), Image::new(7), tags(&["1"]));
    let registry = connect(&double, Some(login(MARKER)), options());
    run(registry.push(&image.push(&names), &EventRecorder::default())).unwrap();
    let (client, reference, auth) = peer(&double, "1");
    let digest = run(client.fetch_manifest_digest(&reference, &auth)).unwrap();
    assert_eq!(digest, image.digest());
    for (child, manifest) in layout::manifests(image.folder.path(), &image.target).unwrap() {
        let child = reference.clone_with_digest(child.digest().to_string());
        let (found, _) = run(client.pull_image_manifest(&child, &auth)).unwrap();
        assert_eq!(found.config.digest, manifest.config().digest().to_string());
        for layer in &found.layers {
            let mut bytes = Vec::new();
            run(client.pull_blob(&child, layer, &mut bytes)).unwrap();
            assert_eq!(Digest::of(&bytes).to_string(), layer.digest);
        }
    }
}

#[test]
fn what_another_client_pushed_is_pulled() {
    let double = double();
    let (client, reference, auth) = peer(&double, "2");
    let layers = [ImageLayer::oci_v1_gzip(vec![7; 90_000], None), ImageLayer::oci_v1_gzip(vec![8; 10], None)];
    let config = Config::oci_v1(b"{}".to_vec(), None);
    run(client.push(&reference, &layers, config, &auth, None)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let registry = connect(&double, Some(login(MARKER)), options());
    let found = run(registry.pull(REPOSITORY, "2", folder.path(), &EventRecorder::default())).unwrap();
    assert_eq!(found.digest().to_string(), double.tags(REPOSITORY)["2"]);
    let expected = [Digest::of(&[7; 90_000]), Digest::of(&[8; 10]), Digest::of(b"{}")];
    let names = fs::list(&folder.path().join("blobs/sha256")).unwrap();
    assert!(names.len() == 4 && expected.iter().all(|digest| names.contains(&digest.hex())), "{names:?}");
}
