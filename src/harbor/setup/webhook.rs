//! The policy by which Harbor notifies a webhook of finished scans.

use crate::harbor::Error;
use crate::harbor::HarborRequest;
use crate::harbor::setup::SetupRun;
use crate::harbor::setup::StepState;
use crate::values::Secret;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;

/// The types of events that are sent.
const EVENTS: [&str; 4] = ["SCANNING_COMPLETED", "SCANNING_FAILED", "SCANNING_STOPPED", "QUOTA_EXCEED"];

/// The receiver of finished scans.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Name of the policy.
    pub name: String,
    /// Address to which events are sent.
    pub address: String,
    /// Value of the `Authorization` header of each event.
    pub authorization: Option<Secret>,
}

/// `WebhookPolicy` of the API, as far as it is compared.
#[derive(Debug, Deserialize)]
struct WebhookPolicy {
    id: i64,
    name: String,
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    event_types: Option<Vec<String>>,
    #[serde(default)]
    targets: Option<Vec<WebhookTarget>>,
}

#[derive(Debug, Deserialize)]
struct WebhookTarget {
    #[serde(default)]
    address: String,
}

impl WebhookPolicy {
    /// Tells whether the policy sends the wanted events, and only to the wanted address.
    fn fits(&self, webhook: &Webhook) -> bool {
        let events: BTreeSet<&str> = self.event_types.iter().flatten().map(String::as_str).collect();
        let targets = self.targets.as_deref().unwrap_or_default();
        // a second target would send the events, and perhaps a secret, elsewhere as well
        let is_target = matches!(targets, [target] if target.address == webhook.address);
        self.enabled && is_target && events == BTreeSet::from(EVENTS)
    }
}

impl Webhook {
    /// Returns the policy as Harbor takes it.
    fn body(&self) -> Value {
        let mut target = json!({"type": "http", "address": self.address, "skip_cert_verify": false});
        target["payload_format"] = "CloudEvents".into();
        if let Some(authorization) = &self.authorization {
            target["auth_header"] = authorization.expose().into();
        }
        json!({"name": self.name, "enabled": true, "event_types": EVENTS, "targets": [target]})
    }
}

impl SetupRun<'_, '_> {
    /// Sets up the policy. The secret of an existing one is not compared: Harbor does not show it.
    pub(super) async fn webhook(&mut self, project: &str, is_there: bool, webhook: &Webhook) -> Result<(), Error> {
        let what = format!("webhook `{}` of project `{project}`", webhook.name);
        if !is_there {
            self.after_project([what], project);
            return Ok(());
        }

        let list = self
            .harbor
            .list(|| HarborRequest::get(format!("read {what}"), ["projects", project, "webhook", "policies"]));
        let policies: Result<Vec<WebhookPolicy>, Error> = list.await;
        let Some(policies) = self.look(&what, policies).await? else { return Ok(()) };

        // policies of other names are left alone: people made them
        match policies.iter().find(|policy| policy.name == webhook.name) {
            Some(policy) if policy.fits(webhook) => self.step(what, StepState::Exists),
            Some(policy) => {
                let identifier = policy.id.to_string();
                let path = ["projects", project, "webhook", "policies", &identifier];
                let request = HarborRequest::put(format!("change {what}"), path).body(webhook.body());
                self.act(&what, request, Some("address or events".to_owned())).await?;
            }
            None => {
                let path = ["projects", project, "webhook", "policies"];
                let request = HarborRequest::post(format!("create {what}"), path).body(webhook.body());
                self.act(&what, request, None).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_its_own_policy() {
        let webhook = Webhook {
            name: "sockel".to_owned(),
            address: "https://ci.example/hook".to_owned(),
            authorization: Some(Secret::new("marker".to_owned())),
        };
        let mut body = webhook.body();
        body["id"] = 1.into();
        let mut policy: WebhookPolicy = serde_json::from_value(body).unwrap();
        assert!(policy.fits(&webhook));
        policy.event_types = None;
        assert!(!policy.fits(&webhook));
        assert!(!format!("{webhook:?}").contains("marker"));
    }
}
