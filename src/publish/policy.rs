//! What `registry.yaml` says about the gate and about Harbor's projects, in the words of those who act on it.

use crate::publish::gate::Exemption;
use crate::publish::gate::Policy;
use crate::publish::gate::Severity;
use crate::publish::harbor::scan::Patience;
use crate::publish::harbor::setup::Project;
use crate::publish::harbor::setup::Robots;
use crate::publish::harbor::setup::Wanted;
use crate::publish::harbor::setup::Webhook;
use crate::recipe::Definition;
use crate::recipe::ExemptionEntry;
use crate::recipe::GateFile;
use crate::recipe::Projects;
use crate::recipe::RegistryFile;
use std::collections::BTreeSet;
use std::time::Duration;

/// How many images of a repository staging keeps, unless said otherwise.
const KEEP: u32 = 10;

/// For how many days robots are valid, unless said otherwise.
const ROBOT_DAYS: i64 = 90;

/// What the names of our robots begin with, unless said otherwise: they are of the whole Harbor, so two registry files
/// need two names.
const ROBOT: &str = "sockel";

/// Name of our webhook in Harbor.
const WEBHOOK: &str = "sockel";

/// What Harbor puts before robots' names (setting `robot_name_prefix`), unless changed there.
const ROBOT_PREFIX: &str = "robot$";

/// Returns the gate's policy.
#[must_use]
pub fn policy(file: &GateFile) -> Policy {
    let usual = Policy::usual();
    let exemption = |entry: &ExemptionEntry| Exemption {
        vulnerability: entry.vulnerability.clone(),
        package: entry.package.clone(),
        reason: entry.reason.clone(),
        expires: entry.expires,
    };
    let hours = |seconds: u64| u32::try_from(seconds.div_ceil(3600)).unwrap_or(u32::MAX);
    Policy {
        severity: file.severity.as_deref().map_or(usual.severity, Severity::of),
        fixable_only: file.fixable_only,
        unrated_pass: file.unrated_pass,
        max_database_age_hours: file.database_age.map_or(usual.max_database_age_hours, hours),
        unknown_database_age_pass: file.unknown_database_age_pass,
        nothing_found_pass: file.nothing_found_pass,
        exemptions: file.exemptions.iter().map(exemption).collect(),
    }
}

/// Returns how long scans are waited for.
#[must_use]
pub fn patience(file: &GateFile) -> Patience {
    let usual = Patience::usual();
    Patience { limit: file.patience.map_or(usual.limit, Duration::from_secs), ..usual }
}

/// Returns what the two projects should look like for these images.
#[must_use]
pub fn wanted(projects: &Projects, file: &RegistryFile, definitions: &[Definition]) -> Wanted {
    let exemptions = policy(&file.gate).exemptions;
    let file = &file.setup;
    let project = |name: &String, storage: Option<u64>| Project {
        name: name.clone(),
        storage: storage.and_then(|bytes| i64::try_from(bytes).ok()),
    };
    let patterns = definitions.iter().flat_map(|definition| &definition.publish.tags);
    let moving: BTreeSet<String> =
        patterns.filter(|pattern| is_moving(pattern)).map(|pattern| pattern.replace("{version}", "*")).collect();
    let days = |days: u64| i64::try_from(days).unwrap_or(i64::MAX);
    Wanted {
        staging: project(&projects.staging, file.staging_storage),
        release: project(&projects.release, file.release_storage),
        withhold: file.withhold.as_deref().map(Severity::of),
        exemptions,
        signed: file.signed,
        moving: moving.into_iter().collect(),
        keep: file.keep.and_then(|keep| u32::try_from(keep).ok()).unwrap_or(KEEP),
        labels: file.labels.clone(),
        robots: file.robots.as_ref().map(|keep| Robots {
            pipeline: format!("{}-pipeline", file.robot_name.as_deref().unwrap_or(ROBOT)),
            release: format!("{}-freigabe", file.robot_name.as_deref().unwrap_or(ROBOT)),
            days: file.robot_days.map_or(ROBOT_DAYS, days),
            keep: keep.clone(),
            prefix: ROBOT_PREFIX.to_owned(),
        }),
        webhook: file.webhook.as_ref().map(|address| Webhook {
            name: WEBHOOK.to_owned(),
            address: address.clone(),
            authorization: None,
        }),
    }
}

/// Tells whether a tag follows the newest release. One that is filled in with `{fixed}` names one lock for ever, one with
/// the date one state of the archives.
#[must_use]
pub fn is_moving(pattern: &str) -> bool {
    !pattern.contains("{date}") && !pattern.contains("{fixed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_about_the_gate_is_the_strict_one() {
        let policy = policy(&GateFile::default());
        assert_eq!(policy, Policy::usual());
        assert!(!policy.unknown_database_age_pass && !policy.unrated_pass && !policy.fixable_only);
    }

    #[test]
    fn tags_that_name_a_state_never_move() {
        assert!(is_moving("11-jre25") && is_moving("{version}"));
        assert!(!is_moving("{version}-{date}") && !is_moving("{fixed}") && !is_moving("{fixed}-debian"));
    }
}
