//! Rules of projects: which tags never move, what staging keeps.

use crate::harbor::Error;
use crate::harbor::HarborRequest;
use crate::harbor::error::harmless;
use crate::harbor::setup::SetupRun;
use crate::harbor::setup::StepState;
use crate::harbor::setup::project::FoundProject;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// Legacy cosign signatures: a second one for the same image is written to the same tag (goharbor/harbor#17332).
const SIGNATURES: &str = "sha256-*.sig";

/// When staging is cleaned up: seconds, minutes, hours, … of Harbor's cron; daily at two o'clock UTC.
const DAILY: &str = "0 0 2 * * *";

/// `ImmutableRule` and `RetentionRule` of the API, as far as they are compared.
#[derive(Debug, Deserialize)]
struct ProjectRule {
    #[serde(default)]
    id: Option<u64>,
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

#[derive(Debug, Deserialize)]
struct RuleSelector {
    #[serde(default)]
    decoration: String,
    #[serde(default)]
    pattern: String,
}

#[derive(Debug, Deserialize)]
struct RetentionPolicy {
    #[serde(default)]
    rules: Option<Vec<ProjectRule>>,
}

impl ProjectRule {
    fn has(&self, decoration: &str, pattern: &str) -> bool {
        let tags = self.tag_selectors.as_deref().unwrap_or_default();
        let is_one = matches!(tags, [tag] if tag.decoration == decoration && tag.pattern == pattern);
        is_one && self.is_everywhere()
    }

    /// Returns the pattern of tags that may move, where the rule has the form of those that are made here: they have no
    /// name and no description to be known by.
    fn moving(&self) -> Option<&str> {
        let tags = self.tag_selectors.as_deref().unwrap_or_default();
        let [tag] = tags else { return None };
        let is_ours = tag.pattern == SIGNATURES || tag.pattern.starts_with(&format!("{{{SIGNATURES},"));
        (is_ours && tag.decoration == "excludes" && self.is_everywhere()).then_some(&tag.pattern)
    }

    /// Tells whether the rule has the form of those that are made here, whatever the count.
    fn is_retention(&self) -> bool {
        self.template == "latestPushedK" && self.has("matches", "**")
    }

    fn is_everywhere(&self) -> bool {
        let scopes = self.scope_selectors.as_ref().and_then(|scopes| scopes.get("repository"));
        scopes.is_some_and(
            |scopes| matches!(&scopes[..], [one] if one.decoration == "repoMatches" && one.pattern == "**"),
        )
    }

    fn keeps(&self, count: u32) -> bool {
        self.count() == Some(count.into()) && self.is_retention()
    }

    /// Returns how many images a rule keeps. Harbor hands numbers back as it got them, some versions as text.
    fn count(&self) -> Option<u64> {
        let kept = self.params.as_ref()?.get("latestPushedK")?;
        kept.as_u64().or_else(|| kept.as_str()?.parse().ok())
    }
}

/// Returns the selector of all repositories of a project.
fn everywhere() -> Value {
    json!({"repository": [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]})
}

/// Returns the pattern of tags that may move: signatures and what is wished; several in one pair of braces.
fn moving(patterns: &[String]) -> String {
    if patterns.is_empty() { SIGNATURES.to_owned() } else { format!("{{{SIGNATURES},{}}}", patterns.join(",")) }
}

/// Returns a policy that keeps the most recently pushed images, those without a tag counted as well.
fn retention(project: i64, keep: u32) -> Value {
    let extras = json!({"untagged": true}).to_string();
    let tags = json!([{"kind": "doublestar", "decoration": "matches", "pattern": "**", "extras": extras}]);
    json!({
        "algorithm": "or",
        "rules": [{
            "action": "retain",
            "template": "latestPushedK",
            "params": {"latestPushedK": keep},
            "disabled": false,
            "tag_selectors": tags,
            "scope_selectors": everywhere(),
        }],
        "trigger": {"kind": "Schedule", "settings": {"cron": DAILY}},
        "scope": {"level": "project", "ref": project},
    })
}

impl SetupRun<'_, '_> {
    /// Looks after the rule that tags of the release project never move.
    pub(super) async fn immutability(
        &mut self,
        project: &str,
        found: Option<&FoundProject>,
        patterns: &[String],
    ) -> Result<(), Error> {
        let what = format!("immutable tags of project `{project}`");
        if found.is_none() {
            self.after_project([what], project);
            return Ok(());
        }
        let list =
            self.harbor.list(|| HarborRequest::get(format!("read {what}"), ["projects", project, "immutabletagrules"]));
        let rules: Result<Vec<ProjectRule>, Error> = list.await;
        let Some(rules) = self.look(&what, rules).await? else { return Ok(()) };
        let pattern = moving(patterns);
        if rules.iter().any(|rule| rule.has("excludes", &pattern) && !rule.disabled) {
            self.step(what, StepState::Exists);
            return Ok(());
        }
        let body = json!({
            "action": "immutable",
            "template": "immutable_template",
            "priority": 0,
            "disabled": false,
            "scope_selectors": everywhere(),
            "tag_selectors": [{"kind": "doublestar", "decoration": "excludes", "pattern": pattern}],
        });
        // one with the same tags, though disabled, stands in the way of a new one (`src/pkg/immutable/dao`)
        let same = rules.iter().find(|rule| rule.has("excludes", &pattern));
        if let Some(rule) = same.or_else(|| rules.iter().find(|rule| rule.moving().is_some())) {
            return self.renew(&what, project, rule, body).await;
        }
        if let Some(rule) = rules.iter().find(|rule| !rule.disabled) {
            // two rules add up, and a rule that somebody made is not ours to delete
            let tags = rule.tag_selectors.as_deref().unwrap_or_default();
            let there: Vec<String> = tags.iter().map(|tag| format!("{} {}", tag.decoration, tag.pattern)).collect();
            let there = harmless(&there.join(", "), 100);
            let remedy = format!(
                "there is another rule (`{there}`): remove it, or name its moving tags; wanted is `excludes {pattern}`"
            );
            self.step(what, StepState::Left { remedy });
            return Ok(());
        }
        let ask =
            HarborRequest::post(format!("create {what}"), ["projects", project, "immutabletagrules"]).body(body).once();
        self.act(&what, ask, None).await?;
        Ok(())
    }

    /// Makes a rule of ours hold again, as it should be.
    async fn renew(&mut self, what: &str, project: &str, rule: &ProjectRule, mut body: Value) -> Result<(), Error> {
        let identifier = rule.id.unwrap_or_default();
        let number = identifier.to_string();
        let ask = |body: Value| {
            let path = ["projects", project, "immutabletagrules", &number];
            HarborRequest::put(format!("change {what}"), path).body(body)
        };
        body["id"] = identifier.into();
        let wanted = body["tag_selectors"][0]["pattern"].as_str().unwrap_or_default().to_owned();
        let there = harmless(rule.moving().unwrap_or_default(), 1000);
        // Harbor either switches a rule or changes it (`src/controller/immutable`)
        if rule.disabled {
            let switch = json!({"id": identifier, "disabled": false});
            let is_on = self.act(what, ask(switch), Some("disabled → enabled".to_owned())).await?;
            if !is_on && !self.dry {
                return Ok(());
            }
        }
        if there != wanted {
            self.act(what, ask(body), Some(format!("moving tags: {there} → {wanted}"))).await?;
        }
        Ok(())
    }

    /// Looks after the rule how much staging keeps.
    pub(super) async fn retention(
        &mut self,
        project: &str,
        found: Option<&FoundProject>,
        keep: u32,
    ) -> Result<(), Error> {
        let what = format!("retention of project `{project}`");
        let Some(found) = found else {
            self.after_project([what], project);
            return Ok(());
        };
        let keep = keep.max(1);
        let body = retention(found.project_id, keep);
        let Some(identifier) = found.flag("retention_id").filter(|text| text.parse::<u64>().is_ok()) else {
            let ask = HarborRequest::post(format!("create {what}"), ["retentions"]).body(body).once();
            self.act(&what, ask, None).await?;
            return Ok(());
        };
        let reply = self.harbor.call(HarborRequest::get(format!("read {what}"), ["retentions", identifier])).await;
        let policy = reply.and_then(|reply| reply.json::<RetentionPolicy>());
        let Some(policy) = self.look(&what, policy).await? else { return Ok(()) };
        let rules = policy.rules.unwrap_or_default();
        if rules.iter().any(|rule| rule.keeps(keep) && !rule.disabled) {
            self.step(what, StepState::Exists);
        } else if let [rule] = &rules[..]
            && rule.is_retention()
        {
            let mut body = body;
            body["id"] = identifier.parse::<u64>().unwrap_or_default().into();
            let ask = HarborRequest::put(format!("change {what}"), ["retentions", identifier]).body(body);
            let there = rule.count().map_or_else(|| "another number of".to_owned(), |count| format!("the {count}"));
            let state = if rule.disabled { "disabled" } else { &there };
            let change = format!("{state} → the {keep} most recently pushed of each repository");
            self.act(&what, ask, Some(change)).await?;
        } else if rules.iter().any(|rule| !rule.disabled) {
            let remedy = format!("there are other rules; wanted is the {keep} most recently pushed of each repository");
            self.step(what, StepState::Left { remedy });
        } else {
            let mut body = body;
            body["id"] = identifier.parse::<u64>().unwrap_or_default().into();
            let ask = HarborRequest::put(format!("change {what}"), ["retentions", identifier]).body(body);
            let change = format!("no rule → the {keep} most recently pushed of each repository");
            self.act(&what, ask, Some(change)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_its_own_rules() {
        let policy: RetentionPolicy = serde_json::from_value(retention(2, 10)).unwrap();
        let rules = policy.rules.unwrap();
        assert!(rules[0].keeps(10) && !rules[0].keeps(11) && !rules[0].has("excludes", "**"));
        let text = r#"{"template":"latestPushedK","params":{"latestPushedK":"10"},"tag_selectors":[{"decoration":"matches","pattern":"**"}],"scope_selectors":{"repository":[{"decoration":"repoMatches","pattern":"**"}]}}"#;
        assert!(serde_json::from_str::<ProjectRule>(text).unwrap().keeps(10));
        for other in [text.replace("\"**\"}]}}", "\"a/**\"}]}}"), text.replace("matches", "excludes"), "{}".to_owned()]
        {
            assert!(!serde_json::from_str::<ProjectRule>(&other).unwrap().keeps(10), "{other}");
        }
    }

    #[test]
    fn leaves_moving_tags_out() {
        assert_eq!(moving(&[]), "sha256-*.sig");
        assert_eq!(moving(&["latest".to_owned(), "1?".to_owned()]), "{sha256-*.sig,latest,1?}");
    }
}
