//! Scans and their reports, kept by digest whatever the project.

use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::bad_request;
use crate::support::registry::harbor::api::conflict;
use crate::support::registry::harbor::api::invalid_body;
use crate::support::registry::harbor::api::not_found;
use crate::support::registry::harbor::artifacts::find;
use crate::support::registry::harbor::course::Course;
use crate::support::registry::harbor::course::Report;
use crate::support::registry::harbor::course::reaches;
use crate::support::registry::harbor::course::summary;
use crate::support::registry::harbor::course::worst;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Response;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

/// Report types that a client may wish for; one without wishes gets the last.
const REPORT_TYPES: &[&str] = &[
    "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0",
    "application/vnd.security.vulnerability.report; version=1.1",
];

/// No time, as Go writes it.
const NEVER: &str = "0001-01-01T00:00:00.000Z";
const SCANNER: &str = "8a0bd5a4-0000-4000-8000-000000000001";

/// One scan under way or over.
struct Scan {
    report_id: String,
    begun: String,
    course: Course,
    polls: usize,
    /// The keys of what it found, once it is over.
    found: Option<Vec<Key>>,
}

/// What Harbor keeps one record for, whatever the image: vulnerability, package, version.
type Key = [String; 3];

fn key(finding: &Value) -> Key {
    ["id", "package", "version"].map(|name| finding[name].as_str().unwrap_or_default().to_owned())
}

impl Scan {
    /// Returns the state that the last look showed.
    fn state(&self) -> &'static str {
        let shown = self.polls.max(1).min(self.course.states.len());
        shown.checked_sub(1).map_or("", |place| self.course.states[place])
    }

    fn is_under_way(&self) -> bool {
        matches!(self.state(), "Pending" | "Scheduled" | "Running")
    }
}

/// How long Harbor keeps what a scanner said about itself, or that it said nothing (`src/controller/scanner`).
const KEPT: Duration = Duration::from_secs(30);

/// What a scanner said when Harbor asked it last.
#[derive(Clone)]
struct ToldMetadata {
    asked: Instant,
    is_unhealthy: bool,
    database_updated_at: Option<String>,
}

/// All scans, and how new ones go.
pub(crate) struct Scans {
    /// `None`: there is no scanner.
    pub(crate) course: Option<Course>,
    pub(crate) database_updated_at: Option<String>,
    /// The scanner does not answer.
    pub(crate) is_unhealthy: bool,
    /// What Harbor keeps of the scanner's own words.
    told: Option<ToldMetadata>,
    /// Reports of other images that arrive right after the next scans are over, one after each.
    pub(crate) others: VecDeque<Report>,
    by_digest: BTreeMap<String, Scan>,
    /// `src/pkg/scan/postprocessors/report_converters.go`: shared by the reports of all images.
    records: BTreeMap<Key, Value>,
}

impl Default for Scans {
    fn default() -> Self {
        Self {
            course: Some(Course::success(1, Report::clean())),
            database_updated_at: Some(sockel::sys::clock::now().to_string()),
            is_unhealthy: false,
            told: None,
            others: VecDeque::new(),
            by_digest: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }
}

impl Scans {
    /// The time is over for which Harbor keeps the scanner's words.
    pub(crate) fn forget_metadata(&mut self) {
        self.told = None;
    }

    /// Returns what Harbor knows about the scanner.
    fn told(&mut self) -> ToldMetadata {
        let fresh = ToldMetadata {
            asked: Instant::now(),
            is_unhealthy: self.is_unhealthy,
            database_updated_at: self.database_updated_at.clone(),
        };
        self.told.take_if(|told| told.asked.elapsed() > KEPT);
        self.told.get_or_insert(fresh).clone()
    }

    /// Begins a scan in place of an older one.
    pub(crate) fn begin(&mut self, digest: &str, number: i64) {
        let Some(mut course) = self.course.clone() else { return };
        course.report = course.report.begun();
        let scan = Scan {
            report_id: format!("00000000-0000-4000-9000-{number:012}"),
            begun: sockel::sys::clock::now().to_string(),
            course,
            polls: 0,
            found: None,
        };
        self.by_digest.insert(digest.to_owned(), scan);
    }

    /// Writes what a scanner found into the records: severity and status always, the rest only when one of them changes.
    fn write(&mut self, report: &Report) -> Vec<Key> {
        let mut keys = Vec::new();
        for finding in report.vulnerabilities() {
            let mut kept = finding.clone();
            kept["severity"] = match finding["severity"].as_str().unwrap_or_default() {
                "Negligible" => "None",
                word @ ("None" | "Low" | "Medium" | "High" | "Critical") => word,
                _ => "Unknown",
            }
            .into();
            kept["cwe_ids"] = json!([""]);
            let key = key(finding);
            let is_same = |old: &Value| ["severity", "status"].iter().all(|name| old[name] == kept[name]);
            if !self.records.get(&key).is_some_and(is_same) {
                self.records.insert(key.clone(), kept);
            }
            keys.push(key);
        }
        keys
    }

    /// Returns what the records say of an image's findings.
    fn findings(&self, digest: &str) -> Vec<Value> {
        let keys = self.by_digest.get(digest).and_then(|scan| scan.found.as_deref()).unwrap_or_default();
        let mut found: Vec<Value> = keys.iter().map(|key| self.records[key].clone()).collect();
        for one in &mut found {
            one["artifact_digests"] = json!([digest]);
        }
        found
    }

    /// Returns how many findings an image has.
    pub(crate) fn count(&self, digest: &str) -> usize {
        self.by_digest.get(digest).map_or(0, |scan| scan.course.report.vulnerabilities().len())
    }

    /// Tells whether an image was scanned and has nothing as bad as this severity.
    pub(crate) fn is_below(&self, digest: &str, severity: &str) -> bool {
        let Some(scan) = self.by_digest.get(digest).filter(|scan| scan.state() == "Success") else { return false };
        let told = scan.course.report.vulnerabilities();
        // nobody may have looked since it ended
        let worst =
            if scan.found.is_some() { worst(&self.findings(digest)).to_owned() } else { worst(told).to_owned() };
        !reaches(&worst, severity)
    }

    /// Returns what an artifact shows of its scan, by report type, and lets the scan go on by one step.
    pub(crate) fn overview(&mut self, digest: &str, call: &Call) -> Option<Value> {
        let scan = self.by_digest.get_mut(digest)?;
        scan.polls += 1;
        let state = scan.state();
        if state == "Success" && scan.found.is_none() {
            let report = scan.course.report.clone();
            let keys = self.write(&report);
            self.by_digest.get_mut(digest)?.found = Some(keys);
            if let Some(other) = self.others.pop_front() {
                self.write(&other);
            }
        }
        let findings = self.findings(digest);
        let scan = &self.by_digest[digest];
        if state.is_empty() {
            return None;
        }
        let mut shown = json!({
            "report_id": scan.report_id, "scan_status": state, "start_time": scan.begun, "end_time": NEVER,
        });
        if matches!(state, "Success" | "Error" | "Stopped") {
            (shown["end_time"], shown["duration"]) = (scan.begun.clone().into(), 0.into());
        }
        if state == "Success" {
            shown["severity"] = worst(&findings).into();
            shown["complete_percent"] = 100.into();
            shown["scanner"] = scan.course.report.scanner().clone();
            shown["summary"] = summary(&findings);
        }
        Some(json!({ report_type(call): shown }))
    }
}

/// Returns the report type the client wants.
fn report_type(call: &Call) -> &'static str {
    let wanted = call.request.header("x-accept-vulnerabilities").unwrap_or_default();
    let mut wanted = wanted.split(',').map(str::trim);
    wanted.find_map(|one| REPORT_TYPES.iter().copied().find(|kind| *kind == one)).unwrap_or(REPORT_TYPES[1])
}

pub(crate) fn begin(state: &mut State, call: &Call) -> Response {
    let (repository, digest) = match find(state, call) {
        Ok(found) => found,
        Err(error) => return error,
    };
    if state.scans.course.is_none() {
        let words = format!("no available scanner for project: {}", call.part("project_name"));
        return Response::error(412, "PRECONDITION", &words);
    }
    match call.request.json()["scan_type"].as_str().unwrap_or("vulnerability") {
        "vulnerability" => {}
        "sbom" => return Response::error(501, "NOT_MODELLED", "this double makes no SBOMs"),
        _ => return invalid_body("scan_type in body should be one of [vulnerability sbom]"),
    }
    // without its capabilities no scanner supports anything
    if state.scans.told().is_unhealthy || !state.is_image(&repository, &digest) {
        return bad_request(
            "the configured scanner Trivy does not support scanning artifact with mime type application/vnd.oci.image.manifest.v1+json",
        );
    }
    if let Some(scan) = state.scans.by_digest.get(&digest).filter(|scan| scan.is_under_way()) {
        return conflict(&format!("a previous scan process is {}", scan.state()));
    }
    let number = state.number();
    state.scans.begin(&digest, number);
    Response::new(202)
}

pub(crate) fn log(state: &mut State, call: &Call) -> Response {
    let wanted = call.part("report_id");
    match state.scans.by_digest.values().find(|scan| scan.report_id == wanted) {
        Some(scan) => {
            let text = format!("[INFO] scan began at {}\n[{}] the end\n", scan.begun, scan.state().to_uppercase());
            // the handler answers in the first type that the client takes
            if call.request.header("accept").is_some_and(|types| types.contains("application/json")) {
                return Response::json(200, &json!(text));
            }
            Response::new(200).with("content-type", "text/plain").body(text.into_bytes())
        }
        None => not_found("scan log"),
    }
}

/// Gives the report of a finished scan, `{}` where there is none.
pub(crate) fn report(state: &mut State, call: &Call) -> Response {
    let digest = match find(state, call) {
        Ok((_, digest)) => digest,
        Err(error) => return error,
    };
    let findings = state.scans.findings(&digest);
    let scan = state.scans.by_digest.get(&digest).filter(|scan| scan.found.is_some());
    let shown = scan.map(|scan| json!({ report_type(call): scan.course.report.json(&findings) }));
    Response::json(200, &shown.unwrap_or_else(|| json!({})))
}

pub(crate) fn project_scanner(state: &mut State, _: &Call) -> Response {
    if state.scans.course.is_none() {
        return Response::json(200, &json!({}));
    }
    let mut shown = json!({
        "uuid": SCANNER, "name": "Trivy", "url": "http://trivy-adapter:8080", "is_default": true, "disabled": false,
        "health": "unhealthy", "capabilities": null,
    });
    if !state.scans.told().is_unhealthy {
        shown["health"] = "healthy".into();
        shown["capabilities"] = json!({ "support_sbom": true, "support_vulnerability": true });
        (shown["adapter"], shown["vendor"], shown["version"]) =
            ("Trivy".into(), "Aqua Security".into(), "v0.61.0".into());
    }
    Response::json(200, &shown)
}

pub(crate) fn metadata(state: &mut State, call: &Call) -> Response {
    if call.part("registration_id") != SCANNER {
        return not_found("scanner");
    }
    let told = state.scans.told();
    if told.is_unhealthy {
        return Response::error(500, "UNKNOWN", "internal server error");
    }
    let mut properties = json!({ "harbor.scanner-adapter/scanner-type": "os-package-vulnerability" });
    if let Some(time) = &told.database_updated_at {
        properties["harbor.scanner-adapter/vulnerability-database-updated-at"] = time.clone().into();
    }
    let capability = json!({ "type": "vulnerability", "consumes_mime_types": [], "produces_mime_types": REPORT_TYPES });
    let scanner = Report::silent().scanner().clone();
    let shown = json!({ "scanner": scanner, "capabilities": [capability], "properties": properties });
    Response::json(200, &shown)
}
