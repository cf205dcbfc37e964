//! The key `gate` of the registry file: what may be released, and how long to wait for a scan.

use crate::gate::Exemption;
use crate::gate::GatePolicy;
use crate::gate::Severity;
use crate::harbor::scan::ScanPatience;
use crate::recipe::level::maybe;
use crate::recipe::level::seconds;
use crate::recipe::level::text;
use crate::recipe::parse::YamlNode;
use crate::recipe::request::waiver_terms;
use crate::settings::is_true;
use std::time::Duration;

/// Reads the gate's policy. A missing key means the strict choice.
pub(crate) fn policy(node: &YamlNode) -> GatePolicy {
    // the usual policy is the strict one
    let usual = GatePolicy::usual();
    let exemptions = node.get("exemptions").map(YamlNode::items).unwrap_or_default();
    GatePolicy {
        severity: maybe(node.get("severity")).as_deref().map_or(usual.severity, Severity::of),
        fixable_only: is_true(node.get("fixable-only")),
        unrated_pass: is_true(node.get("unrated-pass")),
        max_database_age_hours: seconds(node.get("database-age")).map_or(usual.max_database_age_hours, hours),
        unknown_database_age_pass: is_true(node.get("unknown-database-age-pass")),
        nothing_found_pass: is_true(node.get("nothing-found-pass")),
        exemptions: exemptions.iter().filter_map(exemption).collect(),
    }
}

/// Reads how long to wait for a scan.
pub(crate) fn patience(node: &YamlNode) -> ScanPatience {
    let usual = ScanPatience::usual();
    ScanPatience { limit: seconds(node.get("patience")).map_or(usual.limit, Duration::from_secs), ..usual }
}

/// Converts to whole hours, rounded up.
fn hours(seconds: u64) -> u32 {
    // a limit beyond every age means that age does not matter
    u32::try_from(seconds.div_ceil(3600)).unwrap_or(u32::MAX)
}

/// Reads an exemption.
fn exemption(node: &YamlNode) -> Option<Exemption> {
    Some(Exemption {
        vulnerability: text(node.get("vulnerability")),
        package: maybe(node.get("package")),
        terms: waiver_terms(node)?,
    })
}
