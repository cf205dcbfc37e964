//! The test doubles behave as the registries, token servers and Harbor they stand for.

mod contract;
mod definition;
pub(crate) mod harbor;
mod peer;
mod registry;
mod release;
mod token;

use crate::support::registry::Registry;
use crate::support::registry::client::Client;
use serde_json::Value;
use serde_json::json;
use sockel::values::Digest;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) fn client(registry: &Registry) -> Client {
    Client::connect(&registry.address())
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// Pushes a blob in one piece; returns the last status.
pub(crate) fn push_blob(client: &mut Client, repository: &str, bytes: &[u8]) -> u16 {
    let begun = client.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), b"");
    if begun.status != 202 {
        return begun.status;
    }
    let location = begun.header("location");
    let mark = if location.contains('?') { '&' } else { '?' };
    client.ask("PUT", &format!("{location}{mark}digest={}", digest(bytes)), bytes).status
}

pub(crate) fn manifest(config: &[u8], layers: &[&[u8]]) -> Value {
    let describe =
        |bytes: &[u8], kind: &str| json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
    let layer = "application/vnd.oci.image.layer.v1.tar+gzip";
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": describe(config, "application/vnd.oci.image.config.v1+json"),
        "layers": layers.iter().map(|bytes| describe(bytes, layer)).collect::<Vec<_>>(),
    })
}

pub(crate) fn put_manifest(client: &mut Client, target: &str, document: &Value) -> (u16, String) {
    let body = document.to_string();
    let headers = format!("content-type: {MANIFEST}\r\ncontent-length: {}", body.len());
    client.send("PUT", target, &headers, body.as_bytes());
    let reply = client.reply("PUT");
    (reply.status, reply.code())
}
