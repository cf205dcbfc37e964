//! Events that Harbor sends to a webhook, read from both of its formats into one type.
//!
//! An event is only a reason to ask Harbor: anybody may have sent it. The gate never uses its content.

use crate::harbor::artifact::is_vulnerability_report;
use crate::harbor::time;
use crate::values::Digest;
use crate::values::Epoch;
use serde::Deserialize;
use serde::Serialize;
use std::collections::BTreeMap;

/// Largest event; Harbor's carry at most a summary of a scan.
const LIMIT: usize = 1 << 20;

/// Something that happened in a Harbor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScanEvent {
    /// Its type.
    pub kind: ScanEventKind,
    /// When it happened.
    pub at: Option<Epoch>,
    /// The account that caused it, or `auto`.
    pub operator: String,
    /// `project/name`, if the event is about a repository.
    pub repository: Option<String>,
    /// The images that the event is about.
    pub images: Vec<ScannedImage>,
}

/// The type of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScanEventKind {
    /// An artifact was pushed.
    Pushed,
    /// An artifact was pulled.
    Pulled,
    /// An artifact was deleted.
    Deleted,
    /// A scan succeeded.
    ScanCompleted,
    /// A scan failed.
    ScanFailed,
    /// A scan was stopped.
    ScanStopped,
    /// A push was refused, because the quota is used up.
    QuotaExceeded,
    /// The quota is nearly used up.
    QuotaWarning,
    /// A replication ended.
    Replication,
    /// A retention run ended.
    Retention,
    /// An event that this version of sockel does not know.
    Other(String),
}

/// An image of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScannedImage {
    /// Its digest; `None` when the event has no valid one.
    pub digest: Option<Digest>,
    /// The tag by which it was addressed; without one Harbor puts the digest here.
    pub tag: Option<String>,
    /// Status of its vulnerability scan, in events of scans.
    pub scan_status: Option<String>,
}

/// The text is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the event: {0}")]
pub struct InvalidEvent(pub String);

#[derive(Deserialize)]
struct WebhookPayload {
    #[serde(rename = "type")]
    kind: String,
    // Default format: seconds since 1970
    #[serde(default)]
    occur_at: Option<i64>,
    // CloudEvents: RFC 3339
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    operator: Option<String>,
    #[serde(default, alias = "data")]
    event_data: Option<WebhookData>,
}

#[derive(Default, Deserialize)]
struct WebhookData {
    #[serde(default)]
    resources: Option<Vec<Resource>>,
    #[serde(default)]
    repository: Option<ResourceNames>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    scan_overview: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct ResourceNames {
    #[serde(default)]
    repo_full_name: Option<String>,
}

/// Reads a type by its names in both formats (`src/controller/event/topic.go`,
/// `src/pkg/notifier/formats/cloudevents.go`).
fn kind_of(text: &str) -> ScanEventKind {
    match text {
        "PUSH_ARTIFACT" | "harbor.artifact.pushed" => ScanEventKind::Pushed,
        "PULL_ARTIFACT" | "harbor.artifact.pulled" => ScanEventKind::Pulled,
        "DELETE_ARTIFACT" | "harbor.artifact.deleted" => ScanEventKind::Deleted,
        "SCANNING_COMPLETED" | "harbor.scan.completed" => ScanEventKind::ScanCompleted,
        "SCANNING_FAILED" | "harbor.scan.failed" => ScanEventKind::ScanFailed,
        "SCANNING_STOPPED" | "harbor.scan.stopped" => ScanEventKind::ScanStopped,
        "QUOTA_EXCEED" | "harbor.quota.exceeded" => ScanEventKind::QuotaExceeded,
        "QUOTA_WARNING" | "harbor.quota.warned" => ScanEventKind::QuotaWarning,
        "REPLICATION" | "harbor.replication.status.changed" => ScanEventKind::Replication,
        "TAG_RETENTION" | "harbor.tag_retention.finished" => ScanEventKind::Retention,
        other => ScanEventKind::Other(word(other)),
    }
}

impl ScanEvent {
    /// Reads the body of a webhook request, in the format `Default` or `CloudEvents`.
    ///
    /// # Errors
    /// [`InvalidEvent`] when it is not an event.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidEvent> {
        if body.len() > LIMIT {
            return Err(InvalidEvent(format!("it has more than {LIMIT} bytes")));
        }

        // only the type is required: an event of an unknown kind still tells that something happened
        let payload: WebhookPayload = serde_json::from_slice(body).map_err(|cause| InvalidEvent(cause.to_string()))?;
        let data = payload.event_data.unwrap_or_default();
        // each format has one of the two times
        let written = payload.time.as_deref().and_then(time::parse);
        Ok(Self {
            kind: kind_of(&payload.kind),
            at: payload.occur_at.filter(|seconds| *seconds > 0).map(Epoch).or(written),
            operator: word(&payload.operator.unwrap_or_default()),
            repository: data.repository.and_then(|names| names.repo_full_name).map(|name| word(&name)),
            images: data.resources.unwrap_or_default().into_iter().map(image).collect(),
        })
    }
}

/// Reads an image of an event.
fn image(resource: Resource) -> ScannedImage {
    ScannedImage {
        digest: resource.digest.and_then(|digest| digest.parse().ok()),
        tag: resource.tag.map(|tag| word(&tag)).filter(|tag| !tag.is_empty()),
        scan_status: resource.scan_overview.as_ref().and_then(scan_status),
    }
}

/// Returns the status of the vulnerability scan; the overview may have those of other scans (SBOM) too.
fn scan_status(overview: &BTreeMap<String, serde_json::Value>) -> Option<String> {
    let (_, summary) = overview.iter().find(|(kind, _)| is_vulnerability_report(kind))?;
    summary.get("scan_status")?.as_str().map(word)
}

/// Returns a text from outside that is safe to show: cut, and without control characters.
fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULT: &str = r#"{"type":"SCANNING_COMPLETED","occur_at":1795411845,"operator":"auto","event_data":{
        "resources":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","tag":"11",
        "resource_url":"harbor.example/staging/tomcat-11@sha256:e3b0","scan_overview":{
        "application/vnd.security.vulnerability.report; version=1.1":{"report_id":"1","scan_status":"Success","summary":{"total":3}}}}],
        "repository":{"date_created":1,"name":"tomcat-11","namespace":"staging","repo_full_name":"staging/tomcat-11","repo_type":"private"}}}"#;
    const CLOUD: &str = r#"{"specversion":"1.0","id":"x","source":"/projects/2/webhook/policies/1","type":"harbor.scan.failed",
        "datacontenttype":"application/json","time":"2026-11-23T05:30:45Z","operator":"robot$pipeline","data":{
        "resources":[{"digest":"broken","tag":""}],"repository":{"repo_full_name":"staging/tomcat-11"}}}"#;

    #[test]
    fn reads_both_formats() {
        let event = ScanEvent::parse(DEFAULT.as_bytes()).unwrap();
        assert_eq!((&event.kind, event.at), (&ScanEventKind::ScanCompleted, Some(Epoch(1_795_411_845))));
        assert_eq!(event.repository.as_deref(), Some("staging/tomcat-11"));
        let image = ScannedImage {
            digest: Some(Digest::of(b"")),
            tag: Some("11".to_owned()),
            scan_status: Some("Success".to_owned()),
        };
        assert_eq!(event.images, [image]);
        let event = ScanEvent::parse(CLOUD.as_bytes()).unwrap();
        assert_eq!((&event.kind, event.at), (&ScanEventKind::ScanFailed, Some(Epoch(1_795_411_845))));
        assert_eq!(event.operator, "robot$pipeline");
        assert_eq!(event.images, [ScannedImage { digest: None, tag: None, scan_status: None }]);
    }

    #[test]
    fn reads_what_it_does_not_know() {
        let event = ScanEvent::parse(br#"{"type":"NEWS\u001b[1m","event_data":null}"#).unwrap();
        assert_eq!((event.kind, event.images.len()), (ScanEventKind::Other("NEWS[1m".to_owned()), 0));
        for body in ["", "null", "{}", r#"{"type":1}"#, r#"{"type":"x","event_data":[1]}"#] {
            assert!(ScanEvent::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(ScanEvent::parse(&vec![b' '; LIMIT + 1]).is_err());
    }

    proptest! {
        #[test]
        fn survives_broken_events(cut in 0..CLOUD.len(), byte: u8, end in 0..DEFAULT.len()) {
            let mut bytes = CLOUD.as_bytes().to_vec();
            bytes[cut] = byte;
            let _any = ScanEvent::parse(&bytes);
            prop_assert!(ScanEvent::parse(&DEFAULT.as_bytes()[..end]).is_err());
        }
    }
}
