//! Graphs, and what engines get of them.

use super::*;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

fn candidate(image: &str, parent: Option<&str>, platforms: &[&str], done: Option<SkipReason>) -> PlanCandidate {
    PlanCandidate {
        image: image.to_owned(),
        key: Digest::of(image.as_bytes()),
        parent: parent.map(str::to_owned),
        platforms: platforms.iter().map(|platform| platform.parse().unwrap()).collect(),
        tags: vec!["1".to_owned()],
        done,
    }
}

fn family(done: Option<SkipReason>) -> Vec<PlanCandidate> {
    let both = ["linux/amd64", "linux/arm64"];
    vec![
        candidate("debian-13", None, &both, done),
        candidate("java-21", Some("debian-13"), &both, None),
        candidate("tomcat-10.1", Some("java-21"), &["linux/amd64"], None),
    ]
}

fn around() -> PipelineSettings {
    PipelineSettings {
        before: vec!["-C".to_owned(), "base platform".to_owned()],
        publish: vec!["--to".to_owned(), "https://harbor.example.org/base".to_owned()],
        image: Some("harbor.example.org/base/sockel:1".to_owned()),
        source: Some(("https://git.example.org/platform.git".to_owned(), "main".to_owned())),
        login: Some("registry-login".to_owned()),
        store: None,
    }
}

/// Every engine's form of a plan.
fn all(plan: &BuildPlan) -> [(&'static str, String); 3] {
    [
        ("gitlab", gitlab::pipeline(plan, &around()).unwrap()),
        ("argo", argo::workflow(plan, &around()).unwrap()),
        ("tekton", tekton::pipeline_run(plan, &around()).unwrap()),
    ]
}

fn read(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

/// Returns the tasks of a form with what they wait for.
fn tasks(engine: &str, document: &Value) -> Vec<(String, Vec<String>)> {
    let texts = |value: &Value| {
        let all = value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.get("job").unwrap_or(value).as_str().unwrap().to_owned();
        all.iter().map(text).collect::<Vec<String>>()
    };
    if engine == "gitlab" {
        let jobs = document.as_object().unwrap().iter().filter(|(_, job)| job.get("script").is_some());
        return jobs.map(|(name, job)| (name.clone(), texts(&job["needs"]))).collect();
    }
    let (list, before) = match engine {
        "argo" => (&document["spec"]["templates"][0]["dag"]["tasks"], "dependencies"),
        _ => (&document["spec"]["pipelineSpec"]["tasks"], "runAfter"),
    };
    let task = |task: &Value| (task["name"].as_str().unwrap().to_owned(), texts(&task[before]));
    list.as_array().unwrap().iter().map(task).collect()
}

#[test]
fn what_is_done_is_left_out_and_said() {
    let plan = BuildPlan::new(&family(Some(SkipReason::Built)), false);
    let jobs: Vec<(&str, &[String])> = plan.jobs.iter().map(|job| (job.name.as_str(), job.needs.as_slice())).collect();
    assert_eq!(jobs, [("publish:java-21", [].as_slice()), ("publish:tomcat-10.1", &["publish:java-21".to_owned()])]);
    assert_eq!(plan.skipped.len(), 1);
    assert_eq!(plan.shape(), (1, 2));
}

#[test]
fn platforms_are_built_side_by_side() {
    let plan = BuildPlan::new(&family(None), true);
    let jobs: Vec<String> = plan.jobs.iter().map(|job| format!("{} <- {}", job.name, job.needs.join(" "))).collect();
    assert_eq!(
        jobs,
        [
            "build:debian-13:amd64 <- ",
            "build:debian-13:arm64 <- ",
            "publish:debian-13 <- build:debian-13:amd64 build:debian-13:arm64",
            "build:java-21:amd64 <- build:debian-13:amd64",
            "build:java-21:arm64 <- build:debian-13:arm64",
            "publish:java-21 <- build:java-21:amd64 build:java-21:arm64 publish:debian-13",
            "publish:tomcat-10.1 <- publish:java-21",
        ]
    );
    assert_eq!(plan.shape(), (3, 4));
}

#[test]
fn nothing_is_a_pipeline_too() {
    let mut none = family(Some(SkipReason::Published));
    none.truncate(1);
    let plan = BuildPlan::new(&none, false);
    assert_eq!(plan.shape(), (0, 0));
    for (engine, text) in all(&plan) {
        assert_eq!(tasks(engine, &read(&text)), [("nothing-to-do".to_owned(), Vec::new())], "{text}");
    }
}

#[test]
fn engines_on_kubernetes_need_an_image_and_a_source() {
    let plan = BuildPlan::new(&family(None), false);
    let without = PipelineSettings { image: None, ..around() };
    for result in [argo::workflow(&plan, &without), tekton::pipeline_run(&plan, &without)] {
        assert!(result.unwrap_err().to_string().ends_with("the image with sockel is not set"));
    }
    assert!(gitlab::pipeline(&plan, &without).is_ok());
    let without = PipelineSettings { source: None, ..around() };
    assert_eq!(argo::workflow(&plan, &without).unwrap_err().hints(), ["set it with `--source`"]);
}

#[test]
fn names_of_objects() {
    for (name, expected) in
        [("registry-login", true), ("a.b", true), ("A", false), ("", false), ("a.", false), ("-a", false)]
    {
        assert_eq!(is_object_name(name), expected, "{name}");
    }
}

#[test]
fn golden() {
    let plan = BuildPlan::new(&family(Some(SkipReason::Built)), false);
    let [(_, gitlab), (_, argo), (_, tekton)] = all(&plan);
    insta::assert_snapshot!("gitlab", gitlab);
    insta::assert_snapshot!("argo", argo);
    insta::assert_snapshot!("tekton", tekton);
}

/// Images that stand on nothing or on one before them; some are done.
fn families() -> impl Strategy<Value = Vec<PlanCandidate>> {
    let one = ("[a-z0-9][a-z0-9.-]{0,70}", any::<prop::sample::Index>(), any::<bool>(), 1_usize..3, any::<bool>());
    prop::collection::vec(one, 0..20).prop_map(|images| {
        let mut all: Vec<PlanCandidate> = Vec::new();
        for (image, parent, stands, platforms, done) in images {
            if all.iter().any(|other| other.image == image) {
                continue;
            }
            let parent = (stands && !all.is_empty()).then(|| all[parent.index(all.len())].image.clone());
            let platforms = &["linux/amd64", "linux/arm64"][..platforms];
            all.push(candidate(&image, parent.as_deref(), platforms, done.then_some(SkipReason::Built)));
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_job_is_lost_and_parents_come_first(candidates in families(), per_platform in any::<bool>()) {
        let plan = BuildPlan::new(&candidates, per_platform);
        let published = plan.jobs.iter().filter(|job| job.step == JobStep::Publish).map(|job| job.image.as_str());
        let images: BTreeSet<&str> = published.chain(plan.skipped.iter().map(|skipped| skipped.image.as_str())).collect();
        prop_assert_eq!(images, candidates.iter().map(|candidate| candidate.image.as_str()).collect());
        let mut before = BTreeSet::new();
        for job in &plan.jobs {
            prop_assert!(job.needs.iter().all(|need| before.contains(need)), "{:?}", job);
            prop_assert!(before.insert(&job.name));
        }
        // a child whose parent is built anew waits for it
        for candidate in candidates.iter().filter(|candidate| candidate.done.is_none()) {
            let parent = candidate.parent.as_ref().and_then(|parent| candidates.iter().find(|other| other.image == *parent));
            if let Some(parent) = parent.filter(|parent| parent.done.is_none()) {
                let name = format!("publish:{}", candidate.image);
                let job = plan.jobs.iter().find(|job| job.name == name).expect("it is a job");
                let need = format!("publish:{}", parent.image);
                prop_assert!(job.needs.contains(&need));
            }
        }
        for (engine, text) in all(&plan) {
            let tasks = tasks(engine, &read(&text));
            prop_assert_eq!(tasks.len(), plan.jobs.len().max(1));
            let edges: usize = tasks.iter().map(|(_, needs)| needs.len()).sum();
            prop_assert_eq!(edges, plan.jobs.iter().map(|job| job.needs.len()).sum::<usize>());
            let names: BTreeSet<&String> = tasks.iter().map(|(name, _)| name).collect();
            prop_assert_eq!(names.len(), tasks.len(), "{} {:?}", engine, tasks);
            prop_assert!(tasks.iter().flat_map(|(_, needs)| needs).all(|need| names.contains(need)));
        }
    }
}

#[test]
fn engines_replace_nothing_that_was_given() {
    let plan = BuildPlan::new(&family(None), false);
    let with = |change: &dyn Fn(&mut PipelineSettings)| {
        let mut around = around();
        change(&mut around);
        let gitlab = gitlab::pipeline(&plan, &around).is_ok();
        (gitlab, argo::workflow(&plan, &around), tekton::pipeline_run(&plan, &around))
    };
    let (gitlab, argo, tekton) = with(&|around| around.publish[1] = "oci:{{workflow.parameters.x}}".to_owned());
    assert!(gitlab && tekton.is_ok());
    assert!(argo.unwrap_err().to_string().contains("it replaces `{{` in `oci:{{workflow.parameters.x}}`"));
    let (gitlab, argo, tekton) = with(&|around| around.before[1] = "a$(SECRET)$$b".to_owned());
    assert!(gitlab && tekton.is_err());
    // Kubernetes reads two dollar signs as one
    assert!(argo.unwrap().contains("a$$(SECRET)$$$$b"));
    let (gitlab, argo, tekton) =
        with(&|around| around.source = Some(("https://h/$(context.x)".to_owned(), "{{x}}".to_owned())));
    assert!(!gitlab && argo.is_err() && tekton.is_err());
    let (gitlab, ..) = with(&|around| around.image = Some("r/$CI_JOB_TOKEN".to_owned()));
    let (inputs, ..) = with(&|around| around.publish[1] = "oci:$[[ inputs.x ]]".to_owned());
    assert!(!gitlab && !inputs);
    for text in ["oci:a\u{202e}b", "oci:a\nb", "oci:a\u{1b}[31m"] {
        let (gitlab, argo, tekton) = with(&|around| around.publish[1] = text.to_owned());
        assert!(!gitlab && argo.is_err() && tekton.is_err(), "{text:?}");
    }
}
