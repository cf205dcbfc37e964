//! Scans: start one, wait for its end, fetch the full report and the age of the scanner's database.

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
use crate::harbor::rights::PIPELINE;
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

/// How many times in a row Harbor may report no scan after it accepted the request.
const ABSENCES: u32 = 3;

/// How many times in a row Harbor may report `Error`: it does so for a moment after it created the report and before it
/// created the job (`src/pkg/scan/vulnerability/vul.go`, `assembleReports`).
const ERRORS: u32 = 2;

/// Key of the database's age in the scanner's metadata (harbor-scanner-trivy `pkg/http/api/v1/handler.go`).
const DATABASE: &str = "harbor.scanner-adapter/vulnerability-database-updated-at";

/// How long to wait for a scan, and how often to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPatience {
    /// Pause before the first question; each further pause is half as long again.
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

/// A scan that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// The scanner's report, to be judged with [`gate::judge`].
    pub report: gate::ScanReport,
    /// When the image was pushed, for [`gate::ScanFacts`].
    pub pushed_at: Option<Epoch>,
}

/// The state of a scan (`src/pkg/job/status.go`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ScanState {
    /// Not finished, or in a state that this version does not know.
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

/// A scan that was started and is waited for.
struct PendingScan<'a> {
    repository: &'a Repository,
    /// The digest, as it stands in addresses.
    reference: String,
    /// `repository@digest`, for messages.
    image: String,
    /// The overview of a scan that was made before this one.
    earlier: Option<&'a ScanOverview>,
}

impl PendingScan<'_> {
    /// Returns the state of this scan. Until it begins, Harbor shows the earlier one.
    fn state(&self, overview: Option<&ScanOverview>) -> ScanState {
        let is_earlier = overview.is_some() && overview == self.earlier;
        if is_earlier { ScanState::Going } else { ScanState::of(overview) }
    }
}

/// How many times in a row Harbor reported a state that may be a passing one.
#[derive(Default)]
struct Streaks {
    absences: u32,
    errors: u32,
}

impl Streaks {
    /// Counts a state; returns it once it has lasted, and `Going` until then.
    fn settle(&mut self, state: ScanState) -> ScanState {
        self.absences = if state == ScanState::Absent { self.absences + 1 } else { 0 };
        self.errors = if state == ScanState::Error { self.errors + 1 } else { 0 };
        match state {
            ScanState::Absent if self.absences < ABSENCES => ScanState::Going,
            ScanState::Error if self.errors < ERRORS => ScanState::Going,
            lasting => lasting,
        }
    }
}

/// `ScannerRegistration` of the API, as far as it is needed.
#[derive(Deserialize)]
struct Registration {
    uuid: Option<String>,
    #[serde(default)]
    health: Option<String>,
}

/// `ScannerAdapterMetadata` of the API, as far as it is needed.
#[derive(Deserialize)]
struct ScannerMetadata {
    #[serde(default)]
    properties: Option<BTreeMap<String, serde_json::Value>>,
}

impl Harbor<'_> {
    /// Scans an image and returns the full report. Scan the images of an index: the index has no report of its own.
    ///
    /// A scan that is running already is used; the result of an earlier scan is not. An image whose report contradicts
    /// itself is scanned once more: the scan of another image has overwritten records of this one, and the last scan
    /// writes them all (see [`gate::Contradiction`]).
    ///
    /// # Errors
    /// [`Error::NotScannable`], [`Error::Known`] for a scanner that does not answer, an image that was deleted in the
    /// meantime, or read-only mode, [`Error::ScanFailed`] with the log, [`Error::ScanStopped`],
    /// [`Error::NeverScanned`], [`Error::ScanTooLong`], and those of every call.
    pub async fn scan(
        &self,
        repository: &Repository,
        digest: &Digest,
        patience: &ScanPatience,
    ) -> Result<Scanned, Error> {
        // once more, and not again and again: on a busy Harbor another scan may always come in between
        let scanned = self.scan_once(repository, digest, patience).await.map_err(gone)?;
        if scanned.report.contradictions().is_empty() {
            return Ok(scanned);
        }
        self.scan_once(repository, digest, patience).await.map_err(gone)
    }

    /// Starts a scan, waits for its end, and reads its report.
    async fn scan_once(
        &self,
        repository: &Repository,
        digest: &Digest,
        patience: &ScanPatience,
    ) -> Result<Scanned, Error> {
        let image = format!("`{repository}@{digest}`");
        let Some(before) = self.artifact(repository, &digest.to_string(), ArtifactDetails::Scan).await? else {
            return Err(Error::NotFound { action: format!("scan {image}"), message: String::new() });
        };
        // asked before the scan: the database that is used is this one or a newer one
        let database = self.database_updated_at(repository.project()).await?;

        // a scan that is running already has replaced the earlier overview
        let earlier = match self.trigger(repository, digest, &image).await? {
            Triggered::New => before.overview(),
            Triggered::Running => None,
        };
        let pending = PendingScan { repository, reference: digest.to_string(), image, earlier };
        let artifact = self.wait(&pending, patience).await?;

        let overview = artifact.overview().expect("a scan that came to its end has an overview");
        let report = self.report(repository, digest, overview, database).await?;
        Ok(Scanned { report, pushed_at: artifact.push_time.as_deref().and_then(time::parse) })
    }

    /// Asks Harbor for a scan.
    async fn trigger(&self, repository: &Repository, digest: &Digest, image: &str) -> Result<Triggered, Error> {
        let (name, reference) = (repository.encoded(), digest.to_string());
        let path = ["projects", repository.project(), "repositories", &name, "artifacts", &reference, "scan"];
        let request = HarborRequest::post(format!("scan {image}"), path).body(json!({"scan_type": "vulnerability"}));
        match self.call(request).await {
            Ok(_) => Ok(Triggered::New),
            // "a previous scan process is …": somebody else's, or that of an attempt whose answer was lost
            Err(Error::Conflict { .. }) => Ok(Triggered::Running),
            // no scanner, a disabled one, or none for this kind of artifact
            Err(Error::Rule { message, .. } | Error::Status { status: 422, message, .. }) => {
                Err(Error::NotScannable { image: image.to_owned(), message })
            }
            // Harbor says that a scanner supports nothing even if it only does not answer: find out which
            Err(Error::Status { status: 400, message, .. }) => match self.scanner(repository.project()).await? {
                Some(scanner) if scanner.is_healthy() => Err(Error::NotScannable { image: image.to_owned(), message }),
                _ => Err(unhealthy(image)),
            },
            Err(error) => Err(error),
        }
    }

    /// Waits for the end of a scan that is not the `earlier` one.
    async fn wait(&self, scan: &PendingScan<'_>, patience: &ScanPatience) -> Result<HarborArtifact, Error> {
        let begun = clock::now();
        // never a busy loop, whatever the patience says
        let tick = Duration::from_millis(1);
        let (mut pause, mut waited) = (patience.first_pause.max(tick), Duration::ZERO);
        let mut streaks = Streaks::default();
        loop {
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 3 / 2).clamp(tick, patience.longest_pause.max(tick));

            let Some(artifact) = self.artifact(scan.repository, &scan.reference, ArtifactDetails::Scan).await? else {
                let action = format!("scan {}", scan.image);
                return Err(Error::NotFound { action, message: "it is gone".to_owned() });
            };
            let overview = artifact.overview();

            match streaks.settle(scan.state(overview)) {
                ScanState::Success => return Ok(artifact),
                ScanState::Stopped => return Err(Error::ScanStopped { image: scan.image.clone() }),
                ScanState::Absent => return Err(Error::NeverScanned { image: scan.image.clone() }),
                ScanState::Error => {
                    let log = self.scan_log(scan, overview).await;
                    return Err(Error::ScanFailed { image: scan.image.clone(), log });
                }
                ScanState::Going => {}
            }

            // requests take time as well, and a clock may jump: whichever is reached first ends the wait; the clock's
            // whole seconds may be one too many
            let elapsed = u64::try_from(clock::now().0 - begun.0).unwrap_or(0);
            if waited >= patience.limit || elapsed > patience.limit.as_secs() + 1 {
                // in read-only mode Harbor refuses the results of its own jobs (`src/core/middlewares`)
                if let Some(found) = self.discover().await? {
                    found.writable()?;
                }
                let status = overview.map_or("none", |overview| overview.scan_status.as_str());
                let (image, seconds) = (scan.image.clone(), waited.as_secs().max(elapsed));
                return Err(Error::ScanTooLong { image, seconds, status: error::harmless(status, 40) });
            }
        }
    }

    /// Returns the end of a scanner's log, or nothing when there is none: it only explains another error.
    async fn scan_log(&self, scan: &PendingScan<'_>, overview: Option<&ScanOverview>) -> String {
        let report = overview.map_or("", |overview| overview.report_id.as_str());
        let (project, name) = (scan.repository.project(), scan.repository.encoded());
        let path = ["projects", project, "repositories", &name, "artifacts", &scan.reference, "scan", report, "log"];
        let reply = self.call(HarborRequest::get("read the scan's log", path).text().limit(LOG_LIMIT)).await;
        reply.map(|reply| error::log_end(reply.bytes())).unwrap_or_default()
    }

    /// Fetches the full report of a scan.
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
        let Some(Registration { uuid: Some(uuid), .. }) = self.answering_scanner(project).await? else {
            return Ok(None);
        };
        let Some(metadata) = permitted(self.call(metadata_of(&uuid)).await)? else { return Ok(None) };
        let Ok(ScannerMetadata { properties }) = metadata.json() else { return Ok(None) };
        // scanners may leave this property out
        let text = properties.and_then(|properties| properties.get(DATABASE)?.as_str().map(str::to_owned));
        Ok(text.and_then(|text| time::parse(&text)))
    }
}

impl Harbor<'_> {
    /// Checks that a project has a scanner that answers, and with `asks_for_age` that the account may ask how old its
    /// database is. Nobody can ask for that right itself ([`Harbor::rights`]), so the call is made.
    ///
    /// # Errors
    /// [`Error::NotScannable`], [`Error::Known`], [`Error::MissingRights`], and those of every call.
    pub async fn check_scanner(&self, project: &str, asks_for_age: bool) -> Result<(), Error> {
        let Some(registration) = self.answering_scanner(project).await? else { return Ok(()) };
        let Some(uuid) = &registration.uuid else {
            let image = format!("images of project `{project}`");
            return Err(Error::NotScannable { image, message: "the project has no scanner".to_owned() });
        };
        if !asks_for_age {
            return Ok(());
        }
        match self.call(metadata_of(uuid)).await {
            Err(Error::NotPermitted { .. }) => {
                let (user, rights) =
                    (self.user().to_owned(), PIPELINE.system.iter().map(ToString::to_string).collect());
                Err(Error::MissingRights { user, project: None, rights })
            }
            other => other.map(drop),
        }
    }

    /// Returns the scanner of a project, as [`Harbor::scanner`] does, if it answers Harbor: a scan by another one would wait
    /// in the queue until the patience is over.
    async fn answering_scanner(&self, project: &str) -> Result<Option<Registration>, Error> {
        let found = self.scanner(project).await?;
        if found.as_ref().is_some_and(|scanner| scanner.health.as_deref() == Some(UNHEALTHY)) {
            return Err(unhealthy(&format!("images of project `{project}`")));
        }
        Ok(found)
    }

    /// Returns the scanner of a project; `None` when the account may not ask.
    async fn scanner(&self, project: &str) -> Result<Option<Registration>, Error> {
        let request = HarborRequest::get("ask for the project's scanner", ["projects", project, "scanner"]);
        let Some(registration) = permitted(self.call(request).await)? else { return Ok(None) };
        Ok(registration.json().ok())
    }
}

/// Returns the question for what a scanner says about itself.
fn metadata_of(scanner: &str) -> HarborRequest {
    HarborRequest::get("ask for the scanner's metadata", ["scanners", scanner, "metadata"])
}

impl Registration {
    fn is_healthy(&self) -> bool {
        self.health.as_deref() == Some("healthy")
    }
}

/// Harbor's word for a scanner that does not answer.
const UNHEALTHY: &str = "unhealthy";

/// Returns the error for a scanner that does not answer Harbor.
fn unhealthy(what: &str) -> Error {
    Error::Known { action: format!("scan {what}"), cause: HarborRefusal::UnhealthyScanner, message: String::new() }
}

/// Marks an image that is not found any more as deleted: publishing again pushes it again.
fn gone(error: Error) -> Error {
    match error {
        Error::NotFound { action, message } => Error::Known { action, cause: HarborRefusal::Gone, message },
        error => error,
    }
}

/// How Harbor took the request for a scan.
enum Triggered {
    New,
    Running,
}

/// Turns a refusal into `None`: not every account may ask.
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
