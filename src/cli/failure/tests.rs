//! Which exit code and words every kind of error gets.

use super::*;
use std::io;
use std::path::Path;

fn file(kind: io::ErrorKind) -> fs::Error {
    fs::Error::new("write", Path::new("/x"), io::Error::from(kind))
}

#[test]
fn every_error_has_its_code() {
    let gone = || fetch::Error::Gone { packages: vec!["bash 5 amd64".to_owned()], is_listed: false };
    let lost = || fetch::Error::Failed(vec![fetch::Problem::Gone("bash 5".to_owned())]);
    let unreachable = archive::Error::Unreachable { pocket: "ubuntu/release".to_owned(), causes: Vec::new() };
    let table: [(Failure, u8); 11] = [
        (file(io::ErrorKind::NotFound).into(), 1),
        (file(io::ErrorKind::StorageFull).into(), 3),
        (settings::Error::NoStore.into(), 2),
        (printer::Error(io::Error::from(io::ErrorKind::StorageFull)).into(), 3),
        (recipe::Error::Invalid(vec![Diagnostic::of_file("recipes/a.yaml", "bad")]).into(), 1),
        (build::Error::Fetch(gone()).into(), 3),
        (build::Error::Fetch(lost()).into(), 3),
        (build::Error::Store(store::Error::File(file(io::ErrorKind::StorageFull))).into(), 3),
        (lock::Error::Outside(Box::new(unreachable)).into(), 3),
        (lock::Error::Outside(Box::new(gone())).into(), 3),
        (lock::Error::Invalid { problems: vec!["x".to_owned()] }.into(), 1),
    ];
    for (failure, code) in table {
        assert_eq!(failure.kind.code(), code, "{failure:?}");
        assert!(failure.message.starts_with("cannot "), "{failure:?}");
        assert!(failure.causes.is_empty(), "{failure:?}");
    }
}

#[test]
fn hints_of_what_is_handed_through_arrive() {
    let unreachable = archive::Error::Unreachable { pocket: "ubuntu/release".to_owned(), causes: Vec::new() };
    let failure = Failure::from(lock::Error::Outside(Box::new(unreachable)));
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
    let failure = Failure::of(Kind::Input, &error, vec!["use hands".to_owned(), "use hands".to_owned()]);
    assert_eq!(failure.causes, ["drawer jammed"]);
    assert_eq!(failure.hints, ["use hands"]);
}

#[test]
fn json_carries_everything() {
    let failure = Failure::from(recipe::Error::Invalid(vec![Diagnostic::of_file("recipes/a.yaml", "bad")]));
    let answer = Answer { error: &failure, exit_code: failure.kind.code() };
    let json = serde_json::to_value(answer).expect("plain data");
    assert_eq!(json["exit-code"], 1);
    assert_eq!(json["error"]["kind"], "input");
    assert_eq!(json["error"]["diagnostics"][0]["file"], "recipes/a.yaml");
}
