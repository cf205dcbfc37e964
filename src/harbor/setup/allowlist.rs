//! The release project's CVE allow-list: the gate's exemptions, as far as Harbor can express them.
//!
//! Harbor's list has no packages, and one expiry for all of its entries. So an exemption for one package covers all
//! packages there (the gate stays stricter), and the list expires with its first exemption: then the setup has to run
//! again.

use crate::gate::Exemption;
use crate::harbor::Error;
use crate::harbor::HarborRequest;
use crate::harbor::project::Allowlist;
use crate::harbor::project::HarborProject;
use crate::harbor::setup::SetupRun;
use crate::harbor::setup::StepState;
use crate::sys::clock;
use crate::values::Epoch;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;

/// The content of a list, in comparable form.
#[derive(Debug, Default, PartialEq, Eq)]
struct AllowlistEntries {
    /// Identifiers of vulnerabilities.
    names: BTreeSet<String>,
    /// When the list expires, in seconds since 1970.
    expires: Option<i64>,
}

impl Allowlist {
    /// Returns the content; Harbor writes 0 or nothing for a list that never expires.
    fn entries(&self) -> AllowlistEntries {
        let names = self.items.iter().flatten().map(|item| item.cve_id.clone()).collect();
        AllowlistEntries { names, expires: self.expires_at.filter(|seconds| *seconds > 0) }
    }
}

impl AllowlistEntries {
    /// Returns the entries for exemptions that are not expired.
    fn of(exemptions: &[Exemption], now: Epoch) -> Self {
        let mut entries = Self::default();
        for exemption in exemptions.iter().filter(|exemption| !exemption.is_expired(now)) {
            entries.names.insert(exemption.vulnerability.clone());
            // the earliest end: an exemption must not last longer in Harbor than at the gate
            let earliest = entries.expires.unwrap_or(i64::MAX).min(exemption.terms.expires.0);
            entries.expires = Some(earliest);
        }
        entries
    }

    /// Returns the list as Harbor takes it.
    fn body(&self) -> Value {
        let items: Vec<Value> = self.names.iter().map(|name| json!({"cve_id": name})).collect();
        json!({"cve_allowlist": {"items": items, "expires_at": self.expires}})
    }
}

impl SetupRun<'_, '_> {
    /// Sets up the list.
    pub(super) async fn allowlist(
        &mut self,
        project: &str,
        found: Option<&HarborProject>,
        exemptions: &[Exemption],
    ) -> Result<(), Error> {
        let what = format!("CVE allow-list of project `{project}`");
        let wanted = AllowlistEntries::of(exemptions, clock::now());
        let Some(found) = found else {
            if !wanted.names.is_empty() {
                self.after_project([what], project);
            }
            return Ok(());
        };

        // the expiry of an empty list does not matter
        let present = found.cve_allowlist.as_ref().map(Allowlist::entries).unwrap_or_default();
        if present == wanted || (present.names.is_empty() && wanted.names.is_empty()) {
            self.step(what, StepState::Exists);
            return Ok(());
        }

        let end = wanted.expires.map_or_else(String::new, |end| format!(", until {}", Epoch(end)));
        let change = format!("{} → {} identifiers{end}", present.names.len(), wanted.names.len());
        // Harbor requires this one flag in every change of a project
        let mut body = wanted.body();
        body["metadata"] = json!({"public": found.flag("public").unwrap_or("false")});
        let request = HarborRequest::put(format!("change {what}"), ["projects", project]).body(body);
        self.act(&what, request, Some(change)).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::WaiverTerms;

    #[test]
    fn ends_with_the_first() {
        let exemption = |vulnerability: &str, expires: i64| Exemption {
            vulnerability: vulnerability.to_owned(),
            package: Some("a".to_owned()),
            terms: WaiverTerms { reason: "x".to_owned(), agreed_by: None, expires: Epoch(expires) },
        };
        let list = [exemption("CVE-1-1", 30), exemption("CVE-1-2", 20), exemption("CVE-1-3", 10)];
        let entries = AllowlistEntries::of(&list, Epoch(10));
        let names = BTreeSet::from(["CVE-1-1".to_owned(), "CVE-1-2".to_owned()]);
        assert_eq!(entries, AllowlistEntries { names, expires: Some(20) });
        let text = r#"{"id":1,"project_id":2,"expires_at":20,"items":[{"cve_id":"CVE-1-2"},{"cve_id":"CVE-1-1"}]}"#;
        assert_eq!(serde_json::from_str::<Allowlist>(text).unwrap().entries(), entries);
        assert_eq!(
            serde_json::from_value::<Allowlist>(entries.body()["cve_allowlist"].clone()).unwrap().entries(),
            entries
        );
        assert_eq!(AllowlistEntries::of(&list, Epoch(30)), AllowlistEntries::default());
    }
}
