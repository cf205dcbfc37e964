//! Projects as Harbor describes them, and what an account may do in them.

use crate::harbor::Error;
use crate::harbor::Harbor;
use crate::harbor::HarborRequest;
use crate::harbor::rights::RightUse;
use crate::oci::registry::HarborRefusal;
use crate::sys::http::Method;
use crate::values::Epoch;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// `Project` of the API, as far as it is needed.
#[derive(Debug, Deserialize)]
pub struct HarborProject {
    pub(crate) project_id: i64,
    #[serde(default)]
    metadata: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    pub(crate) cve_allowlist: Option<Allowlist>,
}

/// `CVEAllowlist` of the API.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Allowlist {
    #[serde(default)]
    pub(crate) items: Option<Vec<AllowedVulnerability>>,
    #[serde(default)]
    pub(crate) expires_at: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AllowedVulnerability {
    pub(crate) cve_id: String,
}

/// `ProjectSummary` of the API, as far as it is needed.
#[derive(Debug, Deserialize)]
struct ProjectSummary {
    #[serde(default)]
    quota: Option<QuotaFigures>,
}

#[derive(Debug, Deserialize)]
struct QuotaFigures {
    #[serde(default)]
    hard: BTreeMap<String, i64>,
    #[serde(default)]
    used: BTreeMap<String, i64>,
}

/// `Permission` of the API: a resource with its path, and an action.
#[derive(Debug, Deserialize)]
struct OwnPermission {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    action: String,
}

/// The rights of an account in a project.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnRights(BTreeSet<[String; 2]>);

impl OwnRights {
    /// Returns those of the needed rights that are not held.
    #[must_use]
    pub fn lacking<'r>(&self, needed: &'r [RightUse]) -> Vec<&'r RightUse> {
        let has = |right: &RightUse| self.0.contains(&[right.resource.to_owned(), right.action.to_owned()]);
        needed.iter().filter(|right| !has(right)).collect()
    }

    /// Reads permissions: `/project/3/artifact` is the resource `artifact`, and `/project/3` itself is `project`.
    fn of(permissions: Vec<OwnPermission>, project: i64) -> Self {
        let path = scope(project);
        let mut rights = BTreeSet::new();
        for OwnPermission { resource, action } in permissions {
            let resource = match resource.strip_prefix(&path) {
                Some("") => "project",
                Some(rest) if rest.starts_with('/') => &rest[1..],
                _ => continue,
            };
            rights.insert([resource.to_owned(), action]);
        }
        Self(rights)
    }
}

/// Returns a project as the scope of rights (`src/common/rbac/project/namespace.go`).
fn scope(project: i64) -> String {
    format!("/project/{project}")
}

/// How many bytes of a project's quota are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageRoom {
    /// The quota.
    pub limit: u64,
    /// What is used of it.
    pub used: u64,
}

impl StorageRoom {
    /// Returns the bytes that are free.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl HarborProject {
    /// Returns the severity from which Harbor refuses to serve images of the project, in its own word; `None` where it
    /// serves all.
    #[must_use]
    pub fn withholds(&self) -> Option<&str> {
        // `low` unless set (`src/pkg/project/models`)
        (self.flag("prevent_vul") == Some("true")).then(|| self.flag("severity").unwrap_or("low"))
    }

    /// Returns the vulnerabilities that Harbor serves images with nevertheless. Where the system's list counts instead of
    /// the project's, that is none that this project knows of.
    #[must_use]
    pub fn allowed(&self, now: Epoch) -> BTreeSet<String> {
        let Some(list) = &self.cve_allowlist else { return BTreeSet::new() };
        let is_own = self.flag("reuse_sys_cve_allowlist") != Some("true");
        // 0 is never
        let is_valid = list.expires_at.is_none_or(|end| end <= 0 || end > now.0);
        let items = list.items.iter().flatten().filter(|_| is_own && is_valid);
        items.map(|item| item.cve_id.clone()).collect()
    }

    /// Returns the value of a flag.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        self.metadata.as_ref()?.get(name)?.as_deref()
    }
}

impl Harbor<'_> {
    /// Reads a project.
    ///
    /// # Errors
    /// [`Error::Known`] when there is none of this name, [`Error::NotPermitted`] when the account may not see it, and
    /// those of every call.
    pub async fn project(&self, name: &str) -> Result<HarborProject, Error> {
        let action = format!("read project `{name}`");
        let unknown = |message: String| {
            let (action, cause) = (action.clone(), HarborRefusal::NoProject);
            Error::Known { action, cause, message }
        };
        match self.call(HarborRequest::get(&action, ["projects", name])).await {
            Ok(reply) => reply.json(),
            Err(Error::NotFound { message, .. }) => Err(unknown(message)),
            // Harbor answers 403 for a project without rights, whether it exists or not
            Err(forbidden @ Error::NotPermitted { .. }) => match self.has_project(name).await {
                Ok(false) => Err(unknown(String::new())),
                _ => Err(forbidden),
            },
            Err(error) => Err(error),
        }
    }

    /// Tells whether there is a project of this name. Every account may ask.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn has_project(&self, name: &str) -> Result<bool, Error> {
        // Harbor answers HEAD without looking at rights, and says nothing but whether the project exists
        let action = format!("look up project `{name}`");
        let call = HarborRequest::new(Method::HEAD, action, ["projects"]).query("project_name", name);
        match self.call(call).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Returns the rights of the account in a project, by the project's number; robots may ask as well. Rights on the
    /// system cannot be asked for: Harbor tells robots that they have none (`src/common/rbac/system/policies.go` names
    /// resources without the system's path).
    ///
    /// # Errors
    /// Those of every call.
    pub async fn rights(&self, project: i64) -> Result<OwnRights, Error> {
        let call = HarborRequest::get("ask for the account's rights", ["users", "current", "permissions"]);
        // some versions write `null` for no rights at all
        let permissions: Option<Vec<OwnPermission>> = self.call(call.query("scope", scope(project))).await?.json()?;
        Ok(OwnRights::of(permissions.unwrap_or_default(), project))
    }

    /// Returns how full a project is; `None` without a limit, or where the account may not know.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn room(&self, project: &str) -> Result<Option<StorageRoom>, Error> {
        let action = format!("read the quota of project `{project}`");
        let summary: ProjectSummary =
            self.call(HarborRequest::get(action, ["projects", project, "summary"])).await?.json()?;

        let Some(QuotaFigures { hard, used }) = summary.quota else { return Ok(None) };
        // -1 is no limit
        let Some(limit) = hard.get("storage").and_then(|bytes| u64::try_from(*bytes).ok()) else { return Ok(None) };
        let used = used.get("storage").and_then(|bytes| u64::try_from(*bytes).ok()).unwrap_or(0);
        Ok(Some(StorageRoom { limit, used }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harbor::rights;

    #[test]
    fn reads_rights() {
        let text = r#"[{"resource":"/project/3","action":"read"},{"resource":"/project/3/artifact","action":"read"},
            {"resource":"/project/3/tag","action":"delete"},{"resource":"/project/33/tag","action":"create"},{"resource":"/system/label","action":"list"},{}]"#;
        let own = OwnRights::of(serde_json::from_str(text).unwrap(), 3);
        assert!(own.lacking(rights::RELEASE.staging).is_empty());
        let lacking: Vec<&str> = own.lacking(rights::RELEASE.release).iter().map(|right| right.resource).collect();
        assert_eq!(lacking, ["quota", "artifact", "tag", "repository", "repository", "label", "artifact-label"]);
    }
}
