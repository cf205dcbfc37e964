//! Setup: everything once, nothing twice, nothing in a dry run, and what to do where it is not permitted.

use crate::harbor::admin;
use crate::harbor::host;
use crate::harbor::login;
use crate::support::registry::Fault;
use crate::support::registry::Response;
use crate::support::registry::Trouble;
use crate::support::registry::harbor::Harbor as Double;
use serde_json::Value;
use sockel::gate::Exemption;
use sockel::gate::Severity;
use sockel::harbor::Error;
use sockel::harbor::Harbor;
use sockel::harbor::HarborRefusal;
use sockel::harbor::setup::CacheSetup;
use sockel::harbor::setup::HarborSetup;
use sockel::harbor::setup::ProjectSetup;
use sockel::harbor::setup::Robots;
use sockel::harbor::setup::SetupStep;
use sockel::harbor::setup::StepState;
use sockel::harbor::setup::Webhook;
use sockel::sys::fs;
use sockel::values::Epoch;
use sockel::values::Secret;
use sockel::values::WaiverTerms;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn wanted(keep: &Path) -> HarborSetup {
    let project = |name: &str| ProjectSetup { name: name.to_owned(), storage: Some(10 << 30) };
    let exemption = Exemption {
        vulnerability: "CVE-2026-1".to_owned(),
        package: None,
        terms: WaiverTerms { reason: "x".to_owned(), agreed_by: None, expires: Epoch(4_000_000_000) },
    };
    HarborSetup {
        staging: project("base-staging"),
        release: project("base"),
        withhold: Some(Severity::High),
        exemptions: vec![exemption],
        signed: true,
        moving: vec!["latest".to_owned()],
        keep: 20,
        cache: None,
        labels: vec!["released".to_owned(), "approved".to_owned()],
        robots: Some(Robots {
            pipeline: "pipeline".to_owned(),
            release: "freigabe".to_owned(),
            days: 90,
            keep: keep.to_owned(),
        }),
        webhook: Some(Webhook {
            name: "scans".to_owned(),
            address: "https://ci.example/hook".to_owned(),
            authorization: Some(Secret::new("marker".to_owned())),
        }),
    }
}

fn states<'a>(steps: &'a [SetupStep], state: &StepState) -> Vec<&'a str> {
    steps.iter().filter(|step| step.state == *state).map(|step| step.what.as_str()).collect()
}

fn writes(double: &Double) -> usize {
    let is_write = |method: &str| matches!(method, "POST" | "PUT" | "DELETE" | "PATCH");
    double.log().entries().iter().filter(|entry| is_write(&entry.method)).count()
}

#[tokio::test]
async fn makes_everything_once() {
    let (host, double) = (host(), Double::start("v2.15.2"));
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().join("secrets");
    let client = admin(&host, &double);

    let planned = client.plan(&wanted(&keep)).await.unwrap();
    assert!(planned.iter().all(|step| step.state == StepState::WouldCreate), "{planned:#?}");
    assert_eq!((writes(&double), keep.exists()), (0, false), "a dry run changes nothing");

    let done = client.apply(&wanted(&keep)).await.unwrap();
    assert!(done.iter().all(|step| step.state.is_fine()), "{done:#?}");
    let names = |steps: &[SetupStep]| steps.iter().map(|step| step.what.clone()).collect::<Vec<_>>();
    let missing: Vec<String> = names(&planned).into_iter().filter(|what| !names(&done).contains(what)).collect();
    assert_eq!(missing, Vec::<String>::new(), "a dry run tells of everything that is done");
    let flags = double.state().projects.values().map(|project| project["metadata"].clone()).collect::<Vec<Value>>();
    assert_eq!((&flags[0]["auto_scan"], &flags[0]["prevent_vul"]), (&"false".into(), &"false".into()));
    assert_eq!((&flags[1]["severity"], &flags[1]["enable_content_trust_cosign"]), (&"high".into(), &"true".into()));

    let before = writes(&double);
    let again = client.apply(&wanted(&keep)).await.unwrap();
    assert!(again.iter().all(|step| step.state == StepState::Exists), "{again:#?}");
    assert_eq!(writes(&double), before, "a second run changes nothing");
}

#[tokio::test]
async fn keeps_secrets_in_files_of_their_owner() {
    let (host, double) = (host(), Double::start("v2.15.2"));
    let folder = tempfile::tempdir().unwrap();
    let steps = admin(&host, &double).apply(&wanted(folder.path())).await.unwrap();
    assert_eq!(fs::list(folder.path()).unwrap(), ["freigabe.json", "pipeline.json"]);
    for name in ["freigabe", "pipeline"] {
        let path = folder.path().join(format!("{name}.json"));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let kept: Value = serde_json::from_str(&fs::read_text(&path, 1000).unwrap()).unwrap();
        assert_eq!(kept["name"], format!("robot${name}"));
        let secret = kept["secret"].as_str().unwrap();
        assert!(!format!("{steps:?}").contains(secret));
        // it works, and may not set anything up
        let robot = Harbor::new(&host, double.url().parse().unwrap(), login(&format!("robot${name}"), secret));
        assert!(robot.discover().await.unwrap().is_some());
        let steps = robot.apply(&wanted(folder.path())).await.unwrap();
        let refused = steps.iter().filter(|step| matches!(step.state, StepState::NotPermitted { .. })).count();
        assert!(refused > 3 && !steps.iter().any(|step| step.state == StepState::Created), "{steps:#?}");
        let age = robot.database_updated_at("base-staging").await.unwrap();
        assert_eq!(age.is_some(), name == "pipeline", "only one has images scanned");
    }
}

#[tokio::test]
async fn changes_what_is_different() {
    let (host, double) = (host(), Double::start("v2.15.2"));
    let folder = tempfile::tempdir().unwrap();
    let client = admin(&host, &double);
    client.apply(&wanted(folder.path())).await.unwrap();
    let mut other = wanted(folder.path());
    other.staging.storage = Some(-1);
    other.withhold = Some(Severity::Critical);
    other.exemptions.clear();
    other.labels.push("new".to_owned());
    other.webhook.as_mut().unwrap().address.push_str("/2");
    other.keep = 5;
    let before = writes(&double);
    let planned = client.plan(&other).await.unwrap();
    assert_eq!(writes(&double), before);
    let would = StepState::WouldChange("severity: high → critical".to_owned());
    assert_eq!(states(&planned, &would), ["project `base`"], "{planned:#?}");
    let done = client.apply(&other).await.unwrap();
    assert_eq!(states(&done, &StepState::Created), ["label `new` of project `base`"]);
    let changed: Vec<String> = done.iter().map(ToString::to_string).filter(|step| step.contains("changed (")).collect();
    let expected = [
        "quota of project `base-staging`: changed (10737418240 → -1 bytes)",
        "project `base`: changed (severity: high → critical)",
        "retention of project `base-staging`: changed (the 20 most recently pushed of each repository → the 5 most recently pushed of each repository)",
        "CVE allow-list of project `base`: changed (1 → 0 identifiers)",
        "webhook `scans` of project `base-staging`: changed (address or events)",
    ];
    assert_eq!(changed, expected, "{done:#?}");
    assert!(done.iter().all(|step| step.state.is_fine()), "{done:#?}");
    let again = client.apply(&other).await.unwrap();
    assert!(again.iter().all(|step| step.state == StepState::Exists), "{again:#?}");
}

#[tokio::test]
async fn rules_of_ours_hold_again_and_follow_the_file() {
    let (host, double) = (host(), Double::start("v2.15.2"));
    let folder = tempfile::tempdir().unwrap();
    let client = admin(&host, &double);
    client.apply(&wanted(folder.path())).await.unwrap();
    let switch = || double.state().immutable.values_mut().for_each(|rule| rule["disabled"] = true.into());
    let rule = || double.state().immutable.values().next().unwrap().clone();
    let told =
        |steps: &[SetupStep]| steps.iter().map(ToString::to_string).filter(|step| !step.ends_with("exists")).collect();
    let what = "immutable tags of project `base`: changed";
    let mut other = wanted(folder.path());
    other.moving.push("11".to_owned());
    let moved = format!("{what} (moving tags: {{sha256-*.sig,latest}} → {{sha256-*.sig,latest,11}})");
    let back = format!("{what} (moving tags: {{sha256-*.sig,latest,11}} → {{sha256-*.sig,latest}})");
    let on = format!("{what} (disabled → enabled)");
    // somebody switches it off; what is wanted; what is done
    let table = [
        (true, wanted(folder.path()), vec![on.clone()]),
        (false, other, vec![moved]),
        (true, wanted(folder.path()), vec![on, back]),
    ];
    for (is_off, wanted, expected) in table {
        if is_off {
            switch();
        }
        let done: Vec<String> = told(&client.apply(&wanted).await.unwrap());
        assert_eq!(done, expected);
        let rules = double.state().immutable.len();
        assert_eq!((rule()["disabled"].as_bool(), rules), (Some(false), 1), "{:#?}", rule());
        assert!(client.apply(&wanted).await.unwrap().iter().all(|step| step.state == StepState::Exists));
    }
    // what somebody else made is left alone, and said
    double.state().immutable.values_mut().for_each(|rule| rule["tag_selectors"][0]["pattern"] = "v*".into());
    let done = client.apply(&wanted(folder.path())).await.unwrap();
    assert!(
        done.iter().any(|step| matches!(&step.state, StepState::Left { remedy } if remedy.contains("another rule")))
    );
}

#[tokio::test]
async fn robots_of_others_are_left_alone() {
    let (host, double) = (host(), Double::start("v2.15.2"));
    let folder = tempfile::tempdir().unwrap();
    let client = admin(&host, &double);
    client.apply(&wanted(folder.path())).await.unwrap();
    let rights =
        || double.state().robots.values().map(|robot| robot.shown["permissions"].clone()).collect::<Vec<Value>>();
    let before = rights();
    // a second file with other projects and the same names
    let mut second = wanted(folder.path());
    (second.staging.name, second.release.name) = ("other-staging".to_owned(), "other".to_owned());
    let done = client.apply(&second).await.unwrap();
    let left = |steps: &[SetupStep], words: &str| {
        steps.iter().filter(|step| matches!(&step.state, StepState::Left { remedy } if remedy.contains(words))).count()
    };
    assert_eq!((left(&done, "`robot-name` in `setup`"), rights()), (2, before), "{done:#?}");
    let robots = second.robots.as_mut().unwrap();
    (robots.pipeline, robots.release) = ("two-pipeline".to_owned(), "two-freigabe".to_owned());
    let done = client.apply(&second).await.unwrap();
    assert!(done.iter().all(|step| step.state.is_fine()) && rights().len() == 4, "{done:#?}");
    // a secret that is lost
    fs::remove(&folder.path().join("pipeline.json")).unwrap();
    let done = client.apply(&wanted(folder.path())).await.unwrap();
    assert_eq!(left(&done, "pipeline.json`: put the file back"), 1, "{done:#?}");
}

#[tokio::test]
async fn ends_clearly() {
    let (host, double) = (host(), Double::start("v2.15.2"));
    let folder = tempfile::tempdir().unwrap();
    let client = admin(&host, &double);
    // somebody else makes the project at the same moment
    let conflict = Response::error(409, "CONFLICT", "The project named base-staging already exists");
    double.fault(Fault::new("POST", "*/projects", Trouble::Instead(conflict)));
    let steps = client.apply(&wanted(folder.path())).await.unwrap();
    assert_eq!((&*steps[0].what, &steps[0].state), ("project `base-staging`", &StepState::Exists));
    assert!(steps.iter().all(|step| step.state.is_fine()), "{steps:#?}");
    // the answer with a robot's secret is lost: it is not asked for again, and said what to do
    let double = Double::start("v2.15.2");
    let client = admin(&host, &double);
    double.fault(Fault::new("POST", "*/robots", Trouble::Silence));
    let error = client.apply(&wanted(folder.path())).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot create robot `pipeline`: "), "{error}");
    assert_eq!(double.log().count("POST", "*/robots"), 1);
    double.is_read_only();
    assert!(matches!(
        client.apply(&wanted(folder.path())).await,
        Err(Error::Known { cause: HarborRefusal::ReadOnly, .. })
    ));
    assert!(client.plan(&wanted(folder.path())).await.is_ok());
    let other = crate::support::registry::Registry::start();
    let client = Harbor::new(&host, other.url().parse().unwrap(), login("a", "b"));
    let error = client.apply(&wanted(folder.path())).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot use the setup: `{}` is no Harbor", other.url()));
}

fn cache(project: &str) -> Option<CacheSetup> {
    let project = ProjectSetup { name: project.to_owned(), storage: Some(1 << 30) };
    Some(CacheSetup { project, repository: "results".to_owned(), days: 30 })
}

#[tokio::test]
async fn the_cache_has_its_project_rights_and_rules() {
    let (host, double) = (host(), Double::start("v2.15.2"));
    let folder = tempfile::tempdir().unwrap();
    let client = admin(&host, &double);
    client.apply(&wanted(folder.path())).await.unwrap();
    let told = |steps: &[SetupStep]| -> Vec<String> {
        steps.iter().map(ToString::to_string).filter(|step| !step.ends_with(": exists")).collect()
    };
    // its own project, then none, then within staging
    let mut own = wanted(folder.path());
    own.cache = cache("base-cache");
    let done = told(&client.apply(&own).await.unwrap());
    let rights = "base-cache repository:";
    let expected = [
        "project `base-cache`: created".to_owned(),
        "retention of project `base-cache`: created".to_owned(),
        format!("robot `pipeline`: changed (+{rights}delete, +{rights}pull, +{rights}push)"),
    ];
    assert_eq!(done, expected);
    let quotas: Vec<Value> = double.state().quotas.values().map(|quota| quota["hard"]["storage"].clone()).collect();
    assert!(quotas.contains(&(1 << 30).into()), "{quotas:?}");
    assert_eq!(told(&client.apply(&own).await.unwrap()), Vec::<String>::new());

    let done = told(&client.apply(&wanted(folder.path())).await.unwrap());
    assert_eq!(done, Vec::<String>::new(), "rights on a project that is no longer named stay");
    let mut shared = wanted(folder.path());
    shared.cache = cache("base-staging");
    let done = told(&client.apply(&shared).await.unwrap());
    let change = "the 20 most recently pushed of each repository → the 20 most recently pushed of each repository but `results`; everything of `results`";
    assert_eq!(done[0], format!("retention of project `base-staging`: changed ({change})"));
    assert_eq!(done[1..], ["robot `pipeline`: changed (+base-staging repository:delete)"]);
    assert_eq!(told(&client.apply(&shared).await.unwrap()), Vec::<String>::new());

    // somebody's own rule is left alone
    for policy in double.state().retentions.values_mut() {
        policy["rules"][0]["template"] = "nDaysSinceLastPull".into();
    }
    let done = told(&client.apply(&shared).await.unwrap());
    assert!(done.len() == 1 && done[0].contains("left as it is; there are other rules; wanted is the 20"), "{done:?}");
}

#[tokio::test]
async fn names_follow_harbors_prefix() {
    let (host, double) = (host(), Double::start("v2.15.2"));
    let folder = tempfile::tempdir().unwrap();
    let client = admin(&host, &double);
    client.apply(&wanted(folder.path())).await.unwrap();
    double.state().rename_robots("bot+");
    let kept = || -> Value {
        serde_json::from_str(&fs::read_text(&folder.path().join("pipeline.json"), 1000).unwrap()).unwrap()
    };
    let before = kept();
    let change = StepState::WouldChange("name: robot$pipeline → bot+pipeline".to_owned());
    let planned = client.plan(&wanted(folder.path())).await.unwrap();
    assert_eq!((states(&planned, &change), kept()), (vec!["file of robot `pipeline`"], before.clone()));
    let done = client.apply(&wanted(folder.path())).await.unwrap();
    assert!(done.iter().all(|step| step.state.is_fine()) && double.state().robots.len() == 2, "{done:#?}");
    let after = kept();
    assert_eq!((&after["name"], &after["secret"]), (&"bot+pipeline".into(), &before["secret"]));
    let secret = after["secret"].as_str().unwrap();
    let robot = Harbor::new(&host, double.url().parse().unwrap(), login("bot+pipeline", secret));
    assert!(robot.discover().await.unwrap().is_some(), "it can log in");
    let again = client.apply(&wanted(folder.path())).await.unwrap();
    assert!(again.iter().all(|step| step.state == StepState::Exists), "{again:#?}");
    // a new Harbor whose prefix is another one from the beginning
    let double = Double::start("v2.15.2");
    double.state().rename_robots("bot+");
    let client = admin(&host, &double);
    client.apply(&wanted(&folder.path().join("new"))).await.unwrap();
    let again = client.apply(&wanted(&folder.path().join("new"))).await.unwrap();
    assert!(again.iter().all(|step| step.state == StepState::Exists), "{again:#?}");
}
