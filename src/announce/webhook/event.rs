//! The message: a CloudEvent in JSON (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).

use crate::advisory::UpgradeUrgency;
use crate::publish::Published;
use crate::values::Digest;
use crate::values::Epoch;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use serde::Deserialize;
use serde::Serialize;

/// Media type of a body with one event (HTTP protocol binding 1.0.2, 3.2 "Structured Content Mode").
pub(super) const MEDIA_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// Type of our events. A change that breaks receivers gets another number.
const TYPE: &str = "io.sockel.image.published.v1";

/// An event with the attributes of "CloudEvents", 1.0.2, "Context Attributes".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CloudEvent {
    specversion: String,
    /// Unique for each event, and the same each time the event is sent: receivers use it to drop repetitions.
    pub(super) id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    datacontenttype: String,
    data: PublishedImageData,
}

/// The published image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct PublishedImageData {
    image: String,
    repository: String,
    digest: Digest,
    /// The reference for `FROM` or a manifest, with the digest.
    reference: String,
    tags: Vec<String>,
    moved: Vec<String>,
    #[serde(flatten)]
    reason: PublishReason,
}

/// Why there is a new image, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PublishReason {
    /// How urgent the update is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgency: Option<UpgradeUrgency>,
    /// Numbers of the CVEs that its new packages fix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<String>,
}

impl CloudEvent {
    /// Makes an event for a published image; `None` if the system has no random numbers.
    pub(super) fn of(published: &Published, reason: PublishReason, now: Epoch) -> Option<Self> {
        let Published { image, repository, digest, tags, moved, .. } = published;
        // unique without a counter that all machines would have to share
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).ok()?;

        Some(Self {
            specversion: "1.0".to_owned(),
            id: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            source: format!("https://{repository}"),
            kind: TYPE.to_owned(),
            subject: image.clone(),
            time: now.to_string(),
            datacontenttype: "application/json".to_owned(),
            data: PublishedImageData {
                image: image.clone(),
                repository: repository.clone(),
                digest: *digest,
                reference: format!("{repository}@{digest}"),
                tags: tags.clone(),
                moved: moved.clone(),
                reason,
            },
        })
    }

    /// Returns the bytes to sign and send.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an event has only texts as keys")
    }
}
