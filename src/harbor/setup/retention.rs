//! What Harbor deletes in the projects that nobody pulls from: in staging all but the newest images, in the project of the
//! shared cache what nobody used for some time.
//!
//! Harbor joins the rules of a policy by "or": an artifact stays if any rule retains it. Rules have no name and no
//! description, so ours are recognised by their form; a policy with any other rule is a person's, and stays as it is.

use crate::harbor::Error;
use crate::harbor::HarborRequest;
use crate::harbor::project::HarborProject;
use crate::harbor::setup::SetupRun;
use crate::harbor::setup::StepState;
use crate::harbor::setup::rules::RuleSelector;
use crate::harbor::setup::rules::repositories;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// When Harbor cleans up: seconds, minutes, hours, … of its cron; daily at two o'clock UTC.
const DAILY: &str = "0 0 2 * * *";

/// Templates of rules (`src/pkg/retention/policy/rule`); each is also the name of its number.
const NEWEST: &str = "latestPushedK";
const ALWAYS: &str = "always";
const PUSHED: &str = "nDaysSinceLastPush";
const PULLED: &str = "nDaysSinceLastPull";

/// Tags of results in the shared cache, and of the signed states of archives that prove locks.
const RESULTS: &str = "{image-*,latest-*}";
const STATES: &str = "state-*";

/// A rule that retains artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RetentionRule {
    template: String,
    /// How many artifacts or days; none for [`ALWAYS`].
    number: Option<u64>,
    /// Pattern of the tags.
    tags: String,
    /// Whether the pattern of repositories says which ones, or which ones not.
    repositories: RepositorySelector,
}

/// The repositories that a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RepositorySelector {
    All,
    Only(String),
    AllBut(String),
}

impl RepositorySelector {
    /// Reads Harbor's words (`src/lib/selector/selectors/doublestar`).
    fn of(decoration: &str, pattern: &str) -> Option<Self> {
        match (decoration, pattern) {
            ("repoMatches", "**") => Some(Self::All),
            ("repoMatches", name) => Some(Self::Only(name.to_owned())),
            ("repoExcludes", name) => Some(Self::AllBut(name.to_owned())),
            _ => None,
        }
    }

    /// Returns Harbor's words.
    fn words(&self) -> [&str; 2] {
        match self {
            Self::All => ["repoMatches", "**"],
            Self::Only(name) => ["repoMatches", name],
            Self::AllBut(name) => ["repoExcludes", name],
        }
    }
}

/// `RetentionPolicy` and `RetentionRule` of the API, as far as they are compared.
#[derive(Debug, Deserialize)]
struct FoundPolicy {
    #[serde(default)]
    rules: Option<Vec<FoundRule>>,
}

#[derive(Debug, Deserialize)]
struct FoundRule {
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    template: String,
    #[serde(default)]
    params: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    tag_selectors: Option<Vec<RuleSelector>>,
    #[serde(default)]
    scope_selectors: Option<BTreeMap<String, Vec<RuleSelector>>>,
}

impl FoundRule {
    /// Returns the rule if it has a form that ours may have, whatever its number.
    fn read(&self) -> Option<RetentionRule> {
        let [tags] = self.tag_selectors.as_deref()? else { return None };
        let [scope] = self.scope_selectors.as_ref()?.get("repository")?.as_slice() else { return None };
        let repositories = RepositorySelector::of(&scope.decoration, &scope.pattern)?;

        let is_ours = tags.decoration == "matches"
            && matches!(
                (self.template.as_str(), tags.pattern.as_str()),
                (NEWEST, "**") | (ALWAYS, "**" | STATES) | (PUSHED | PULLED, RESULTS)
            );
        // Harbor returns numbers as they were sent, some versions as text
        let number = self.params.as_ref().and_then(|params| params.get(&self.template));
        let number = number.and_then(|number| number.as_u64().or_else(|| number.as_str()?.parse().ok()));
        let (template, tags) = (self.template.clone(), tags.pattern.clone());
        is_ours.then_some(RetentionRule { template, number, tags, repositories })
    }
}

impl RetentionRule {
    fn new(template: &str, number: Option<u32>, tags: &str, repositories: RepositorySelector) -> Self {
        let (template, number) = (template.to_owned(), number.map(u64::from));
        Self { template, number, tags: tags.to_owned(), repositories }
    }

    /// Returns the rule as Harbor takes it.
    fn body(&self) -> Value {
        let [decoration, pattern] = self.repositories.words();
        // images of an index and entries that lost their tag count as well
        let extras = json!({"untagged": self.template == NEWEST}).to_string();
        let params = self.number.map_or_else(|| json!({}), |number| json!({self.template.clone(): number}));
        json!({
            "action": "retain",
            "template": self.template,
            "params": params,
            "disabled": false,
            "tag_selectors": [{"kind": "doublestar", "decoration": "matches", "pattern": self.tags, "extras": extras}],
            "scope_selectors": repositories(decoration, pattern),
        })
    }

    /// Says in words what the rule keeps.
    fn words(&self) -> String {
        let number = self.number.map_or_else(|| "some".to_owned(), |number| number.to_string());
        let what = match self.template.as_str() {
            NEWEST => format!("the {number} most recently pushed"),
            PUSHED => format!("what was pushed within {number} days"),
            PULLED => format!("what was pulled within {number} days"),
            _ if self.tags == STATES => "signed states".to_owned(),
            _ => "everything".to_owned(),
        };
        match &self.repositories {
            RepositorySelector::All => format!("{what} of each repository"),
            RepositorySelector::Only(name) => format!("{what} of `{name}`"),
            RepositorySelector::AllBut(name) => format!("{what} of each repository but `{name}`"),
        }
    }
}

/// Returns the rules of the staging project. The shared cache may have a repository in it, whose entries are no images
/// that count: `sockel cache prune --registry` deletes those that nobody needs.
pub(super) fn staging_rules(keep: u32, cache: Option<&str>) -> Vec<RetentionRule> {
    // 0 would delete an image while it is judged
    let keep = Some(keep.max(1));
    match cache {
        None => vec![RetentionRule::new(NEWEST, keep, "**", RepositorySelector::All)],
        Some(cache) => vec![
            RetentionRule::new(NEWEST, keep, "**", RepositorySelector::AllBut(cache.to_owned())),
            RetentionRule::new(ALWAYS, None, "**", RepositorySelector::Only(cache.to_owned())),
        ],
    }
}

/// Returns the rules of a project that has the shared cache alone. States stay until `sockel cache prune --registry` finds
/// that no lock names them: without them locks cannot be proven.
pub(super) fn cache_rules(days: u32) -> Vec<RetentionRule> {
    let days = Some(days.max(1));
    vec![
        RetentionRule::new(PUSHED, days, RESULTS, RepositorySelector::All),
        RetentionRule::new(PULLED, days, RESULTS, RepositorySelector::All),
        RetentionRule::new(ALWAYS, None, STATES, RepositorySelector::All),
    ]
}

/// Says in words what rules keep.
fn words(rules: &[RetentionRule]) -> String {
    rules.iter().map(RetentionRule::words).collect::<Vec<_>>().join("; ")
}

/// Returns a policy as Harbor takes it.
fn policy(project: i64, rules: &[RetentionRule]) -> Value {
    json!({
        "algorithm": "or",
        "rules": rules.iter().map(RetentionRule::body).collect::<Vec<Value>>(),
        "trigger": {"kind": "Schedule", "settings": {"cron": DAILY}},
        "scope": {"level": "project", "ref": project},
    })
}

impl SetupRun<'_, '_> {
    /// Sets up what Harbor deletes in a project.
    pub(super) async fn retention(
        &mut self,
        project: &str,
        found: Option<&HarborProject>,
        wanted: &[RetentionRule],
    ) -> Result<(), Error> {
        let what = format!("retention of project `{project}`");
        let Some(found) = found else {
            self.after_project([what], project);
            return Ok(());
        };

        let mut body = policy(found.project_id, wanted);
        let Some(identifier) = found.flag("retention_id").filter(|text| text.parse::<u64>().is_ok()) else {
            let request = HarborRequest::post(format!("create {what}"), ["retentions"]).body(body).once();
            self.act(&what, request, None).await?;
            return Ok(());
        };
        let reply = self.harbor.call(HarborRequest::get(format!("read {what}"), ["retentions", identifier])).await;
        let policy = reply.and_then(|reply| reply.json::<FoundPolicy>());
        let Some(policy) = self.look(&what, policy).await? else { return Ok(()) };

        let present = policy.rules.unwrap_or_default();
        let (disabled, active): (Vec<&FoundRule>, Vec<&FoundRule>) = present.iter().partition(|rule| rule.disabled);
        let Some(ours) = active.iter().map(|rule| rule.read()).collect::<Option<Vec<RetentionRule>>>() else {
            // sockel does not replace rules that people made
            let remedy = format!("there are other rules; wanted is {}", words(wanted));
            self.step(what, StepState::Left { remedy });
            return Ok(());
        };
        if ours == wanted {
            self.step(what, StepState::Exists);
            return Ok(());
        }

        let before = match (ours.is_empty(), disabled.is_empty()) {
            (false, _) => words(&ours),
            (true, false) => "disabled".to_owned(),
            (true, true) => "no rule".to_owned(),
        };
        body["id"] = identifier.parse::<u64>().unwrap_or_default().into();
        let request = HarborRequest::put(format!("change {what}"), ["retentions", identifier]).body(body);
        self.act(&what, request, Some(format!("{before} → {}", words(wanted)))).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_its_own_rules() {
        for wanted in [staging_rules(10, None), staging_rules(10, Some("cache")), cache_rules(90)] {
            let found: FoundPolicy = serde_json::from_value(policy(2, &wanted)).unwrap();
            let read: Option<Vec<RetentionRule>> = found.rules.unwrap().iter().map(FoundRule::read).collect();
            assert_eq!(read, Some(wanted));
        }

        let text = r#"{"template":"latestPushedK","params":{"latestPushedK":"10"},"tag_selectors":[{"decoration":"matches","pattern":"**"}],"scope_selectors":{"repository":[{"decoration":"repoMatches","pattern":"**"}]}}"#;
        let read = |text: &str| serde_json::from_str::<FoundRule>(text).unwrap().read();
        assert_eq!(read(text).map(|rule| vec![rule]), Some(staging_rules(10, None)));
        let others =
            [text.replace("\"matches", "\"excludes"), text.replace("latestPushedK", "latestPulledN"), "{}".to_owned()];
        assert!(others.iter().all(|other| read(other).is_none()));
    }

    #[test]
    fn says_what_is_kept() {
        assert_eq!(words(&staging_rules(0, None)), "the 1 most recently pushed of each repository");
        let both = "the 5 most recently pushed of each repository but `cache`; everything of `cache`";
        assert_eq!(words(&staging_rules(5, Some("cache"))), both);
    }
}
