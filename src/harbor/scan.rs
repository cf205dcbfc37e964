//! Scans: ask for one, wait for its end, fetch the full report and the age of the scanner's database.

use crate::gate;
use crate::harbor::Error;
use crate::harbor::Harbor;
use crate::harbor::HarborRequest;
use crate::harbor::Repository;
use crate::harbor::artifact::ArtifactDetails;
use crate::harbor::artifact::HarborArtifact;
use crate::harbor::artifact::ScanOverview;
use crate::harbor::error;
use crate::harbor::report;
use crate::harbor::time;
use crate::oci::registry::HarborRefusal;
use crate::sys::clock;
use crate::values::Digest;
use crate::values::Epoch;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Largest report.
const REPORT_LIMIT: u64 = 64 << 20;

/// Largest log that is read to show its end.
const LOG_LIMIT: u64 = 16 << 20;

/// So many times in a row Harbor may know of no scan after it took the request.
const ABSENCES: u32 = 3;

/// So many times in a row it may say `Error`: between making a report's place and its job, for want of the job
/// (`src/pkg/scan/vulnerability/vul.go`, `assembleReports`).
const ERRORS: u32 = 2;

/// Where the scanner's metadata say how old its database is (harbor-scanner-trivy `pkg/http/api/v1/handler.go`).
const DATABASE: &str = "harbor.scanner-adapter/vulnerability-database-updated-at";

/// How patiently a scan is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPatience {
    /// Pause before the first look; each further one is half as long again.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Longest time in total.
    pub limit: Duration,
}

impl Default for ScanPatience {
    fn default() -> Self {
        Self::usual()
    }
}

impl ScanPatience {
    /// Returns pauses of 1 to 15 seconds, for at most 20 minutes: jobs may wait in Harbor's queue.
    #[must_use]
    pub fn usual() -> Self {
        let seconds = Duration::from_secs;
        Self { first_pause: seconds(1), longest_pause: seconds(15), limit: seconds(1200) }
    }
}

/// A scan that came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// What the scanner says; judge it with [`gate::judge`].
    pub report: gate::ScanReport,
    /// When Harbor got the image, for [`gate::ScanFacts`].
    pub pushed_at: Option<Epoch>,
}

/// Where a scan is (`src/pkg/job/status.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    /// Not at its end, or in a state that this version does not know.
    Going,
    Success,
    Error,
    Stopped,
    Absent,
}

impl ScanState {
    fn of(overview: Option<&ScanOverview>) -> Self {
        match overview.map(|overview| overview.scan_status.as_str()) {
            None => Self::Absent,
            Some("Success") => Self::Success,
            Some("Error") => Self::Error,
            Some("Stopped") => Self::Stopped,
            // Pending, Running, Scheduled, and what later versions may say: only time tells
            Some(_) => Self::Going,
        }
    }
}

/// `ScannerRegistration` and `ScannerAdapterMetadata` of the API, as far as needed.
#[derive(Deserialize)]
struct Registration {
    uuid: Option<String>,
    #[serde(default)]
    health: Option<String>,
}

#[derive(Deserialize)]
struct ScannerMetadata {
    #[serde(default)]
    properties: Option<BTreeMap<String, serde_json::Value>>,
}

impl Harbor<'_> {
    /// Scans an image and returns the full report. An image's, not an index's: those have no report of their own.
    ///
    /// A scan that runs already is waited for; one that was made earlier is not taken for the new one. A report that
    /// contradicts itself is made once more: the scan of another image has written records of this one in the meantime,
    /// and the last scan writes them all (see [`gate::Contradiction`]).
    ///
    /// # Errors
    /// [`Error::NotScannable`], [`Error::Known`] for a scanner that does not answer, an image that was deleted in the
    /// meantime or read-only mode, [`Error::ScanFailed`] with the log, [`Error::ScanStopped`], [`Error::NeverScanned`],
    /// [`Error::ScanTooLong`], and those of every call.
    pub async fn scan(
        &self,
        repository: &Repository,
        digest: &Digest,
        patience: &ScanPatience,
    ) -> Result<Scanned, Error> {
        let scanned = self.scan_once(repository, digest, patience).await.map_err(gone)?;
        if scanned.report.contradictions().is_empty() {
            return Ok(scanned);
        }
        self.scan_once(repository, digest, patience).await.map_err(gone)
    }

    async fn scan_once(
        &self,
        repository: &Repository,
        digest: &Digest,
        patience: &ScanPatience,
    ) -> Result<Scanned, Error> {
        let image = format!("`{repository}@{digest}`");
        let reference = digest.to_string();
        let missing = || Error::NotFound { action: format!("scan {image}"), said: String::new() };
        let before = self.artifact(repository, &reference, ArtifactDetails::Scan).await?.ok_or_else(missing)?;
        // asked before the scan: the database that is used is this one or a newer one
        let database = self.database_updated_at(repository.project()).await?;
        let earlier = match self.trigger(repository, digest, &image).await? {
            Triggered::New => before.overview().cloned(),
            Triggered::Running => None,
        };
        let artifact = self.wait(repository, &reference, (&image, earlier.as_ref()), patience).await?;
        let overview = artifact.overview().expect("a scan that came to its end has an overview");
        let report = self.report(repository, digest, overview, database).await?;
        Ok(Scanned { report, pushed_at: artifact.push_time.as_deref().and_then(time::parse) })
    }

    async fn trigger(&self, repository: &Repository, digest: &Digest, image: &str) -> Result<Triggered, Error> {
        let (name, reference) = (repository.encoded(), digest.to_string());
        let path = ["projects", repository.project(), "repositories", &name, "artifacts", &reference, "scan"];
        let ask = HarborRequest::post(format!("scan {image}"), path).body(json!({"scan_type": "vulnerability"}));
        match self.call(ask).await {
            Ok(_) => Ok(Triggered::New),
            // "a previous scan process is …": somebody else's, or that of an attempt whose answer was lost
            Err(Error::Conflict { .. }) => Ok(Triggered::Running),
            // no scanner, a disabled one, or none for this kind of artifact
            Err(Error::Rule { said, .. } | Error::Status { status: 422, said, .. }) => {
                Err(Error::NotScannable { image: image.to_owned(), said })
            }
            // without its capabilities a scanner supports nothing, and Harbor says just that
            Err(Error::Status { status: 400, said, .. }) => match self.scanner(repository.project()).await? {
                Some(scanner) if scanner.is_healthy() => Err(Error::NotScannable { image: image.to_owned(), said }),
                _ => Err(unhealthy(image)),
            },
            Err(error) => Err(error),
        }
    }

    /// Waits for the end of a scan that is not the `earlier` one.
    async fn wait(
        &self,
        repository: &Repository,
        reference: &str,
        (image, earlier): (&str, Option<&ScanOverview>),
        patience: &ScanPatience,
    ) -> Result<HarborArtifact, Error> {
        let image = || image.to_owned();
        let begun = clock::now();
        let tick = Duration::from_millis(1);
        let (mut pause, mut waited) = (patience.first_pause.max(tick), Duration::ZERO);
        let (mut absences, mut errors) = (0, 0);
        loop {
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 3 / 2).clamp(tick, patience.longest_pause.max(tick));
            let artifact = self.artifact(repository, reference, ArtifactDetails::Scan).await?;
            let artifact = artifact.ok_or_else(|| Error::NotFound {
                action: format!("scan {}", image()),
                said: "it is gone".to_owned(),
            })?;
            let overview = artifact.overview();
            let is_earlier = overview.is_some() && overview == earlier;
            let state = if is_earlier { ScanState::Going } else { ScanState::of(overview) };
            absences = if state == ScanState::Absent { absences + 1 } else { 0 };
            errors = if state == ScanState::Error { errors + 1 } else { 0 };
            match state {
                ScanState::Success => return Ok(artifact),
                ScanState::Stopped => return Err(Error::ScanStopped { image: image() }),
                ScanState::Absent if absences >= ABSENCES => return Err(Error::NeverScanned { image: image() }),
                ScanState::Error if errors >= ERRORS => {
                    let report = overview.map(|overview| overview.report_id.clone()).unwrap_or_default();
                    let log = self.scan_log(repository, reference, &report).await;
                    return Err(Error::ScanFailed { image: image(), log });
                }
                ScanState::Going | ScanState::Absent | ScanState::Error => {}
            }
            // requests take time as well, and a clock may jump: either of both ends the wait; the clock's whole
            // seconds may be one too many
            let elapsed = u64::try_from(clock::now().0 - begun.0).unwrap_or(0);
            if waited >= patience.limit || elapsed > patience.limit.as_secs() + 1 {
                // in read-only mode Harbor does not take the news of its own jobs (`src/core/middlewares`)
                if let Some(found) = self.discover().await? {
                    found.writable()?;
                }
                let status = overview.map_or("none", |overview| overview.scan_status.as_str());
                let seconds = waited.as_secs().max(elapsed);
                return Err(Error::ScanTooLong { image: image(), seconds, status: error::harmless(status, 40) });
            }
        }
    }

    /// Returns the end of a scanner's log, or nothing when there is none: it only explains another error.
    async fn scan_log(&self, repository: &Repository, reference: &str, report: &str) -> String {
        let name = repository.encoded();
        let project = repository.project();
        let path = ["projects", project, "repositories", &name, "artifacts", reference, "scan", report, "log"];
        let reply = self.call(HarborRequest::get("read the scan's log", path).text().limit(LOG_LIMIT)).await;
        reply.map(|reply| error::log_end(reply.bytes())).unwrap_or_default()
    }

    async fn report(
        &self,
        repository: &Repository,
        digest: &Digest,
        overview: &ScanOverview,
        database: Option<Epoch>,
    ) -> Result<gate::ScanReport, Error> {
        let action = format!("read the scan report of `{repository}@{digest}`");
        let (name, reference) = (repository.encoded(), digest.to_string());
        let project = repository.project();
        let path =
            ["projects", project, "repositories", &name, "artifacts", &reference, "additions", "vulnerabilities"];
        let reply = self.call(HarborRequest::get(action.clone(), path).limit(REPORT_LIMIT)).await?;
        report::read(reply.bytes(), *digest, overview, database).map_err(|cause| Error::malformed(&action, &cause))
    }

    /// Returns when the database of a project's scanner was last updated; `None` when the account may not ask or the
    /// scanner does not say.
    ///
    /// # Errors
    /// When Harbor does not answer.
    pub async fn database_updated_at(&self, project: &str) -> Result<Option<Epoch>, Error> {
        let Some(Registration { uuid: Some(uuid), health }) = self.scanner(project).await? else { return Ok(None) };
        if health.as_deref() == Some(UNHEALTHY) {
            return Err(unhealthy(&format!("images of project `{project}`")));
        }
        let ask = HarborRequest::get("ask for the scanner's metadata", ["scanners", &uuid, "metadata"]);
        let Some(metadata) = permitted(self.call(ask).await)? else { return Ok(None) };
        let Ok(ScannerMetadata { properties }) = metadata.json() else { return Ok(None) };
        let text = properties.and_then(|properties| properties.get(DATABASE)?.as_str().map(str::to_owned));
        Ok(text.and_then(|text| time::parse(&text)))
    }
}

impl Harbor<'_> {
    /// Returns the scanner of a project; `None` when the account may not ask.
    async fn scanner(&self, project: &str) -> Result<Option<Registration>, Error> {
        let ask = HarborRequest::get("ask for the project's scanner", ["projects", project, "scanner"]);
        let Some(registration) = permitted(self.call(ask).await)? else { return Ok(None) };
        Ok(registration.json().ok())
    }
}

impl Registration {
    fn is_healthy(&self) -> bool {
        self.health.as_deref() == Some("healthy")
    }
}

/// Harbor's word for a scanner that does not answer.
const UNHEALTHY: &str = "unhealthy";

fn unhealthy(what: &str) -> Error {
    Error::Known { action: format!("scan {what}"), cause: HarborRefusal::UnhealthyScanner, said: String::new() }
}

/// What was there when the scan began and is not found any more was deleted: another publish brings it again.
fn gone(error: Error) -> Error {
    match error {
        Error::NotFound { action, said } => Error::Known { action, cause: HarborRefusal::Gone, said },
        error => error,
    }
}

enum Triggered {
    New,
    Running,
}

/// Turns a "no" into "unknown".
fn permitted<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Error::NotPermitted { .. } | Error::NotFound { .. } | Error::Rule { .. } | Error::Status { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_states() {
        let overview = |status: &str| -> ScanOverview {
            serde_json::from_value(json!({"scan_status": status, "report_id": "1"})).unwrap()
        };
        let table = [
            ("Pending", ScanState::Going),
            ("Running", ScanState::Going),
            ("Scheduled", ScanState::Going),
            ("", ScanState::Going),
            ("success", ScanState::Going),
            ("Success", ScanState::Success),
            ("Error", ScanState::Error),
            ("Stopped", ScanState::Stopped),
        ];
        for (status, expected) in table {
            assert_eq!(ScanState::of(Some(&overview(status))), expected, "{status}");
        }
        assert_eq!(ScanState::of(None), ScanState::Absent);
    }
}
