//! The jobs as a program calls them: requests in, outcomes and events out, no terminal and no second process.

use crate::support::deb::Deb;
use crate::support::project::Project;
use crate::support::project::library;
use crate::support::project::packages;
use crate::support::registry::Registry;
use sockel::build::output::Output;
use sockel::bundle::BundleLocation;
use sockel::fault::Explain;
use sockel::fault::Turn;
use sockel::jobs;
use sockel::jobs::Error;
use sockel::jobs::Session;
use sockel::jobs::SessionOptions;
use sockel::jobs::build::BuildRequest;
use sockel::jobs::build::LockUse;
use sockel::jobs::bundle::BundleRequest;
use sockel::jobs::diff::DiffRequest;
use sockel::jobs::diff::ImageSource;
use sockel::jobs::lock::LockRequest;
use sockel::jobs::plan::PlanRequest;
use sockel::jobs::publish::PublishRequest;
use sockel::jobs::rebase::RebaseRequest;
use sockel::jobs::show::ShowRequest;
use sockel::jobs::status::StatusRequest;
use sockel::jobs::update::UpdateAction;
use sockel::jobs::update::UpdateRequest;
use sockel::publish::PublishState;
use sockel::rebase::RebaseState;
use sockel::report::EventRecorder;
use sockel::report::ProgressEvent;
use sockel::update::UpdateState;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// A session in a project, and what its jobs report.
struct Run {
    session: Session,
    events: Arc<EventRecorder>,
}

impl Run {
    fn new(project: &Project) -> Self {
        Self::with(options(project))
    }

    fn with(options: SessionOptions) -> Self {
        let events = Arc::new(EventRecorder::default());
        let session = Session::open(options, events.clone()).expect("opens");
        Self { session, events }
    }

    fn warnings(&self) -> Vec<String> {
        let warning = |event| if let ProgressEvent::Warning(text) = event { Some(text) } else { None };
        self.events.events().into_iter().filter_map(warning).collect()
    }
}

fn options(project: &Project) -> SessionOptions {
    SessionOptions { threads: 2, ..SessionOptions::new(project.path(""), project.path("store")) }
}

fn offline(project: &Project) -> Run {
    Run::with(SessionOptions { offline: true, ..options(project) })
}

/// Asks for a layout in the project: jobs know no working folder.
fn into_layout(project: &Project) -> BuildRequest {
    BuildRequest { outputs: vec![Output::Layout(project.path("out"))], ..BuildRequest::default() }
}

/// A project that is locked and built.
fn built() -> Project {
    let project = Project::new();
    let run = Run::new(&project);
    jobs::build::run(&into_layout(&project), &run.session).expect("builds");
    project
}

/// Puts another C library into the archive.
fn patch(project: &mut Project) {
    let new = library("2.1", 9);
    let all = packages().into_iter().map(|old| if old.value("Package") == "libc" { new.clone() } else { old });
    project.publish(&all.collect::<Vec<Deb>>());
}

#[test]
fn lock_writes_what_changes() {
    let mut project = Project::new();
    let dry = LockRequest { dry_run: true, ..LockRequest::default() };
    let outcomes = jobs::lock::run(&dry, &Run::new(&project).session).expect("locks");
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.iter().all(|outcome| outcome.difference.is_none()));
    assert!(!project.path("base-images/app.lock.yaml").exists(), "a dry run writes nothing");

    // a child brings its parents
    let app = LockRequest { images: vec!["app".to_owned()], ..LockRequest::default() };
    let names: Vec<String> = jobs::lock::run(&app, &Run::new(&project).session)
        .expect("locks")
        .into_iter()
        .map(|outcome| outcome.image)
        .collect();
    assert_eq!(names, ["base", "runtime", "app"]);
    assert_eq!(jobs::lock::check(&[], &Run::new(&project).session).expect("is right"), 3);

    patch(&mut project);
    let outcomes = jobs::lock::run(&LockRequest::default(), &Run::new(&project).session).expect("locks");
    assert!(outcomes.iter().all(|outcome| !outcome.is_unchanged()));
    assert!(project.text("base-images/app.lock.yaml").contains("2.1"));
}

#[test]
fn stale_locks_are_named_with_their_reasons() {
    let project = built();
    project.edit(
        "recipes/runtime.yaml",
        "title: Runtime",
        "title: Runtime\nexclude: { paths: { /usr/lib/runtime/modules: unused } }",
    );
    let error = jobs::lock::check(&[], &Run::new(&project).session).expect_err("is stale");
    let Error::StaleLocks(stale) = &error else { panic!("{error}") };
    assert!(stale.contains_key("runtime") && !stale.contains_key("base"), "{stale:?}");
    assert_eq!(error.turn(), Turn::Input);
    assert_eq!(error.hints(), ["run `sockel lock app runtime`"]);

    let request = BuildRequest { locks: LockUse::AsTheyAre, ..into_layout(&project) };
    let error = jobs::build::run(&request, &Run::new(&project).session).expect_err("refuses");
    assert!(matches!(error, Error::StaleLocks(_)), "{error}");

    // locked on the way, which is an event for whoever reviews locks
    let run = Run::new(&project);
    jobs::build::run(&into_layout(&project), &run.session).expect("builds");
    let written =
        |event: &ProgressEvent| matches!(event, ProgressEvent::LockWritten { image, .. } if image == "runtime");
    assert!(run.events.events().iter().any(written));
    assert!(run.warnings().iter().any(|text| text.contains("locking runtime anew")), "{:?}", run.warnings());
}

#[test]
fn build_makes_images_once() {
    let project = Project::new();
    let first = jobs::build::run(&into_layout(&project), &Run::new(&project).session).expect("builds");
    assert_eq!(first.images.iter().map(|built| built.image.as_str()).collect::<Vec<_>>(), ["base", "runtime", "app"]);
    assert!(first.images.iter().all(|built| built.new));
    assert!(!project.digests("out").is_empty());

    let second = jobs::build::run(&into_layout(&project), &offline(&project).session).expect("builds");
    assert!(second.images.iter().all(|built| !built.new));
    assert!(first.images.iter().zip(&second.images).all(|(first, second)| first.index == second.index));

    let archive = Output::OciArchive(project.path("all.tar"));
    let request = BuildRequest { outputs: vec![archive], ..BuildRequest::default() };
    let error = jobs::build::run(&request, &Run::new(&project).session).expect_err("refuses");
    assert_eq!((error.turn(), project.path("all.tar").exists()), (Turn::Usage, false), "{error}");
}

#[test]
fn a_bundle_replaces_the_archives() {
    let project = built();
    let place = BundleLocation::Layout(project.path("bundle"));
    let request = BundleRequest { images: Vec::new(), output: place.clone(), platforms: Vec::new() };
    let bundle = jobs::bundle::run(&request, &Run::new(&project).session).expect("bundles");
    assert!(bundle.pushed.is_none() && bundle.bytes > 0 && bundle.contents.images.len() == 3);

    let empty = SessionOptions { store: project.path("empty"), offline: true, ..options(&project) };
    let request = BuildRequest { bundle: Some(place), ..into_layout(&project) };
    let outcome = jobs::build::run(&request, &Run::with(empty).session).expect("builds");
    assert!(outcome.images.iter().all(|built| built.new));
}

#[test]
fn publish_sends_what_the_registry_has_not() {
    let (project, registry) = (built(), Registry::start());
    let to = Some(format!("{}/team", registry.url()));
    let dry = PublishRequest { to: to.clone(), dry_run: true, ..PublishRequest::default() };
    let outcome = jobs::publish::run(&dry, &Run::new(&project).session).expect("looks");
    assert!(outcome.images.iter().all(|image| image.state == PublishState::WouldPublish) && !outcome.has_failed());
    assert!(registry.contents().repository("team/app").tags.is_empty());

    let request = PublishRequest { images: vec!["app".to_owned()], to, ..PublishRequest::default() };
    let outcome = jobs::publish::run(&request, &Run::new(&project).session).expect("publishes");
    assert_eq!(outcome.images.len(), 1);
    assert_eq!(outcome.images[0].state, PublishState::Published);
    assert!(registry.tags("team/app").values().all(|digest| *digest == outcome.images[0].digest.to_string()));

    let outcome = jobs::publish::run(&request, &Run::new(&project).session).expect("publishes");
    assert_eq!(outcome.images[0].state, PublishState::UpToDate);
    assert!(outcome.write_back.is_none() && outcome.announced.is_empty());
}

#[test]
fn update_looks_writes_and_publishes() {
    let (mut project, registry) = (built(), Registry::start());
    let looked = jobs::update::run(&UpdateRequest::default(), &Run::new(&project).session).expect("looks");
    assert!(looked.images.iter().all(|image| image.update.state == UpdateState::Current) && !looked.wrote);

    patch(&mut project);
    let before = project.text("base-images/base.lock.yaml");
    let looked = jobs::update::run(&UpdateRequest::default(), &Run::new(&project).session).expect("looks");
    assert!(looked.images.iter().all(|image| image.update.state == UpdateState::Changed));
    assert_eq!(project.text("base-images/base.lock.yaml"), before);

    let request = UpdateRequest {
        action: UpdateAction::Publish,
        to: Some(format!("{}/team", registry.url())),
        metrics: Some(project.path("sockel.prom")),
        ..UpdateRequest::default()
    };
    let outcome = jobs::update::run(&request, &Run::new(&project).session).expect("updates");
    assert!(outcome.wrote && !outcome.has_failed());
    assert!(project.text("base-images/base.lock.yaml").contains("2.1"));
    assert_eq!(outcome.published_image("app").map(|image| image.state), Some(PublishState::Published));
    // the other layers were built before, and a patched library changes none of them
    let layers: Vec<bool> = outcome.images.iter().map(|image| image.layers_found > 0).collect();
    assert!(outcome.images[0].layers_made > 0 && layers.iter().all(|found| *found), "{layers:?}");
    assert!(project.text("sockel.prom").contains("sockel_"));
}

/// Patches reach people whether or not somebody can explain them.
#[test]
fn an_advisory_feed_that_is_down_stops_no_patch() {
    let (mut project, registry) = (built(), Registry::start());
    project.write(
        "base-images/registry.yaml",
        "advisories: [ http://127.0.0.1:1/osv.zip ]\ninsecure: [ \"127.0.0.1:1\" ]\n",
    );
    patch(&mut project);
    let request = UpdateRequest {
        action: UpdateAction::Publish,
        to: Some(format!("{}/team", registry.url())),
        ..UpdateRequest::default()
    };
    let outcome = jobs::update::run(&request, &Run::new(&project).session).expect("updates");
    assert!(outcome.advisories.is_some() && outcome.has_failed() && outcome.wrote);
    assert!(outcome.images.iter().all(|image| image.error.is_none()));
    assert_eq!(outcome.published_image("app").map(|image| image.state), Some(PublishState::Published));
    assert!(project.text("base-images/app.lock.yaml").contains("2.1"));
}

#[test]
fn update_refuses_requests_that_do_nothing() {
    let project = built();
    let write_back = jobs::publish::WriteBackRequest { folder: project.path(""), author: None, push: false };
    let request = UpdateRequest { write_back: Some(write_back), ..UpdateRequest::default() };
    let error = jobs::update::run(&request, &Run::new(&project).session).expect_err("refuses");
    assert_eq!(error.turn(), Turn::Usage, "{error}");
}

#[test]
fn rebase_moves_an_application() {
    let mut project = built();
    let out = project.path("out");
    let image = format!("oci:{}:app:1", out.display());
    let base = Some(format!("oci:{}", out.display()));
    let request = RebaseRequest { base, tags: vec!["moved".to_owned()], ..RebaseRequest::of(&image) };
    let rebased = jobs::rebase::run(&request, &Run::new(&project).session).expect("looks");
    assert_eq!(rebased.state, RebaseState::UpToDate);

    let error = jobs::rebase::run(&RebaseRequest::of("oci:nowhere"), &Run::new(&project).session).expect_err("refuses");
    assert_eq!(error.turn(), Turn::Usage, "{error}");
    patch(&mut project);
}

#[test]
fn plan_skips_what_is_done() {
    let project = built();
    let plan = jobs::plan::run(&PlanRequest::default(), &offline(&project).session).expect("plans");
    assert_eq!((plan.jobs.len(), plan.skipped.len()), (0, 3));

    let empty = SessionOptions { store: project.path("empty"), ..options(&project) };
    let plan = jobs::plan::run(&PlanRequest::default(), &Run::with(empty).session).expect("plans");
    assert_eq!(plan.jobs.iter().map(|job| job.needs.len()).collect::<Vec<_>>(), [0, 1, 1]);

    let request = PlanRequest { published: true, ..PlanRequest::default() };
    let error = jobs::plan::run(&request, &Run::new(&project).session).expect_err("is a folder");
    assert_eq!(error.turn(), Turn::Usage, "{error}");
}

#[test]
fn show_finds_origins() {
    let project = built();
    let request = ShowRequest {
        image: "app".to_owned(),
        path: Some("/usr/lib/libc.so.6".to_owned()),
        layers: true,
        largest: Some(2),
        ..ShowRequest::default()
    };
    let shown = jobs::show::run(&request, &offline(&project).session).expect("shows");
    assert_eq!(shown.path.map(|entry| entry.path), Some("usr/lib/libc.so.6".to_owned()));
    assert_eq!(shown.largest.map(|entries| entries.len()), Some(2));
    assert!(shown.layers.is_some_and(|layers| layers.len() > 2));

    let missing = ShowRequest { image: "app".to_owned(), path: Some("/nowhere".to_owned()), ..ShowRequest::default() };
    let error = jobs::show::run(&missing, &offline(&project).session).expect_err("is not there");
    assert_eq!(error.to_string(), "cannot show `/nowhere`: the image has no such path");
}

#[test]
fn diff_compares_images_and_locks() {
    let project = built();
    let source = |name: &str| ImageSource::Layout { folder: project.path("out"), name: name.to_owned() };
    let request = DiffRequest { before: source("runtime:1"), after: source("app:1"), platform: None };
    let difference = jobs::diff::images(&request, &offline(&project).session).expect("compares");
    assert!(difference.files.iter().any(|change| change.name == "etc/app.conf"));

    let same = jobs::diff::locks("app", "app", &project.path("")).expect("compares");
    assert!(same.is_empty());
    let error = jobs::diff::locks("app", "other", &project.path("")).expect_err("is not locked");
    assert!(error.to_string().contains("there is no lock file"), "{error}");
}

#[test]
fn status_and_cache_need_no_network() {
    let project = built();
    let request = StatusRequest { images: vec!["app".to_owned()], older_than: Some(1) };
    let status = jobs::status::run(&request, &offline(&project).session).expect("looks");
    assert_eq!(status.images.len(), 1);
    assert!(status.images[0].built && status.images[0].due.old);

    let usage = jobs::cache::usage(&offline(&project).session).expect("counts");
    assert!(usage.iter().map(|part| part.bytes).sum::<u64>() > 0);
    let verified = jobs::cache::verify(&offline(&project).session).expect("reads");
    assert!(verified.checked > 0 && verified.removed.is_empty());
    let error = jobs::cache::prune_shared(1, &offline(&project).session).expect_err("there is none");
    assert_eq!(error.turn(), Turn::Input, "{error}");
    let pruned = jobs::cache::prune(0, offline(&project).session).expect("prunes");
    assert!(pruned.files > 0);
}

/// The mirrors of the registry file that a session names count, not those of the project's own file.
#[test]
fn one_registry_file_counts_for_everything() {
    let project = built();
    project.write("base-images/registry.yaml", "mirrors: { test: [ \"http://own.invalid/\" ] }\n");
    project.write("other/registry.yaml", "mirrors: { test: [ \"http://named.invalid/\" ] }\n");
    let named = SessionOptions { registry_file: Some(project.path("other/registry.yaml")), ..options(&project) };
    let run = Run::with(named);
    assert_eq!(run.session.mirrors().given["test"], ["http://named.invalid/"]);

    let missing = SessionOptions { registry_file: Some(project.path("none.yaml")), ..options(&project) };
    let error = Session::open(missing, Arc::new(EventRecorder::default())).err().expect("is not there");
    assert_eq!(error.turn(), Turn::Input, "{error}");
}

/// The programs in `examples/` do what their first line says.
#[test]
fn examples_run() {
    let project = Project::new();
    let text = |path: &str| project.path(path).display().to_string();
    let built = example(&["build", &text(""), &text("store"), "app", &text("out")]);
    assert!(built.contains("app:1 sha256:"), "{built}");
    let updated = example(&["update", &text(""), &text("store")]);
    assert!(updated.contains("app Current, 0 CVE numbers fixed"), "{updated}");
    let rebased =
        example(&["rebase", &text("store"), &format!("oci:{}:app:1", text("out")), &format!("oci:{}", text("out"))]);
    assert!(rebased.contains("-> sha256:"), "{rebased}");
}

/// Runs an example with its arguments. Cargo has built it for this run of the tests, or builds it now.
fn example(arguments: &[&str]) -> String {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--locked", "--example", arguments[0]]);
    assert!(build.status().expect("runs").success());

    let folder = Path::new(env!("CARGO_BIN_EXE_sockel")).parent().expect("is in a folder");
    let output = Command::new(folder.join("examples").join(arguments[0])).args(&arguments[1..]).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("is text")
}
