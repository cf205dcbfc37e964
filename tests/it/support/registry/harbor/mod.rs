//! A Harbor: its API under `/api/v2.0`, its token server and its registry on one address.
//!
//! ```ignore
//! let harbor = Harbor::start("v2.15.2");
//! harbor.project("staging");
//! harbor.robot("robot$ci", "secret", &[("staging", &["repository:push", "scan:create", "artifact:read"])]);
//! harbor.scans(Course::success(3, Report::clean().finding("CVE-2026-1", "openssl", "High")));
//! // … talk to harbor.url(), push to harbor.registry …
//! assert_eq!(harbor.log().count("POST", "*/scan"), 1);
//! ```

pub(crate) mod api;
mod artifacts;
mod course;
mod projects;
mod promotion;
mod rights;
mod robots;
pub(crate) mod routes;
mod rules;
mod scans;
mod state;

use crate::support::registry::distribution::Heart;
use crate::support::registry::faults::Fault;
use crate::support::registry::handle::Registry;
use crate::support::registry::harbor::api::Api;
pub(crate) use crate::support::registry::harbor::course::Course;
pub(crate) use crate::support::registry::harbor::course::Report;
use crate::support::registry::harbor::state::State;
use crate::support::registry::log::Log;
use crate::support::registry::server::Server;
use crate::support::registry::server::Service;
use crate::support::registry::token::Tokens;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;
use std::sync::MutexGuard;

/// The user who may do everything, and the password.
pub(crate) const ADMIN: (&str, &str) = ("admin", "Harbor12345");

/// A running Harbor.
#[derive(Clone)]
pub(crate) struct Harbor {
    /// The registry inside; its log and faults are Harbor's.
    pub(crate) registry: Registry,
    api: Arc<Api>,
}

impl Harbor {
    /// Starts a Harbor without projects that says it is of this version (`v2.15.2`).
    pub(crate) fn start(version: &str) -> Self {
        let heart = Arc::new(Heart::default());
        heart.door.lock().unwrap().tokens = Some(Tokens::new().user(ADMIN.0, ADMIN.1, &["*"]));
        heart.behaviour.lock().unwrap().has_referrers = true;
        let api = Arc::new(Api::new(State::new(version, Arc::clone(&heart))));
        let server = Server::start(Arc::clone(&api) as Arc<dyn Service>);
        Self { registry: Registry::within(server, heart), api }
    }

    /// Makes a project as the admin would, with Harbor's defaults; returns its number.
    pub(crate) fn project(&self, name: &str) -> i64 {
        self.state().add_project(&json!({ "project_name": name }))
    }

    /// Makes a robot with this full name; rights are `resource:action` in a project (`/`: system).
    pub(crate) fn robot(&self, name: &str, secret: &str, rights: &[(&str, &[&str])]) -> i64 {
        let access = |right: &&str| {
            let (resource, action) = right.split_once(':').expect("`resource:action`");
            json!({ "resource": resource, "action": action })
        };
        let permission = |(namespace, rights): &(&str, &[&str])| {
            let kind = if *namespace == "/" { "system" } else { "project" };
            let access: Vec<Value> = rights.iter().map(access).collect();
            json!({ "kind": kind, "namespace": namespace, "access": access })
        };
        let permissions: Vec<Value> = rights.iter().map(permission).collect();
        self.state().add_robot(name, secret, &json!({ "level": "system", "duration": -1, "permissions": permissions }))
    }

    /// All scans begun from now on take this course.
    pub(crate) fn scans(&self, course: Course) {
        self.state().scans.course = Some(course);
    }

    /// There is no scanner from now on: scans are refused with 412.
    pub(crate) fn has_no_scanner(&self) {
        self.state().scans.course = None;
    }

    /// The scanner does not answer from now on.
    pub(crate) fn scanner_is_unhealthy(&self) {
        let mut state = self.state();
        state.scans.is_unhealthy = true;
        state.scans.forget_metadata();
    }

    /// The scanner answers again from now on.
    pub(crate) fn scanner_is_healthy(&self) {
        let mut state = self.state();
        state.scans.is_unhealthy = false;
        state.scans.forget_metadata();
    }

    /// Right after the next scan another image's report arrives; call it again for the scan after that.
    pub(crate) fn another_scan_follows(&self, report: Report) {
        self.state().scans.others.push_back(report);
    }

    /// Says when the scanner's database was updated; `None`: the metadata does not tell.
    pub(crate) fn database_updated_at(&self, time: Option<&str>) {
        let mut state = self.state();
        state.scans.database_updated_at = time.map(str::to_owned);
        state.scans.forget_metadata();
    }

    /// Says that it is read only from now on.
    pub(crate) fn is_read_only(&self) {
        self.state().is_read_only = true;
    }

    pub(crate) fn url(&self) -> String {
        self.registry.url()
    }

    /// Returns `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.registry.address()
    }

    /// Lets something go wrong from now on, on any path of this Harbor.
    pub(crate) fn fault(&self, fault: Fault) {
        self.registry.fault(fault);
    }

    pub(crate) fn log(&self) -> Log {
        self.registry.log()
    }

    /// Returns what Harbor knows beside the registry's contents; do not hold it across requests.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.api.state.lock().unwrap()
    }
}
