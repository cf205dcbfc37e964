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

/// A vulnerability report as Harbor gives it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    scanner: Value,
    /// `None`: when the scan began.
    generated_at: Option<String>,
    /// `None`: the scanned one.
    digest: Option<String>,
    vulnerabilities: Vec<Value>,
}

impl Report {
    /// Finds nothing: as good a report as one of a scanner that did not know the system.
    pub(crate) fn clean() -> Self {
        let scanner = json!({ "name": "Trivy", "vendor": "Aqua Security", "version": "v0.61.0" });
        Self { scanner, generated_at: None, digest: None, vulnerabilities: Vec::new() }
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

    /// Says that it is about another artifact.
    pub(crate) fn about(mut self, digest: &str) -> Self {
        self.digest = Some(digest.to_owned());
        self
    }

    /// Fixes what was left open when a scan begins.
    pub(crate) fn begun(mut self, digest: &str) -> Self {
        self.generated_at.get_or_insert_with(|| clock::now().to_string());
        let digest = self.digest.clone().unwrap_or_else(|| digest.to_owned());
        for vulnerability in self.vulnerabilities.iter_mut().filter(|one| one.is_object()) {
            vulnerability["artifact_digests"] = json!([digest]);
        }
        self
    }

    pub(crate) fn scanner(&self) -> &Value {
        &self.scanner
    }

    /// Returns the worst severity.
    pub(crate) fn severity(&self) -> &str {
        let severities = self.vulnerabilities.iter().filter_map(|one| one["severity"].as_str());
        severities.max_by_key(|severity| rank(severity)).unwrap_or("None")
    }

    /// Tells whether something is as bad as this severity, or worse.
    pub(crate) fn reaches(&self, severity: &str) -> bool {
        rank(self.severity()) >= rank(severity)
    }

    /// Returns what the artifact's overview says of it.
    pub(crate) fn summary(&self) -> Value {
        let mut counts = BTreeMap::<&str, usize>::new();
        for severity in self.vulnerabilities.iter().filter_map(|one| one["severity"].as_str()) {
            *counts.entry(severity).or_default() += 1;
        }
        let is_fixable = |one: &&Value| one["fix_version"].as_str().is_some_and(|fix| !fix.is_empty());
        let fixable = self.vulnerabilities.iter().filter(is_fixable).count();
        json!({ "total": self.vulnerabilities.len(), "fixable": fixable, "summary": counts })
    }

    /// Returns the report as the addition shows it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "generated_at": self.generated_at, "scanner": self.scanner, "severity": self.severity(),
            "vulnerabilities": self.vulnerabilities,
        })
    }
}
