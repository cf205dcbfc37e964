//! Which exit code and words every kind of error gets.

use super::*;
use crate::advisory;
use crate::apt::archive;
use crate::apt::release::signature;
use crate::build;
use crate::fault::AnyError;
use crate::fetch;
use crate::layer;
use crate::oci::registry;
use crate::store;
use crate::sys::fs;
use crate::sys::http;
use crate::tree;
use crate::tree::EntryOrigin;
use std::io;
use std::path::Path;

fn failure(error: impl Into<jobs::Error>) -> Failure {
    error.into().into()
}

fn file(kind: io::ErrorKind) -> fs::Error {
    fs::Error::new("write", Path::new("/x"), io::Error::from(kind))
}

#[test]
fn every_error_has_its_code() {
    let gone = || fetch::Error::Gone { packages: vec!["bash 5 amd64".to_owned()], is_listed: false };
    let lost = || fetch::Error::Failed(vec![fetch::FetchProblem::Gone("bash 5".to_owned())]);
    let unreachable =
        archive::Error::Unreachable { pocket: "ubuntu/release".to_owned(), causes: Vec::new(), hints: Vec::new() };
    let feed = |feed: &str| advisory::Error::Feed { feed: feed.to_owned(), cause: "x".to_owned() };
    let key = |cause| archive::Error::Signature { pocket: "ubuntu/release".to_owned(), url: String::new(), cause };
    let (broken, foreign) = (signature::Error::Key("x".to_owned()), signature::Error::Untrusted(Vec::new()));
    let no_certificate = || http::Error::Certificates { path: "ca.pem".into() };
    let table: [(Failure, u8); 17] = [
        (failure(feed("feeds/ubuntu.json")), 1),
        (failure(feed("https://example.org/ubuntu.json")), 3),
        (failure(lock::Error::Outside(AnyError::new(key(broken)))), 1),
        (failure(lock::Error::Outside(AnyError::new(key(foreign)))), 3),
        (failure(registry::Error::Http(no_certificate())), 1),
        (failure(lock::Error::Outside(AnyError::new(archive::Error::Http(no_certificate())))), 1),
        (failure(file(io::ErrorKind::NotFound)), 1),
        (failure(file(io::ErrorKind::StorageFull)), 3),
        (settings::Error::NoStore.into(), 2),
        (printer::Error(io::Error::from(io::ErrorKind::StorageFull)).into(), 3),
        (failure(recipe::Error::Invalid(vec![Diagnostic::of_file("recipes/a.yaml", "bad")])), 1),
        (failure(build::Error::Fetch(gone())), 3),
        (failure(build::Error::Fetch(lost())), 3),
        (failure(build::Error::Store(store::Error::File(file(io::ErrorKind::StorageFull)))), 3),
        (failure(lock::Error::Outside(AnyError::new(unreachable))), 3),
        (failure(lock::Error::Outside(AnyError::new(gone()))), 3),
        (failure(lock::Error::Invalid { problems: vec!["x".to_owned()] }), 1),
    ];
    for (failure, code) in table {
        assert_eq!(exit_code(failure.kind), code, "{failure:?}");
        assert!(failure.message.starts_with("cannot "), "{failure:?}");
        assert!(failure.causes.is_empty(), "{failure:?}");
    }
}

#[test]
fn hints_of_what_is_handed_through_arrive() {
    let unreachable =
        archive::Error::Unreachable { pocket: "ubuntu/release".to_owned(), causes: Vec::new(), hints: Vec::new() };
    let failure = failure(lock::Error::Outside(AnyError::new(unreachable)));
    assert!(failure.hints.iter().any(|hint| hint.contains("mirror")), "{failure:?}");
}

#[test]
fn causes_are_told_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot eat: {0}")]
    struct Outer(String, #[source] Inner);
    #[derive(Debug, thiserror::Error)]
    #[error("no spoon")]
    struct Inner(#[source] Innermost);
    #[derive(Debug, thiserror::Error)]
    #[error("drawer jammed")]
    struct Innermost;
    let error = Outer("no spoon".to_owned(), Inner(Innermost));
    let failure = Failure::of(Turn::Input, &error, vec!["use hands".to_owned(), "use hands".to_owned()]);
    assert_eq!(failure.causes, ["drawer jammed"]);
    assert_eq!(failure.hints, ["use hands"]);
}

#[test]
fn json_carries_everything() {
    let failure = failure(recipe::Error::Invalid(vec![Diagnostic::of_file("recipes/a.yaml", "bad")]));
    let answer = FailureAnswer { error: &failure, exit_code: exit_code(failure.kind) };
    let json = serde_json::to_value(answer).expect("plain data");
    assert_eq!(json["exit-code"], 1);
    assert_eq!(json["error"]["kind"], "input");
    assert_eq!(json["error"]["diagnostics"][0]["file"], "recipes/a.yaml");
}

#[test]
fn conflicts_of_paths_are_lines_of_their_own() {
    let problem = |path: &str| tree::Error::Duplicate {
        path: path.to_owned(),
        first: EntryOrigin::Package("a".to_owned()),
        second: EntryOrigin::Recipe("web".to_owned()),
    };
    let cause = layer::Error::Tree { recipe: "web".to_owned(), problems: vec![problem("etc/a"), problem("etc/b")] };
    let platform = "linux/amd64".parse().expect("a platform");
    let failure = failure(build::Error::Layer { image: "web".to_owned(), platform, cause: Box::new(cause) });
    assert!(!failure.message.contains('\n'), "{}", failure.message);
    assert_eq!(failure.reasons.len(), 2, "{:?}", failure.reasons);
}
