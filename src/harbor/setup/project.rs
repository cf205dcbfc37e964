//! Projects with their flags and quotas, and the labels of a project.

use crate::harbor::Error;
use crate::harbor::HarborRequest;
use crate::harbor::artifact::Label;
use crate::harbor::error::harmless;
use crate::harbor::project::HarborProject;
use crate::harbor::setup::HarborSetup;
use crate::harbor::setup::ProjectSetup;
use crate::harbor::setup::SetupRun;
use crate::harbor::setup::StepState;
use crate::oci::registry::HarborRefusal;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// Colour of new labels in Harbor's pages.
const COLOR: &str = "#48960C";

/// `Quota` of the API, as far as it is needed.
#[derive(Deserialize)]
struct Quota {
    id: i64,
    #[serde(default)]
    hard: BTreeMap<String, i64>,
}

/// Harbor's word for a flag that is off.
const OFF: &str = "false";

/// Flags of a project; in Harbor's API all values are text.
pub(super) type Flags = BTreeMap<&'static str, String>;

/// Returns the flags of the staging project, all off. Signing and scanning tools must see every image at once: content
/// trust and the vulnerability rule answer 412 to anyone who pulls an image that is not signed or scanned yet
/// (`src/server/middleware/{contenttrust,vulnerable}`).
pub(super) fn staging_flags() -> Flags {
    let names = [
        "public",
        "auto_scan",
        // Harbor's own SBOM would delete ours (`src/pkg/scan/sbom/sbom.go`)
        "auto_sbom_generation",
        "prevent_vul",
        "enable_content_trust",
        "enable_content_trust_cosign",
    ];
    names.map(|name| (name, OFF.to_owned())).into()
}

/// Returns flags with which only signed images without severe vulnerabilities are served.
pub(super) fn release_flags(wanted: &HarborSetup) -> Flags {
    let mut flags = staging_flags();

    // who may see the release project is the organisation's business
    flags.remove("public");
    flags.insert("prevent_vul", wanted.withhold.is_some().to_string());
    flags.insert("enable_content_trust_cosign", wanted.signed.to_string());

    if let Some(severity) = &wanted.withhold {
        // the project's own list counts, not the system's
        flags.insert("reuse_sys_cve_allowlist", OFF.to_owned());
        flags.insert("severity", severity.word().to_owned());
    }
    flags
}

/// Returns the flags that differ, and how, in words. A flag that was never set is off, except that of the allow-list.
fn differences(found: &HarborProject, wanted: &Flags) -> (Flags, Vec<String>) {
    let (mut different, mut words) = (Flags::new(), Vec::new());
    for (name, value) in wanted {
        let unset = if *name == "reuse_sys_cve_allowlist" { "true" } else { OFF };
        let present = found.flag(name).unwrap_or(unset);
        if present != value {
            words.push(format!("{name}: {} → {value}", harmless(present, 40)));
            different.insert(name, value.clone());
        }
    }
    (different, words)
}

impl SetupRun<'_, '_> {
    /// Sets up a project; `None` when it does not exist afterwards, or cannot be read.
    pub(super) async fn project(
        &mut self,
        project: &ProjectSetup,
        flags: &Flags,
    ) -> Result<Option<HarborProject>, Error> {
        let name = project.name.as_str();
        let what = format!("project `{name}`");
        let Some(found) = self.find(name, &what).await? else { return Ok(None) };
        let Some(found) = found else { return self.create_project(project, flags, &what).await };

        let (mut different, words) = differences(&found, flags);
        if different.is_empty() {
            self.step(&*what, StepState::Exists);
        } else {
            // Harbor requires this one flag in every change of a project
            different.entry("public").or_insert_with(|| found.flag("public").unwrap_or(OFF).to_owned());
            let request =
                HarborRequest::put(format!("change {what}"), ["projects", name]).body(json!({"metadata": different}));
            self.act(&what, request, Some(words.join(", "))).await?;
        }

        self.quota(project, &found).await?;
        Ok(Some(found))
    }

    /// Creates a project; `None` when it does not exist afterwards.
    async fn create_project(
        &mut self,
        project: &ProjectSetup,
        flags: &Flags,
        what: &str,
    ) -> Result<Option<HarborProject>, Error> {
        let mut flags = flags.clone();
        flags.entry("public").or_insert_with(|| OFF.to_owned());
        let mut body = json!({"project_name": project.name, "metadata": flags});
        if let Some(bytes) = project.storage {
            body["storage_limit"] = bytes.into();
        }
        let request = HarborRequest::post(format!("create {what}"), ["projects"]).body(body);
        let is_there = self.act(what, request, None).await?;
        if !is_there {
            return Ok(None);
        }

        // its identifier is needed for everything that follows
        let found = self.find(&project.name, what).await?.flatten();
        if let Some(found) = &found {
            // Harbor honours the limit in the request above for administrators only
            self.quota(project, found).await?;
        }
        Ok(found)
    }

    /// Looks a project up; the outer `None` when the account has no right to.
    async fn find(&mut self, name: &str, what: &str) -> Result<Option<Option<HarborProject>>, Error> {
        let found = match self.harbor.project(name).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Known { cause: HarborRefusal::NoProject, .. }) => Ok(None),
            Err(error) => Err(error),
        };
        self.look(what, found).await
    }

    /// Sets up the quota of a project.
    async fn quota(&mut self, project: &ProjectSetup, found: &HarborProject) -> Result<(), Error> {
        let Some(wanted) = project.storage else { return Ok(()) };
        let what = format!("quota of project `{}`", project.name);
        let identifier = found.project_id.to_string();
        let list = self.harbor.list(|| {
            let request = HarborRequest::get(format!("read {what}"), ["quotas"]);
            request.query("reference", "project").query("reference_id", &identifier)
        });
        let quotas = list.await;
        let Some(quotas) = self.look(&what, quotas).await? else { return Ok(()) };

        // an administrator can switch off quotas for the whole Harbor
        let Some(quota) = quotas.first() else {
            let remedy = "Harbor shows no quota for it; quotas may be switched off".to_owned();
            self.step(what, StepState::Left { remedy });
            return Ok(());
        };

        let Quota { id, hard } = quota;
        match hard.get("storage") {
            Some(present) if *present == wanted => self.step(what, StepState::Exists),
            present => {
                let present = present.map_or("none".to_owned(), ToString::to_string);
                let change = format!("{present} → {wanted} bytes");
                let request = HarborRequest::put(format!("change {what}"), ["quotas", &id.to_string()]);
                self.act(&what, request.body(json!({"hard": {"storage": wanted}})), Some(change)).await?;
            }
        }
        Ok(())
    }

    /// Sets up the labels of a project.
    pub(super) async fn labels(
        &mut self,
        project: &str,
        found: Option<&HarborProject>,
        labels: &[String],
    ) -> Result<(), Error> {
        if labels.is_empty() {
            return Ok(());
        }
        let steps: Vec<String> = labels.iter().map(|label| format!("label `{label}` of project `{project}`")).collect();
        let Some(found) = found else {
            self.after_project(steps, project);
            return Ok(());
        };

        let identifier = found.project_id.to_string();
        let action = format!("read the labels of project `{project}`");
        let list = self
            .harbor
            .list(|| HarborRequest::get(&action, ["labels"]).query("scope", "p").query("project_id", &identifier));
        let present: Result<Vec<Label>, Error> = list.await;
        let Some(present) = self.look(&format!("labels of project `{project}`"), present).await? else { return Ok(()) };

        for (label, what) in labels.iter().zip(steps) {
            if present.iter().any(|existing| existing.name == *label) {
                self.step(what, StepState::Exists);
                continue;
            }
            // scope `p`: a label of this project only
            let body: Value = json!({"name": label, "scope": "p", "project_id": found.project_id, "color": COLOR});
            let request = HarborRequest::post(format!("create {what}"), ["labels"]).body(body);
            self.act(&what, request, None).await?;
        }
        Ok(())
    }

    /// Records the steps that cannot be taken because their project does not exist.
    pub(super) fn after_project(&mut self, things: impl IntoIterator<Item = String>, project: &str) {
        for what in things {
            let state = if self.dry {
                StepState::WouldCreate
            } else {
                StepState::Left { remedy: format!("project `{project}` has to be there first") }
            };
            self.step(what, state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_flags() {
        let found: HarborProject = serde_json::from_str(
            r#"{"project_id":2,"name":"x","metadata":{"public":"true","auto_scan":null,"prevent_vul":"false","retention_id":"7"}}"#,
        )
        .unwrap();
        let (different, words) = differences(&found, &staging_flags());
        assert_eq!(words, ["public: true → false"]);
        assert_eq!(different, Flags::from([("public", "false".to_owned())]));
        assert_eq!(found.flag("retention_id"), Some("7"));
        let bare: HarborProject = serde_json::from_str(r#"{"project_id":2}"#).unwrap();
        assert!(differences(&bare, &staging_flags()).1.is_empty());
    }
}
