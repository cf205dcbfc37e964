//! The rule of the release project which tags never move.

use crate::harbor::Error;
use crate::harbor::HarborRequest;
use crate::harbor::error::harmless;
use crate::harbor::project::HarborProject;
use crate::harbor::setup::SetupRun;
use crate::harbor::setup::StepState;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;

/// Legacy cosign signatures: a second one for the same image is written to the same tag (goharbor/harbor#17332).
const SIGNATURES: &str = "sha256-*.sig";

/// `ImmutableRule` of the API, as far as it is compared.
#[derive(Debug, Deserialize)]
struct ProjectRule {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    tag_selectors: Option<Vec<RuleSelector>>,
    #[serde(default)]
    scope_selectors: Option<BTreeMap<String, Vec<RuleSelector>>>,
}

/// `ImmutableSelector` and `RetentionSelector` of the API: tags or repositories that a rule is for.
#[derive(Debug, Deserialize)]
pub(super) struct RuleSelector {
    #[serde(default)]
    pub(super) decoration: String,
    #[serde(default)]
    pub(super) pattern: String,
}

impl ProjectRule {
    /// Tells whether the rule leaves out exactly this pattern of tags, for all repositories.
    fn excludes(&self, pattern: &str) -> bool {
        let tags = self.tag_selectors.as_deref().unwrap_or_default();
        let is_one = matches!(tags, [tag] if tag.decoration == "excludes" && tag.pattern == pattern);
        is_one && self.is_everywhere()
    }

    /// Returns the pattern of tags that may move, if the rule looks like one of ours: rules have no name and no
    /// description by which they could be recognised.
    fn moving(&self) -> Option<&str> {
        let tags = self.tag_selectors.as_deref().unwrap_or_default();
        let [tag] = tags else { return None };
        // every pattern of ours begins with that of signatures
        let is_ours = tag.pattern == SIGNATURES || tag.pattern.starts_with(&format!("{{{SIGNATURES},"));
        (is_ours && tag.decoration == "excludes" && self.is_everywhere()).then_some(&tag.pattern)
    }

    /// Tells whether the rule is for all repositories.
    fn is_everywhere(&self) -> bool {
        let scopes = self.scope_selectors.as_ref().and_then(|scopes| scopes.get("repository"));
        // a rule for some repositories does not protect the others
        let Some([scope]) = scopes.map(Vec::as_slice) else { return false };
        scope.decoration == "repoMatches" && scope.pattern == "**"
    }
}

/// Returns the selector of a project's repositories.
pub(super) fn repositories(decoration: &str, pattern: &str) -> Value {
    json!({"repository": [{"kind": "doublestar", "decoration": decoration, "pattern": pattern}]})
}

/// Returns one pattern for all tags that may move: signatures and the given ones, in one pair of braces.
fn moving(patterns: &[String]) -> String {
    if patterns.is_empty() { SIGNATURES.to_owned() } else { format!("{{{SIGNATURES},{}}}", patterns.join(",")) }
}

/// Returns the rule that no tag may move, except those of a pattern.
fn immutability(pattern: &str) -> Value {
    json!({
        "action": "immutable",
        "template": "immutable_template",
        "priority": 0,
        "disabled": false,
        "scope_selectors": repositories("repoMatches", "**"),
        "tag_selectors": [{"kind": "doublestar", "decoration": "excludes", "pattern": pattern}],
    })
}

impl SetupRun<'_, '_> {
    /// Sets up the rule that tags of the release project never move.
    pub(super) async fn immutability(
        &mut self,
        project: &str,
        found: Option<&HarborProject>,
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
        if rules.iter().any(|rule| rule.excludes(&pattern) && !rule.disabled) {
            self.step(what, StepState::Exists);
            return Ok(());
        }

        // a rule with the same tags prevents a new one, even if it is disabled (`src/pkg/immutable/dao`)
        let same = rules.iter().find(|rule| rule.excludes(&pattern));
        if let Some(rule) = same.or_else(|| rules.iter().find(|rule| rule.moving().is_some())) {
            return self.renew(&what, project, rule, &pattern).await;
        }

        if let Some(rule) = rules.iter().find(|rule| !rule.disabled) {
            // two rules add up, and sockel does not delete rules that people made
            let tags = rule.tag_selectors.as_deref().unwrap_or_default();
            let selectors: Vec<String> = tags.iter().map(|tag| format!("{} {}", tag.decoration, tag.pattern)).collect();
            let selectors = harmless(&selectors.join(", "), 100);
            let remedy = format!(
                "there is another rule (`{selectors}`): remove it, or name its moving tags; wanted is `excludes {pattern}`"
            );
            self.step(what, StepState::Left { remedy });
            return Ok(());
        }

        let path = ["projects", project, "immutabletagrules"];
        let request = HarborRequest::post(format!("create {what}"), path).body(immutability(&pattern)).once();
        self.act(&what, request, None).await?;
        Ok(())
    }

    /// Enables a rule of ours, and gives it the wanted pattern.
    async fn renew(&mut self, what: &str, project: &str, rule: &ProjectRule, pattern: &str) -> Result<(), Error> {
        let identifier = rule.id.unwrap_or_default();
        let number = identifier.to_string();
        let path = ["projects", project, "immutabletagrules", &number];

        // one request either enables a rule or changes it (`src/controller/immutable`)
        if rule.disabled {
            let switch = json!({"id": identifier, "disabled": false});
            let request = HarborRequest::put(format!("change {what}"), path).body(switch);
            let is_on = self.act(what, request, Some("disabled → enabled".to_owned())).await?;
            if !is_on && !self.dry {
                return Ok(());
            }
        }

        let present = harmless(rule.moving().unwrap_or_default(), 1000);
        if present != pattern {
            let mut body = immutability(pattern);
            body["id"] = identifier.into();
            let request = HarborRequest::put(format!("change {what}"), path).body(body);
            self.act(what, request, Some(format!("moving tags: {present} → {pattern}"))).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_moving_tags_out() {
        assert_eq!(moving(&[]), "sha256-*.sig");
        assert_eq!(moving(&["latest".to_owned(), "1?".to_owned()]), "{sha256-*.sig,latest,1?}");
    }
}
