//! Artifacts as Harbor describes them: digest, tags, accessories, and the state of the scan.

use crate::harbor::Error;
use crate::harbor::Harbor;
use crate::harbor::HarborRequest;
use crate::harbor::Repository;
use crate::oci::registry::HarborRefusal;
use crate::values::Digest;
use serde::Deserialize;
use serde::Deserializer;
use std::collections::BTreeMap;

/// `Artifact` of the API, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct HarborArtifact {
    pub(crate) digest: Digest,
    #[serde(default)]
    pub(crate) push_time: Option<String>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) tags: Vec<Tag>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) labels: Vec<Label>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) accessories: Vec<Accessory>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) references: Vec<ArtifactReference>,
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) scan_overview: BTreeMap<String, ScanOverview>,
}

/// `Tag` of the API.
#[derive(Debug, Deserialize)]
pub(crate) struct Tag {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) immutable: bool,
}

/// `Label` of the API.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Label {
    pub(crate) id: i64,
    pub(crate) name: String,
}

/// `Reference` of the API: an image of an index.
#[derive(Debug, Deserialize)]
pub(crate) struct ArtifactReference {
    pub(crate) child_digest: Digest,
}

/// `Accessory` of the API: a signature, an SBOM, an attestation.
#[derive(Debug, Deserialize)]
pub(crate) struct Accessory {
    pub(crate) digest: Digest,
}

/// `NativeReportSummary` of the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ScanOverview {
    #[serde(default)]
    pub(crate) report_id: String,
    #[serde(default)]
    pub(crate) scan_status: String,
    #[serde(default)]
    pub(crate) start_time: Option<String>,
    #[serde(default)]
    pub(crate) end_time: Option<String>,
    #[serde(default)]
    pub(crate) severity: Option<String>,
    #[serde(default)]
    pub(crate) summary: Option<VulnerabilitySummary>,
}

/// `VulnerabilitySummary` of the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct VulnerabilitySummary {
    #[serde(default)]
    pub(crate) total: Option<u64>,
    #[serde(default)]
    pub(crate) fixable: Option<u64>,
    /// By severity.
    #[serde(default, deserialize_with = "or_nothing")]
    pub(crate) summary: BTreeMap<String, u64>,
}

/// What to request about an artifact in addition to its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArtifactDetails {
    /// Nothing.
    Tags,
    /// The state of its scan.
    Scan,
    /// Labels, accessories, and which tags never move.
    Details,
}

/// Reads `null` as nothing, as Go writes empty lists and maps.
fn or_nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl HarborArtifact {
    /// Returns the state of the vulnerability scan; `None` when there was none, or Harbor cannot scan the artifact.
    #[must_use]
    pub fn overview(&self) -> Option<&ScanOverview> {
        // scans of other kinds, such as for SBOMs, have entries of their own
        self.scan_overview.iter().find(|(kind, _)| is_vulnerability_report(kind)).map(|(_, overview)| overview)
    }

    /// Returns the tag with this name.
    pub(crate) fn tag(&self, name: &str) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.name == name)
    }
}

/// Tells whether a media type is one of vulnerability reports; the space before `version` comes and goes.
pub(crate) fn is_vulnerability_report(kind: &str) -> bool {
    kind.starts_with("application/vnd.security.vulnerability.report")
}

impl Harbor<'_> {
    /// Returns the digest that a tag names; `None` when there is no such tag. Unlike the registry's own API, this one
    /// also answers for images that are not signed or that Harbor withholds.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn tagged(&self, repository: &Repository, tag: &str) -> Result<Option<Digest>, Error> {
        Ok(self.artifact(repository, tag, ArtifactDetails::Tags).await?.map(|artifact| artifact.digest))
    }

    /// Returns the tags of an artifact; none when there is no such artifact.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn tags_of(&self, repository: &Repository, digest: &Digest) -> Result<Vec<String>, Error> {
        let found = self.artifact(repository, &digest.to_string(), ArtifactDetails::Tags).await?;
        Ok(found.into_iter().flat_map(|artifact| artifact.tags).map(|tag| tag.name).collect())
    }

    /// Reads an artifact by digest or tag; `None` when there is no such artifact.
    pub(crate) async fn artifact(
        &self,
        repository: &Repository,
        reference: &str,
        with: ArtifactDetails,
    ) -> Result<Option<HarborArtifact>, Error> {
        let action = format!("read artifact `{repository}@{reference}`");
        let name = repository.encoded();
        let path = ["projects", repository.project(), "repositories", &name, "artifacts", reference];

        // each detail costs Harbor queries to its database
        let request = HarborRequest::get(action.clone(), path).query("with_tag", "true");
        let request = match with {
            ArtifactDetails::Tags => request,
            ArtifactDetails::Scan => request.query("with_scan_overview", "true"),
            ArtifactDetails::Details => request
                .query("with_label", "true")
                .query("with_accessory", "true")
                .query("with_immutable_status", "true"),
        };

        match self.call(request).await {
            Ok(reply) => {
                let artifact: HarborArtifact = reply.json()?;
                // a digest names one artifact only: what is judged and tagged is never another one
                let is_other = reference.parse().is_ok_and(|digest: Digest| digest != artifact.digest);
                if is_other {
                    return Err(Error::malformed(&action, &format!("it is about {}", artifact.digest)));
                }
                Ok(Some(artifact))
            }
            // a missing project is a mistake in the settings, a missing artifact is an answer
            Err(Error::NotFound { action, message }) => match HarborRefusal::of(404, "", &message) {
                Some(cause) => Err(Error::Known { action, cause, message }),
                None => Ok(None),
            },
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REAL: &str = r#"{
        "accessories": null, "addition_links": {"vulnerabilities": {"absolute": false, "href": "/api/v2.0/x"}},
        "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "extra_attrs": {"architecture": "amd64", "config": {"User": "65532"}, "created": "2026-11-23T00:00:00Z"},
        "icon": "sha256:0048", "id": 5, "labels": [{"id": 3, "name": "released", "scope": "p", "project_id": 2}],
        "manifest_media_type": "application/vnd.oci.image.manifest.v1+json", "project_id": 2,
        "push_time": "2026-11-23T05:30:45.123Z", "references": null, "repository_id": 2, "size": 38049,
        "scan_overview": {"application/vnd.security.vulnerability.report; version=1.1": {
            "complete_percent": 100, "duration": 4, "end_time": "2026-11-23T05:31:00.000Z",
            "report_id": "5f62c830", "scan_status": "Success", "severity": "High",
            "scanner": {"name": "Trivy", "vendor": "Aqua Security", "version": "v0.66.0"},
            "start_time": "2026-11-23T05:30:56.000Z",
            "summary": {"fixable": 1, "summary": {"High": 1, "Low": 2}, "total": 3}}},
        "tags": [{"artifact_id": 5, "id": 1, "immutable": true, "name": "11", "push_time": "2026-11-23T05:30:45.123Z"}],
        "type": "IMAGE"}"#;

    #[test]
    fn reads_artifacts() {
        let artifact: HarborArtifact = serde_json::from_str(REAL).unwrap();
        let overview = artifact.overview().unwrap();
        assert_eq!((overview.scan_status.as_str(), overview.report_id.as_str()), ("Success", "5f62c830"));
        assert_eq!(overview.summary.as_ref().and_then(|summary| summary.total), Some(3));
        assert!(artifact.tag("11").unwrap().immutable && artifact.tag("12").is_none());
        assert_eq!((artifact.labels[0].id, artifact.accessories.len()), (3, 0));
        let bare = r#"{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","scan_overview":null,"tags":null}"#;
        let artifact: HarborArtifact = serde_json::from_str(bare).unwrap();
        assert!(artifact.overview().is_none() && artifact.tags.is_empty());
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["null", "[]", "{}", r#"{"digest":"sha256:1"}"#, r#"{"digest":null}"#, &"[".repeat(10_000)] {
            assert!(serde_json::from_str::<HarborArtifact>(text).is_err());
        }
    }

    proptest! {
        #[test]
        fn survives_broken_artifacts(cut in 0..REAL.len(), byte: u8, end in 0..REAL.len()) {
            let mut bytes = REAL.as_bytes().to_vec();
            bytes[cut] = byte;
            let _any = serde_json::from_slice::<HarborArtifact>(&bytes);
            let _any = serde_json::from_slice::<HarborArtifact>(&bytes[..end]);
        }
    }
}
