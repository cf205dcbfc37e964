//! How a scan goes, and what it finds.

use serde_json::Value;
use serde_json::json;
use sockel::sys::clock;
use std::collections::BTreeMap;

/// Returns the place of a severity in Harbor's order; what Harbor does not know is worse than everything.
fn rank(severity: &str) -> usize {
    let order = ["None", "Unknown", "Negligible", "Low", "Medium", "High", "Critical"];
    order.iter().position(|one| one.eq_ignore_ascii_case(severity)).unwrap_or(99)
}

/// What Harbor shows of a scan, poll by poll.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    /// One for every look at the artifact; the last one stays. An empty text: the overview has no entry.
    pub(crate) states: Vec<&'static str>,
    pub(crate) report: Report,
}

impl Course {
    /// Goes through these states, one a poll: `Pending`, `Scheduled`, `Running`, `Success`, `Error`, `Stopped`, or
    /// an empty text where Harbor shows nothing.
    pub(crate) fn new(states: &[&'static str]) -> Self {
        Self { states: states.to_vec(), report: Report::clean() }
    }

    /// Is pending, then running, for so many polls, then there is this report.
    pub(crate) fn success(polls: usize, report: Report) -> Self {
        let waiting = (0..polls).map(|poll| if poll < polls.div_ceil(2) { "Pending" } else { "Running" });
        Self { states: waiting.chain(["Success"]).collect(), report }
    }
}

impl Course {
    /// Is never pending: it runs at once.
    pub(crate) fn running(mut self) -> Self {
        for state in self.states.iter_mut().filter(|state| **state == "Pending") {
            *state = "Running";
        }
        self
    }
}

/// A vulnerability report as a scanner gives it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    scanner: Value,
    /// `None`: when the scan began.
    generated_at: Option<String>,
    /// `None`: that of the worst finding.
    severity: Option<&'static str>,
    vulnerabilities: Vec<Value>,
}

impl Report {
    /// Finds nothing: as good a report as one of a scanner that did not know the system.
    pub(crate) fn silent() -> Self {
        let scanner = json!({ "name": "Trivy", "vendor": "Aqua Security", "version": "v0.61.0" });
        Self { scanner, generated_at: None, severity: None, vulnerabilities: Vec::new() }
    }

    /// Finds what every image has and nobody will ever fix.
    pub(crate) fn clean() -> Self {
        Self::silent().finding("CVE-2011-3374", "libc6", "Negligible")
    }

    /// Its scanner says nothing about the status of findings.
    pub(crate) fn without_status(mut self) -> Self {
        for finding in &mut self.vulnerabilities {
            finding["status"] = "".into();
        }
        self
    }

    /// Finds something that has no fix.
    pub(crate) fn finding(self, id: &str, package: &str, severity: &str) -> Self {
        self.fixed(id, package, severity, "")
    }

    /// Finds something that is fixed in a version.
    pub(crate) fn fixed(self, id: &str, package: &str, severity: &str, fix: &str) -> Self {
        self.with(json!({
            "id": id, "package": package, "version": "1.0-1", "fix_version": fix, "severity": severity,
            "status": if fix.is_empty() { "affected" } else { "fixed" }, "description": "made up",
            "links": [format!("https://avd.aquasec.com/nvd/{}", id.to_lowercase())], "cwe_ids": ["CWE-787"],
            "preferred_cvss": { "score_v3": 7.5, "score_v2": null, "vector_v3": "", "vector_v2": "" },
            "vendor_attributes": { "CVSS": {} },
        }))
    }

    /// Finds this, as it is.
    pub(crate) fn with(mut self, vulnerability: Value) -> Self {
        self.vulnerabilities.push(vulnerability);
        self
    }

    /// Was made by this scanner.
    pub(crate) fn by(mut self, name: &str, version: &str) -> Self {
        self.scanner = json!({ "name": name, "vendor": "", "version": version });
        self
    }

    /// Says that it was made at this time (RFC 3339).
    pub(crate) fn generated_at(mut self, time: &str) -> Self {
        self.generated_at = Some(time.to_owned());
        self
    }

    /// Calls itself as bad as this, whatever it finds.
    pub(crate) fn calls_itself(mut self, severity: &'static str) -> Self {
        self.severity = Some(severity);
        self
    }

    /// Fixes what was left open when a scan begins.
    pub(crate) fn begun(mut self) -> Self {
        self.generated_at.get_or_insert_with(|| clock::now().to_string());
        self
    }

    pub(crate) fn scanner(&self) -> &Value {
        &self.scanner
    }

    /// Returns the findings as the scanner gave them.
    pub(crate) fn vulnerabilities(&self) -> &[Value] {
        &self.vulnerabilities
    }

    /// Returns the report as the addition shows it, with the findings as Harbor's records have them.
    pub(crate) fn json(&self, records: &[Value]) -> Value {
        let severity = self.severity.unwrap_or_else(|| worst(&self.vulnerabilities));
        json!({
            "generated_at": self.generated_at, "scanner": self.scanner, "severity": severity, "vulnerabilities": records,
        })
    }
}

/// Returns the worst severity of findings.
pub(crate) fn worst(findings: &[Value]) -> &str {
    let severities = findings.iter().filter_map(|one| one["severity"].as_str());
    severities.max_by_key(|severity| rank(severity)).unwrap_or("None")
}

/// Tells whether a severity is as bad as another one, or worse.
pub(crate) fn reaches(severity: &str, threshold: &str) -> bool {
    rank(severity) >= rank(threshold)
}

/// Returns what the artifact's overview says of findings.
pub(crate) fn summary(findings: &[Value]) -> Value {
    let mut counts = BTreeMap::<&str, usize>::new();
    for severity in findings.iter().filter_map(|one| one["severity"].as_str()) {
        *counts.entry(severity).or_default() += 1;
    }
    let is_fixable = |one: &&Value| one["fix_version"].as_str().is_some_and(|fix| !fix.is_empty());
    json!({ "total": findings.len(), "fixable": findings.iter().filter(is_fixable).count(), "summary": counts })
}
