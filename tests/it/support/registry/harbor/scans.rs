//! Scans and their reports, kept by digest whatever the project.

use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::bad_request;
use crate::support::registry::harbor::api::conflict;
use crate::support::registry::harbor::api::not_found;
use crate::support::registry::harbor::artifacts::find;
use crate::support::registry::harbor::course::Course;
use crate::support::registry::harbor::course::Report;
use crate::support::registry::harbor::state::State;
use crate::support::registry::message::Response;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// Report types in the order a client without wishes gets them.
const REPORT_TYPES: &[&str] = &[
    "application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0",
    "application/vnd.security.vulnerability.report; version=1.1",
];
const SCANNER: &str = "8a0bd5a4-0000-4000-8000-000000000001";

/// One scan under way or over.
struct Scan {
    report_id: String,
    begun: String,
    course: Course,
    polls: usize,
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

/// All scans, and how new ones go.
pub(crate) struct Scans {
    /// `None`: there is no scanner.
    pub(crate) course: Option<Course>,
    pub(crate) database_updated_at: Option<String>,
    by_digest: BTreeMap<String, Scan>,
}

impl Default for Scans {
    fn default() -> Self {
        Self {
            course: Some(Course::success(1, Report::clean())),
            database_updated_at: Some(sockel::sys::clock::now().to_string()),
            by_digest: BTreeMap::new(),
        }
    }
}

impl Scans {
    /// Begins a scan in place of an older one.
    pub(crate) fn begin(&mut self, digest: &str, number: i64) {
        let Some(mut course) = self.course.clone() else { return };
        course.report = course.report.begun(digest);
        let scan = Scan {
            report_id: format!("00000000-0000-4000-9000-{number:012}"),
            begun: sockel::sys::clock::now().to_string(),
            course,
            polls: 0,
        };
        self.by_digest.insert(digest.to_owned(), scan);
    }

    /// Tells whether an image was scanned and has nothing as bad as this severity.
    pub(crate) fn is_below(&self, digest: &str, severity: &str) -> bool {
        let done = self.by_digest.get(digest).filter(|scan| scan.state() == "Success");
        done.is_some_and(|scan| !scan.course.report.reaches(severity))
    }

    /// Returns what an artifact shows of its scan, by report type, and lets the scan go on by one step.
    pub(crate) fn overview(&mut self, digest: &str, call: &Call) -> Option<Value> {
        let scan = self.by_digest.get_mut(digest)?;
        scan.polls += 1;
        let (state, report) = (scan.state(), &scan.course.report);
        if state.is_empty() {
            return None;
        }
        let mut shown = json!({
            "report_id": scan.report_id, "scan_status": state, "severity": "None", "duration": 0,
            "start_time": scan.begun, "end_time": scan.begun, "complete_percent": 0, "scanner": report.scanner(),
        });
        if state == "Success" {
            shown["severity"] = report.severity().into();
            shown["complete_percent"] = 100.into();
            shown["summary"] = report.summary();
        }
        Some(json!({ report_type(call): shown }))
    }
}

/// Returns the report type the client wants.
fn report_type(call: &Call) -> &'static str {
    let wanted = call.request.header("x-accept-vulnerabilities").unwrap_or_default();
    let mut wanted = wanted.split(',').map(str::trim);
    wanted.find_map(|one| REPORT_TYPES.iter().copied().find(|kind| *kind == one)).unwrap_or(REPORT_TYPES[0])
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
        kind => return bad_request(&format!("the configured scanner Trivy does not support scan type {kind}")),
    }
    if !state.is_image(&repository, &digest) {
        return bad_request("the configured scanner Trivy does not support scanning artifact with this mime type");
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
    let scan = state.scans.by_digest.get(&digest).filter(|scan| scan.state() == "Success");
    let shown = scan.map(|scan| json!({ report_type(call): scan.course.report.json() }));
    Response::json(200, &shown.unwrap_or_else(|| json!({})))
}

pub(crate) fn project_scanner(state: &mut State, _: &Call) -> Response {
    if state.scans.course.is_none() {
        return Response::json(200, &json!({}));
    }
    let shown = json!({
        "uuid": SCANNER, "name": "Trivy", "url": "http://trivy-adapter:8080", "adapter": "Trivy",
        "vendor": "Aqua Security", "version": "v0.61.0", "health": "healthy", "is_default": true, "disabled": false,
    });
    Response::json(200, &shown)
}

pub(crate) fn metadata(state: &mut State, call: &Call) -> Response {
    if call.part("registration_id") != SCANNER {
        return not_found("scanner");
    }
    let mut properties = json!({ "harbor.scanner-adapter/scanner-type": "os-package-vulnerability" });
    if let Some(time) = &state.scans.database_updated_at {
        properties["harbor.scanner-adapter/vulnerability-database-updated-at"] = time.clone().into();
    }
    let capability = json!({ "type": "vulnerability", "consumes_mime_types": [], "produces_mime_types": REPORT_TYPES });
    let scanner = Report::clean().scanner().clone();
    let shown = json!({ "scanner": scanner, "capabilities": [capability], "properties": properties });
    Response::json(200, &shown)
}
