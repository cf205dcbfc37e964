//! The release project's CVE allow-list: the gate's exemptions, as far as Harbor can express them.
//!
//! Harbor knows no packages and one end for the whole list. So an exemption for one package holds for all of them here
//! (the gate stays stricter), and the list ends with the exemption that ends first: then this has to run again.

use crate::gate::Exemption;
use crate::harbor::Error;
use crate::harbor::HarborRequest;
use crate::harbor::setup::SetupRun;
use crate::harbor::setup::StepState;
use crate::harbor::setup::project::FoundProject;
use crate::sys::clock;
use crate::values::Epoch;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;

/// `CVEAllowlist` of the API.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Allowlist {
    #[serde(default)]
    items: Option<Vec<AllowedVulnerability>>,
    #[serde(default)]
    expires_at: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct AllowedVulnerability {
    cve_id: String,
}

/// Identifiers, and when they end.
type Entries = (BTreeSet<String>, Option<i64>);

impl Allowlist {
    fn entries(&self) -> Entries {
        let names = self.items.iter().flatten().map(|item| item.cve_id.clone()).collect();
        (names, self.expires_at.filter(|seconds| *seconds > 0))
    }
}

/// Returns the list for exemptions that hold now.
fn wanted(exemptions: &[Exemption], now: Epoch) -> Entries {
    let holding = || exemptions.iter().filter(|exemption| !exemption.is_expired(now));
    let names = holding().map(|exemption| exemption.vulnerability.clone()).collect();
    (names, holding().map(|exemption| exemption.expires.0).min())
}

fn body((names, end): &Entries) -> Value {
    let items: Vec<Value> = names.iter().map(|name| json!({"cve_id": name})).collect();
    json!({"cve_allowlist": {"items": items, "expires_at": end}})
}

impl SetupRun<'_, '_> {
    /// Looks after the list.
    pub(super) async fn allowlist(
        &mut self,
        project: &str,
        found: Option<&FoundProject>,
        exemptions: &[Exemption],
    ) -> Result<(), Error> {
        let what = format!("CVE allow-list of project `{project}`");
        let wanted = wanted(exemptions, clock::now());
        let Some(found) = found else {
            if !wanted.0.is_empty() {
                self.after_project([what], project);
            }
            return Ok(());
        };
        let present = found.cve_allowlist.as_ref().map(Allowlist::entries).unwrap_or_default();
        if present == wanted || (present.0.is_empty() && wanted.0.is_empty()) {
            self.step(what, StepState::Exists);
            return Ok(());
        }
        let count = |(names, _): &Entries| names.len();
        let end = wanted.1.map_or_else(String::new, |end| format!(", until {}", Epoch(end)));
        let change = format!("{} → {} identifiers{end}", count(&present), count(&wanted));
        let mut body = body(&wanted);
        body["metadata"] = json!({"public": found.flag("public").unwrap_or("false")});
        let ask = HarborRequest::put(format!("change {what}"), ["projects", project]).body(body);
        self.act(&what, ask, Some(change)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_the_first() {
        let exemption = |vulnerability: &str, expires: i64| Exemption {
            vulnerability: vulnerability.to_owned(),
            package: Some("a".to_owned()),
            reason: "x".to_owned(),
            expires: Epoch(expires),
        };
        let list = [exemption("CVE-1-1", 30), exemption("CVE-1-2", 20), exemption("CVE-1-3", 10)];
        let entries = wanted(&list, Epoch(10));
        assert_eq!(entries, (BTreeSet::from(["CVE-1-1".to_owned(), "CVE-1-2".to_owned()]), Some(20)));
        let text = r#"{"id":1,"project_id":2,"expires_at":20,"items":[{"cve_id":"CVE-1-2"},{"cve_id":"CVE-1-1"}]}"#;
        assert_eq!(serde_json::from_str::<Allowlist>(text).unwrap().entries(), entries);
        assert_eq!(
            serde_json::from_value::<Allowlist>(body(&entries)["cve_allowlist"].clone()).unwrap().entries(),
            entries
        );
        assert_eq!(wanted(&list, Epoch(30)), (BTreeSet::new(), None));
    }
}
