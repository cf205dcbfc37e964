//! Promotion: what is judged is released, with the tags that are wanted and no others, however often it is tried.

use crate::double::MANIFEST;
use crate::harbor::admin;
use crate::harbor::host;
use crate::harbor::push;
use crate::harbor::repository;
use crate::support::registry::Fault;
use crate::support::registry::Response;
use crate::support::registry::Trouble;
use crate::support::registry::harbor::Harbor as Double;
use serde_json::json;
use sockel::fault::Explain;
use sockel::fault::Turn;
use sockel::harbor::Error;
use sockel::harbor::Repository;
use sockel::harbor::promote::Promoted;
use sockel::harbor::promote::Promotion;
use sockel::harbor::setup::HarborSetup;
use sockel::harbor::setup::ProjectSetup;
use sockel::values::Digest;
use std::collections::BTreeMap;

/// Two projects as `--setup` makes them, and an image in staging with its throw-away tag.
struct Stage {
    double: Double,
    from: Repository,
    to: Repository,
    digest: Digest,
    fixed: Vec<String>,
    moving: Vec<String>,
    labels: Vec<String>,
}

impl Stage {
    async fn set() -> Self {
        let double = Double::start("v2.15.2");
        let project = |name: &str| ProjectSetup { name: name.to_owned(), storage: None };
        let labels = vec!["released".to_owned()];
        let wanted = HarborSetup {
            staging: project("staging"),
            release: project("release"),
            withhold: None,
            exemptions: Vec::new(),
            signed: false,
            moving: vec!["11".to_owned(), "latest".to_owned()],
            keep: 5,
            cache: None,
            labels: labels.clone(),
            robots: None,
            webhook: None,
        };
        admin(&host(), &double).apply(&wanted).await.unwrap();
        let digest = push(&double, "staging/base/tomcat", &["candidate"], b"layer");
        let text = |text: &str| text.to_owned();
        let (fixed, moving) = (vec![text("11.0.2")], vec![text("11"), text("latest")]);
        let (from, to) = (repository("staging/base/tomcat"), repository("release/base/tomcat"));
        Self { double, from, to, digest, fixed, moving, labels }
    }

    async fn promote(&self) -> Result<Promoted, Error> {
        let promotion = Promotion {
            from: &self.from,
            to: &self.to,
            digest: self.digest,
            fixed: &self.fixed,
            moving: &self.moving,
            throwaway: Some("candidate"),
            labels: &self.labels,
        };
        admin(&host(), &self.double).promote(&promotion).await
    }

    fn tags(&self) -> BTreeMap<String, String> {
        self.double.registry.tags("release/base/tomcat")
    }

    fn copies(&self) -> usize {
        self.double.log().count("POST", "*/artifacts?from=*")
    }

    fn attach(&self, note: &str) -> Digest {
        let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let subject = json!({ "digest": self.digest.to_string() });
        let document = json!({ "mediaType": MANIFEST, "artifactType": kind, "subject": subject, "note": note });
        let bytes = document.to_string().into_bytes();
        self.double.registry.contents().add_manifest("staging/base/tomcat", MANIFEST, bytes).parse().unwrap()
    }
}

fn names(tags: &BTreeMap<String, String>) -> Vec<&str> {
    tags.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn releases_once() {
    let stage = Stage::set().await;
    let signature = stage.attach("1");
    let done = stage.promote().await.unwrap();
    assert!(done.copied && done.missing.is_empty() && done.to_move.is_empty() && done.kept.is_empty());
    assert_eq!((done.set, done.labels), (vec!["11.0.2".into(), "11".into(), "latest".into()], stage.labels.clone()));
    assert_eq!(names(&stage.tags()), ["11", "11.0.2", "latest"], "the throw-away tag did not come along");
    assert!(stage.double.registry.manifest("release/base/tomcat", &signature.to_string()).is_some());
    let posts: Vec<String> =
        stage.double.log().of("POST", "*/repositories/*").iter().map(|entry| entry.path.clone()).collect();
    let order = ["/artifacts", "/labels", "/tags", "/tags", "/tags"];
    assert!(posts.len() == 5 && posts.iter().zip(order).all(|(path, end)| path.ends_with(end)), "{posts:?}");

    let again = stage.promote().await.unwrap();
    assert_eq!((again.copied, again.set.len(), again.kept.len(), again.labels.len()), (false, 0, 3, 0));
    assert_eq!(stage.copies(), 1);
    let later = stage.attach("2");
    assert_eq!(stage.promote().await.unwrap().missing, [later], "accessories are copied once only");
}

#[tokio::test]
async fn tells_which_tags_have_to_be_moved() {
    let mut stage = Stage::set().await;
    let old = stage.digest;
    stage.promote().await.unwrap();
    stage.digest = push(&stage.double, "staging/base/tomcat", &["candidate"], b"newer");
    stage.fixed = vec!["11.0.3".to_owned()];
    let done = stage.promote().await.unwrap();
    assert_eq!((done.set, done.to_move), (vec!["11.0.3".to_owned()], stage.moving.clone()));
    let tags = stage.tags();
    assert_eq!((&tags["11"], &tags["11.0.3"]), (&old.to_string(), &stage.digest.to_string()), "never missing");
}

#[tokio::test]
async fn immutable_tags_end_the_matter_before_anything_is_changed() {
    let mut stage = Stage::set().await;
    stage.promote().await.unwrap();
    let old = stage.digest;
    stage.digest = push(&stage.double, "staging/base/tomcat", &["candidate"], b"other");
    let before = stage.tags();
    let error = stage.promote().await.unwrap_err();
    let expected =
        format!("cannot release `{}@{}`: tag `11.0.2` is {old} already and immutable", stage.from, stage.digest);
    assert_eq!((error.to_string(), error.turn()), (expected, Turn::Policy));
    assert_eq!((stage.copies(), stage.tags()), (1, before));
    assert!(stage.double.registry.tags("staging/base/tomcat").contains_key("candidate"));

    // a rule that comes between the look and the copy: Harbor's 412 gets a name
    let stage = Stage::set().await;
    push(&stage.double, "release/base/tomcat", &["latest"], b"elsewhere");
    let refused = Response::error(412, "PRECONDITION", "the tag latest configured as immutable, cannot be updated");
    stage.double.fault(Fault::new("POST", "*/artifacts?from=*", Trouble::Answer(refused)));
    let error = stage.promote().await.unwrap_err();
    assert!(matches!(&error, Error::TagTaken { tag, .. } if tag == "latest"), "{error}");
    assert_eq!((names(&stage.tags()), stage.copies()), (vec!["latest"], 1), "not tried again");
}

#[tokio::test]
async fn unexpected_tags_are_no_surprise() {
    let mut stage = Stage::set().await;
    push(&stage.double, "staging/base/tomcat", &["test", "11.0.2"], b"layer");
    let error = stage.promote().await.unwrap_err();
    assert!(matches!(&error, Error::UnexpectedTags { tags, .. } if *tags == ["test"]), "{error}");
    assert_eq!((stage.copies(), stage.tags().len()), (0, 0));
    // an index whose image has a tag
    let kind = "application/vnd.oci.image.index.v1+json";
    let manifests = json!([{ "digest": stage.digest.to_string() }]);
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests }).to_string();
    let index = stage.double.registry.contents().add_manifest("staging/base/tomcat", kind, index.into_bytes());
    stage.digest = index.parse().unwrap();
    assert!(matches!(stage.promote().await, Err(Error::UnexpectedTags { tags, .. }) if tags.len() == 3));
    stage.double.registry.contents().repository("staging/base/tomcat").tags.clear();
    assert!(stage.promote().await.unwrap().copied);
    assert_eq!(names(&stage.tags()), ["11", "11.0.2", "latest"]);
}

#[tokio::test]
async fn races_end_well() {
    // the copy was made by somebody else
    let stage = Stage::set().await;
    let conflict = || Response::error(409, "CONFLICT", "somebody was faster");
    stage.double.fault(Fault::new("POST", "*/artifacts?from=*", Trouble::Instead(conflict())));
    let done = stage.promote().await.unwrap();
    assert_eq!((done.copied, done.set.len(), stage.copies()), (false, 3, 1));
    // it is under way, then it is not there
    let stage = Stage::set().await;
    stage.double.fault(Fault::new("POST", "*/artifacts?from=*", Trouble::Answer(conflict())));
    assert!(stage.promote().await.unwrap().copied);
    assert_eq!(stage.copies(), 2);
    // answers are lost, tags and labels are there already
    let stage = Stage::set().await;
    for path in ["*/artifacts?from=*", "*/tags", "*/labels"] {
        stage.double.fault(Fault::new("POST", path, Trouble::Silence));
    }
    let done = stage.promote().await.unwrap();
    assert_eq!((done.set.len(), done.kept.len(), stage.tags().len()), (2, 1, 3));
    // a 201 without an image
    let stage = Stage::set().await;
    stage.double.fault(Fault::new("POST", "*/artifacts?from=*", Trouble::Answer(Response::new(201))));
    let error = stage.promote().await.unwrap_err();
    assert!(matches!(error, Error::WrongCopy { .. }) && stage.tags().is_empty(), "{error}");
}

#[tokio::test]
async fn nothing_is_found_by_a_tag_before_it_is_complete() {
    for (path, status) in [("*/artifacts?from=*", 403), ("*/labels", 403), ("*/artifacts?from=*", 500)] {
        let stage = Stage::set().await;
        stage.double.fault(Fault::new("POST", path, Trouble::status(status)).always());
        stage.promote().await.unwrap_err();
        assert_eq!(stage.tags().len(), 0, "{path} {status}");
        assert!(stage.double.log().count("POST", path) <= 3);
    }
    let mut stage = Stage::set().await;
    stage.digest = Digest::of(b"absent");
    let error = stage.promote().await.unwrap_err();
    assert!(
        matches!(&error, Error::NotFound { message, .. } if message == "it is not in the staging project"),
        "{error}"
    );
    let mut stage = Stage::set().await;
    stage.labels.push("absent".to_owned());
    assert!(stage.promote().await.unwrap_err().to_string().contains("the project has no such label"));
    assert_eq!(stage.tags().len(), 0);
}
