//! What Harbor knows beside the registry's contents.

use crate::support::registry::distribution::Heart;
use crate::support::registry::harbor::api::Call;
use crate::support::registry::harbor::api::not_found;
use crate::support::registry::harbor::api::read_only;
use crate::support::registry::harbor::artifacts::accessories;
use crate::support::registry::harbor::artifacts::subject;
use crate::support::registry::harbor::robots::Robot;
use crate::support::registry::harbor::scans::Scans;
use crate::support::registry::immutable::Immutable;
use crate::support::registry::immutable::Selector;
use crate::support::registry::message::Request;
use crate::support::registry::message::Response;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A kind of thing by number, each as the API shows it.
pub(crate) type Table = BTreeMap<i64, Value>;

/// Everything but blobs, manifests and tags.
pub(crate) struct State {
    pub(crate) heart: Arc<Heart>,
    pub(crate) version: String,
    pub(crate) is_read_only: bool,
    pub(crate) projects: Table,
    pub(crate) quotas: Table,
    pub(crate) robots: BTreeMap<i64, Robot>,
    pub(crate) labels: Table,
    /// Immutable rules; with `project_id`, which the API does not show.
    pub(crate) immutable: Table,
    pub(crate) retentions: Table,
    pub(crate) webhooks: Table,
    /// Numbers of labels by repository and digest.
    pub(crate) attached: BTreeMap<(String, String), BTreeSet<i64>>,
    pub(crate) scans: Scans,
    /// Whoever asks for rights hears that there are all; they are still needed.
    pub(crate) claims_all_rights: bool,
    /// What is shown before the names of robots.
    pub(crate) robot_prefix: String,
    last: i64,
}

fn capitalised(word: &str) -> String {
    let (first, rest) = word.split_at(1.min(word.len()));
    first.to_uppercase() + rest
}

impl State {
    pub(crate) fn new(version: &str, heart: Arc<Heart>) -> Self {
        Self {
            heart,
            version: version.to_owned(),
            is_read_only: false,
            projects: Table::new(),
            quotas: Table::new(),
            robots: BTreeMap::new(),
            labels: Table::new(),
            immutable: Table::new(),
            retentions: Table::new(),
            webhooks: Table::new(),
            attached: BTreeMap::new(),
            scans: Scans::default(),
            claims_all_rights: false,
            robot_prefix: "robot$".to_owned(),
            last: 0,
        }
    }

    /// Returns a number that was never given before.
    pub(crate) fn number(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    /// Returns the number of a project by name.
    pub(crate) fn project_number(&self, name: &str) -> Option<i64> {
        self.projects.iter().find(|(_, project)| project["name"] == name).map(|(number, _)| *number)
    }

    /// Sets how many bytes a project may hold; -1 without limit.
    pub(crate) fn set_quota(&mut self, project: &str, bytes: i64) {
        let number = self.project_number(project).expect("it was made");
        self.quotas.get_mut(&number).expect("it has one")["hard"]["storage"] = bytes.into();
    }

    /// Returns the name of a project by number, empty where there is none.
    pub(crate) fn name_of(&self, number: i64) -> String {
        self.projects.get(&number).and_then(|project| project["name"].as_str()).unwrap_or_default().to_owned()
    }

    /// Returns the number of the project a path names. Digits are a number unless the header says otherwise.
    pub(crate) fn project_at(&self, call: &Call) -> Result<i64, Response> {
        let is_name = call.request.header("x-is-resource-name") == Some("true");
        if let Some(text) = call.request.segments().get(3).filter(|_| !is_name)
            && let Ok(number) = text.parse()
            && !call.request.path.contains("/repositories/")
        {
            return self.projects.get(&number).map(|_| number).ok_or_else(|| not_found("project"));
        }
        let name = call.request.segments().get(3).cloned().unwrap_or_default();
        self.project_number(&name).ok_or_else(|| not_found(&format!("project {name}")))
    }

    /// Returns the name of the project a path names.
    pub(crate) fn project_name(&self, call: &Call) -> Result<String, Response> {
        self.project_at(call).map(|number| self.name_of(number))
    }

    /// Returns a project's setting, empty where it is not set.
    fn setting(&self, name: &str, key: &str) -> String {
        let project = self.project_number(name).and_then(|number| self.projects.get(&number));
        project.and_then(|project| project["metadata"][key].as_str()).unwrap_or_default().to_owned()
    }

    /// Returns how many repositories a project has.
    pub(crate) fn repositories(&self, project: &str) -> usize {
        let contents = self.heart.contents.lock().unwrap();
        contents.repositories.keys().filter(|name| name.starts_with(&format!("{project}/"))).count()
    }

    /// Returns how many bytes a project's blobs and manifests take.
    pub(crate) fn used(&self, project: &str) -> u64 {
        let contents = self.heart.contents.lock().unwrap();
        let prefix = format!("{project}/");
        let mine = || contents.repositories.iter().filter(|(name, _)| name.starts_with(&prefix));
        let blobs: BTreeSet<&String> = mine().flat_map(|(_, repository)| &repository.blobs).collect();
        let manifests = mine().flat_map(|(_, repository)| repository.manifests.values());
        let manifests: usize = manifests.map(|manifest| manifest.bytes.len()).sum();
        let blobs: usize = blobs.iter().filter_map(|digest| contents.blobs.get(*digest)).map(|blob| blob.len()).sum();
        (manifests + blobs) as u64
    }

    /// Refuses what Harbor refuses before its registry hears of it: absent projects, quotas, policies.
    pub(crate) fn refuse(&self, request: &Request) -> Option<Response> {
        let rest = request.path.strip_prefix("/v2/").filter(|rest| !rest.is_empty())?;
        let project = rest.split('/').next()?;
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").filter(|name| !name.contains('/')) {
            let words = format!("bad request: invalid repository name: {name}");
            return Some(Response::error(400, "BAD_REQUEST", &words));
        }
        // who is not let in hears that first
        request.header("authorization")?;
        if self.project_number(project).is_none() {
            let words = format!("project {project} not found: project {project} not found");
            return Some(Response::error(401, "UNAUTHORIZED", &words).with("www-authenticate", ""));
        }
        if self.is_read_only && !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Some(read_only());
        }
        let is_adding = matches!(request.method.as_str(), "PUT" | "POST");
        if let Some(refused) = self.over_quota(project, request.body.len() as u64).filter(|_| is_adding) {
            return Some(refused);
        }
        let is_reading = matches!(request.method.as_str(), "GET" | "HEAD");
        is_reading.then(|| self.hold_back(project, rest)).flatten()
    }

    /// Refuses what a project has no room for.
    pub(crate) fn over_quota(&self, project: &str, adding: u64) -> Option<Response> {
        let quota = self.quotas.get(&self.project_number(project)?)?;
        let hard = u64::try_from(quota["hard"]["storage"].as_i64()?).ok()?;
        let used = self.used(project);
        let words = format!(
            "adding {adding} B of storage resource, which when updated to current usage of {used} B will exceed the configured upper limit of {hard} B."
        );
        (used + adding > hard).then(|| Response::error(403, "DENIED", &words))
    }

    /// Refuses to give manifests that the project's policies hold back.
    fn hold_back(&self, project: &str, rest: &str) -> Option<Response> {
        let (name, reference) = rest.rsplit_once("/manifests/")?;
        let contents = self.heart.contents.lock().unwrap();
        let repository = contents.repositories.get(name)?;
        let digest = repository.resolve(reference)?;
        // signatures and reports of an image are always given
        if subject(repository, &digest).is_some() {
            return None;
        }
        let refuse = |words: &str| Some(Response::error(412, "PROJECTPOLICYVIOLATION", words));
        let is_signature = |one: &String| self.accessory_kind(&repository.manifests[one]) == "signature.cosign";
        let is_signed = accessories(repository, &digest).iter().any(is_signature);
        if self.setting(project, "enable_content_trust_cosign") == "true" && !is_signed {
            return refuse("The image is not signed by cosign.");
        }
        let severity = self.setting(project, "severity");
        let severity = if severity.is_empty() { "low".to_owned() } else { severity };
        // an index has no report of its own: only its images are held back
        let is_index = !repository.manifests[&digest].children().is_empty();
        if !is_index && self.setting(project, "prevent_vul") == "true" && !self.scans.is_below(&digest, &severity) {
            let words = format!(
                "current image with {} vulnerabilities cannot be pulled due to configured policy in 'Prevent images with vulnerability severity of \"{}\" or higher from running.' To continue with pull, please contact your project administrator to exempt matched vulnerabilities through configuring the CVE allowlist.",
                self.scans.count(&digest),
                capitalised(&severity)
            );
            return refuse(&words);
        }
        None
    }

    /// A manifest was pushed: projects with `auto_scan` have it scanned.
    pub(crate) fn pushed(&mut self, request: &Request) {
        let named = request.path.strip_prefix("/v2/").and_then(|rest| rest.rsplit_once("/manifests/"));
        let Some((repository, reference)) = named else { return };
        if self.setting(repository.split('/').next().unwrap_or_default(), "auto_scan") != "true" {
            return;
        }
        let contents = self.heart.contents.lock().unwrap();
        let digest = contents.repositories.get(repository).and_then(|one| one.resolve(reference));
        drop(contents);
        if let Some(digest) = digest {
            let number = self.number();
            self.scans.begin(&digest, number);
        }
    }

    /// Tells the registry which tags never move.
    pub(crate) fn apply_immutable(&self) {
        let selector = |one: &Value| Selector {
            pattern: one["pattern"].as_str().unwrap_or("**").to_owned(),
            is_excluding: one["decoration"].as_str().is_some_and(|word| word.ends_with("xcludes")),
        };
        let rule = |rule: &Value| Immutable {
            project: self.name_of(rule["project_id"].as_i64().unwrap_or(0)),
            repository: selector(&rule["scope_selectors"]["repository"][0]),
            tag: selector(&rule["tag_selectors"][0]),
        };
        // a rule that selects nothing holds nothing
        let has = |selectors: &Value| selectors[0]["pattern"].is_string();
        let is_active = |rule: &&Value| {
            let is_known = rule["template"].is_null() || rule["template"] == "immutable_template";
            let selects = has(&rule["tag_selectors"]) && has(&rule["scope_selectors"]["repository"]);
            rule["disabled"] != json!(true) && is_known && selects
        };
        let active = self.immutable.values().filter(is_active);
        self.heart.behaviour.lock().unwrap().immutable = active.map(rule).collect();
    }
}
