//! What Harbor says of an image, its artifact up to a zero byte and then the report: read within bounds, and no report that
//! contradicts itself or is of another image lets anything through. The same bytes as the event of a web hook.
#![no_main]

use sockel::gate;
use sockel::gate::GatePolicy;
use sockel::gate::ScanFacts;
use sockel::harbor::HarborArtifact;
use sockel::harbor::report;
use sockel::harbor::webhook::ScanEvent;
use sockel::values::Digest;
use sockel::values::Epoch;

const NOW: Epoch = Epoch(1_796_100_000);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = ScanEvent::parse(bytes) {
        assert!(is_short(&event.operator) && event.repository.as_deref().is_none_or(is_short));
    }
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (artifact, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(artifact) = serde_json::from_slice::<HarborArtifact>(artifact) else { return };
    let Some(overview) = artifact.overview() else { return };
    let digest = Digest::of(b"");
    let Ok(report) = report::read(body, digest, overview, Some(Epoch(NOW.0 - 3600))) else { return };
    for finding in &report.findings {
        assert!(is_short(&finding.vulnerability) && is_short(&finding.package) && is_short(&finding.version));
        assert!(!finding.to_string().is_empty());
    }
    let mut facts = ScanFacts {
        digest,
        pushed_at: None,
        distribution: "debian".to_owned(),
        packages: 5,
        has_debian_version: true,
        has_lsb_release: false,
        has_package_database: true,
    };
    let strict = GatePolicy::usual();
    let mild = GatePolicy {
        unrated_pass: true,
        nothing_found_pass: true,
        unknown_database_age_pass: true,
        ..GatePolicy::usual()
    };
    for policy in [strict, mild] {
        let verdict = gate::judge(&report, &facts, &policy, NOW);
        let is_doubtful =
            report.status != "Success" || !report.contradictions().is_empty() || !report.foreign.is_empty();
        assert!(!(verdict.is_pass() && is_doubtful), "{report:?}");
        let listed = verdict.findings.len() + verdict.exempted.len() + verdict.tolerated;
        assert_eq!(listed, report.findings.len());
        facts.digest = Digest::of(b"another image");
        assert!(!gate::judge(&report, &facts, &policy, NOW).is_pass());
        facts.digest = digest;
    }
});

fn is_short(text: &str) -> bool {
    text.chars().count() <= 256 && !text.chars().any(char::is_control)
}
