//! Every right of our robots is needed: each is taken away singly, and then the call that the table names is refused.

use crate::harbor::push;
use crate::publish;
use crate::shared::PRIVATE;
use crate::shared::PUBLIC;
use crate::support::project::Project;
use crate::support::registry::Course;
use crate::support::registry::Report;
use crate::support::registry::harbor::Harbor as Double;
use sockel::harbor::rights::PIPELINE;
use sockel::harbor::rights::RELEASE;
use sockel::harbor::rights::RightUse;
use sockel::harbor::rights::RobotRights;

/// A project and a Harbor that it publishes to, with everything that needs a right: labels, moving tags, a shared cache.
struct Stage {
    project: Project,
    double: Double,
    runs: usize,
}

impl Stage {
    fn set() -> Self {
        let project = publish::project();
        let double = publish::harbor(&project);
        project.write("base-images/cache.pem", PRIVATE);
        project.write("base-images/cache.pub", PUBLIC);
        let cache = "cache: { repository: base-cache/results, verify: cache.pub, sign: cache.pem }\n";
        project.write("base-images/registry.yaml", &(project.text("base-images/registry.yaml") + cache));
        publish::setup(&project, &double.url(), &[]).good();
        Self { project, double, runs: 0 }
    }

    /// Forgets all images, and lets a moving tag name one that is not ours.
    fn reset(&self) {
        self.double.registry.contents().repositories.retain(|name, _| name.starts_with("base-cache/"));
        self.double.state().attached.clear();
        push(&self.double, "base/base", &["1"], b"older");
        self.double.scans(Course::success(0, Report::clean()));
    }

    /// Publishes without a right; returns whether the call was refused that needs it.
    fn is_refused(&mut self, robot: &str, namespace: &str, right: &RightUse) -> bool {
        self.reset();
        let access = [right.resource, right.action];
        self.double.state().set_right(robot, namespace, access, false);

        // found before anything is sent, as far as Harbor can be asked
        if right.is_vital {
            let sent = self.double.log().blob_bytes();
            let told = self.project.run(&["publish", "base", "--dry-run"]).fails(1);
            let is_named = told.contains(&format!("`{}: {}` to {}", right.resource, right.action, right.purpose));
            let is_refused = told.contains("has no right to do that") || told.contains("may not do that");
            assert!(is_named || is_refused, "{right:?}: {told}");
            assert_eq!(self.double.log().blob_bytes(), sent);
        }

        self.double.state().claims_all_rights = true;
        let before = self.double.log().entries().len();
        if right.purpose.contains("log of a scan") {
            self.double.scans(Course::new(&["Error"]));
        }
        if (namespace, right.action) == ("base-cache", "push") {
            self.double.registry.contents().repositories.remove("base-cache/results");
        }
        if right.resource == "quota" {
            self.fill(namespace);
        }
        // the cache is only read for what this machine does not know
        self.runs += 1;
        let store = format!("store-{}", self.runs);
        let arguments: &[&str] = match (namespace, right.action) {
            ("base-cache", "pull") => &["publish", "base", "--store", &store],
            ("base-cache", "delete") => {
                // an entry that no lock needs any more
                self.project.run(&["publish", "base"]).good();
                self.project.edit("recipes/base.yaml", "DISTRIB_ID=Ubuntu", "DISTRIB_ID=Ubuntu ");
                self.project.run(&["lock"]).good();
                &["cache", "prune", "--registry", "--days", "0"]
            }
            _ => &["publish", "base"],
        };
        let answer = self.project.run(arguments);
        if right.resource == "quota" {
            self.double.state().set_quota(namespace, -1);
        }
        self.double.state().claims_all_rights = false;
        self.double.state().set_right(robot, namespace, access, true);

        let log = self.double.log();
        let all = log.of("*", "*");
        let (method, pattern) = match right.resource {
            // nobody is refused who may not see the figures: what would have been found then comes later
            "quota" => ("*", if namespace == "staging" { "/v2/*" } else { "*/artifacts?from=*" }),
            _ => right.call.split_once(' ').unwrap(),
        };
        let mut refused = all[before..].iter().filter(|one| matches!(one.status, 401 | 403));
        let is_refused = refused.any(|one| one.fits(method, pattern));
        if !is_refused {
            eprintln!("{namespace} {right:?}: {}{}", answer.stdout, answer.stderr);
            all[before..].iter().for_each(|one| eprintln!("{} {} {}", one.method, one.path, one.status));
        }
        is_refused
    }

    fn fill(&self, namespace: &str) {
        let mut state = self.double.state();
        let used = i64::try_from(state.used(namespace)).unwrap();
        state.set_quota(namespace, used + 1);
    }

    fn try_all(&mut self, robot: &str, rights: &RobotRights) {
        let places =
            [("staging", rights.staging), ("base", rights.release), ("base-cache", rights.cache), ("/", rights.system)];
        for (namespace, uses) in places {
            for right in uses {
                assert!(self.is_refused(robot, namespace, right), "{robot} {namespace} {right:?}");
            }
        }
        // with all of them it works, and moves the tag
        self.reset();
        self.project.run(&["publish", "base"]).good();
        assert_eq!(self.double.registry.tags("base/base").len(), 2);
    }
}

#[test]
fn the_pipeline_needs_every_right_it_has() {
    Stage::set().try_all("robot$sockel-pipeline", &PIPELINE);
}

#[test]
fn the_release_robot_needs_every_right_it_has() {
    Stage::set().try_all("robot$sockel-freigabe", &RELEASE);
}

/// Changing a project would let a robot switch off what protects it.
#[test]
fn no_publishing_robot_changes_projects() {
    for rights in [PIPELINE, RELEASE] {
        let all = [rights.staging, rights.release, rights.cache, rights.system].concat();
        assert!(all.iter().all(|right| right.action != "update" && right.resource != "robot"));
        assert!(all.iter().all(|right| right.resource != "project" || right.action == "read"));
    }
}
