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

/// Type of the event about a published image. A change that breaks receivers gets another number.
const TYPE: &str = "io.sockel.image.published.v1";

/// Type of the event about updates that cannot be taken.
const BLOCKED_TYPE: &str = "io.sockel.update.blocked.v1";

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
    data: EventData,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum EventData {
    Published(PublishedImageData),
    Blocked(BlockedUpdate),
}

/// Updates of an image that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockedUpdate {
    /// Image name.
    pub image: String,
    /// Repository where it is published.
    pub repository: String,
    /// How soon the updates should reach people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgency: Option<UpgradeUrgency>,
    /// CVE numbers that stay in the image.
    pub held_back: Vec<String>,
    /// Packages that stay behind.
    pub packages: Vec<BlockedPackageNews>,
    /// Pockets that cannot be read.
    pub pockets: Vec<String>,
}

/// A package that stays behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BlockedPackageNews {
    /// Binary package name.
    pub package: String,
    /// Source package name.
    pub source: String,
    /// The version that stays; none for a package that another one would bring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
    /// The version that is not taken.
    pub newer: String,
    /// Why, in a few words.
    pub reason: String,
}

impl BlockedUpdate {
    /// Tells whether no update of the image is blocked.
    pub(super) fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.pockets.is_empty()
    }
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
        let data = EventData::Published(PublishedImageData {
            image: image.clone(),
            repository: repository.clone(),
            digest: *digest,
            reference: format!("{repository}@{digest}"),
            tags: tags.clone(),
            moved: moved.clone(),
            reason,
        });
        Self::new(TYPE, image, repository, data, now)
    }

    /// Makes an event for updates that cannot be taken; `None` if the system has no random numbers.
    pub(super) fn of_blocked(blocked: &BlockedUpdate, now: Epoch) -> Option<Self> {
        let data = EventData::Blocked(blocked.clone());
        Self::new(BLOCKED_TYPE, &blocked.image, &blocked.repository, data, now)
    }

    fn new(kind: &str, image: &str, repository: &str, data: EventData, now: Epoch) -> Option<Self> {
        // unique without a counter that all machines would have to share
        let mut random = [0; 16];
        SystemRandom::new().fill(&mut random).ok()?;

        Some(Self {
            specversion: "1.0".to_owned(),
            id: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            source: format!("https://{}", repository.trim_start_matches("https://")),
            kind: kind.to_owned(),
            subject: image.to_owned(),
            time: now.to_string(),
            datacontenttype: "application/json".to_owned(),
            data,
        })
    }

    /// Returns the bytes to sign and send.
    pub(super) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an event has only texts as keys")
    }
}
