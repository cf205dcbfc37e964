//! Logins: tokens, Basic, what is wrong with them, and where they never go.

use crate::registry::Image;
use crate::registry::MARKER;
use crate::registry::REPOSITORY;
use crate::registry::assert_whole;
use crate::registry::connect;
use crate::registry::login;
use crate::registry::options;
use crate::registry::run;
use crate::registry::tags;
use crate::support::registry::Fault;
use crate::support::registry::Manner;
use crate::support::registry::Registry as Double;
use crate::support::registry::Response;
use crate::support::registry::Tokens;
use crate::support::registry::Trouble;
use sockel::fault::Explain;
use sockel::fault::Turn;
use sockel::oci::registry::Error;
use sockel::oci::registry::PushOutcome;
use sockel::oci::registry::PushRequest;
use sockel::oci::registry::RegistryClient;
use sockel::oci::registry::credentials;
use sockel::oci::registry::credentials::RegistryLogins;
use sockel::report::EventRecorder;
use sockel::sys::fs;
use sockel::values::Login;
use sockel::values::Secret;
use std::path::Path;
use std::time::Duration;

fn tokens() -> Tokens {
    Tokens::new().user("robot$ci", MARKER, &["staging"])
}

/// Pushes, and checks that nothing that is said has the password in it.
fn push_as(double: &Double, password: Option<&str>, image: &Image) -> Result<PushOutcome, Error> {
    let (recorder, names) = (EventRecorder::default(), tags(&["1"]));
    let registry = connect(double, password.map(login), options());
    let order = PushRequest { is_new: true, ..image.push(&names) };
    let result = run(registry.push(&order, &recorder));
    let said = format!("{registry:?} {:?} {result:?}", recorder.events());
    let hints = result.as_ref().map_or_else(|error| format!("{error} {:?}", error.hints()), |_| String::new());
    assert!(!format!("{said} {hints}").contains(MARKER), "{said} {hints}");
    result
}

#[test]
fn one_token_for_a_whole_push() {
    let (double, image) = (Double::start().with_tokens(tokens()), Image::new(7));
    push_as(&double, Some(MARKER), &image).unwrap();
    assert_whole(&double, REPOSITORY, &["1"], "tokens");
    assert_eq!((double.tokens_issued(), double.log().count("GET", "/service/token")), (1, 1));
    let refused = double.log().entries().iter().filter(|entry| entry.status == 401).count();
    assert_eq!(refused, 1, "{:#?}", double.log().lines());
}

#[test]
fn tokens_are_renewed_when_they_are_refused_or_old() {
    let table = [("few uses", tokens().uses(20)), ("a second", tokens().expires_in(1))];
    for (name, tokens) in table {
        let (double, image) = (Double::start().with_tokens(tokens), Image::new(7));
        let pause = Trouble::SlowRequest(Duration::from_millis(30));
        if name == "a second" {
            double.fault(Fault::new("PUT", "/v2/*/blobs/*", pause).always());
            double.fault(Fault::new("POST", "*", Trouble::Late(Duration::from_millis(500))).always());
        }
        let pushed = push_as(&double, Some(MARKER), &image);
        assert!(pushed.is_ok(), "{name}: {} {:#?}", pushed.unwrap_err(), double.log().lines());
        assert!(double.tokens_issued() > 1, "{name}");
        assert_whole(&double, REPOSITORY, &["1"], name);
        assert!(double.log().count("*", "*") < 120, "{name}: {}", double.log().count("*", "*"));
    }
}

#[test]
fn a_token_that_is_taken_away_is_renewed_once() {
    let (double, image, names) = (Double::start().with_tokens(tokens()), Image::new(7), tags(&["1"]));
    let registry = connect(&double, Some(login(MARKER)), options());
    run(registry.push(&image.push(&names), &EventRecorder::default())).unwrap();
    double.revoke_tokens();
    run(registry.push(&image.push(&names), &EventRecorder::default())).unwrap();
    assert_eq!(double.tokens_issued(), 2);
}

#[test]
fn wrong_logins_are_named() {
    let image = Image::new(7);
    let mut disabled = tokens();
    disabled.disable("robot$ci");
    let reader = Tokens::new().user("robot$ci", MARKER, &["staging:pull"]);
    let elsewhere = Tokens::new().user("robot$ci", MARKER, &["other"]);
    let table: Vec<(&str, Tokens, Option<&str>, &str)> = vec![
        ("wrong secret", tokens(), Some("wrong"), "gets a token without any rights"),
        ("disabled", disabled, Some(MARKER), "gets a token without any rights"),
        ("no rights", elsewhere, Some(MARKER), "gets a token without any rights"),
        ("anonymous", tokens(), None, "an anonymous user gets a token without any rights"),
        ("strict", tokens().strict(), Some("wrong"), "name or password is not accepted"),
        ("strict, anonymous", tokens().strict(), None, "without any rights"),
        ("reader", reader, Some(MARKER), "may not do that"),
        ("basic", Tokens::basic().user("robot$ci", MARKER, &["*"]), Some("wrong"), "name or password is not accepted"),
        ("basic, anonymous", Tokens::basic(), None, "asks for a login"),
    ];
    for (name, tokens, password, expected) in table {
        let double = Double::start().with_tokens(tokens);
        let error = push_as(&double, password, &image).unwrap_err();
        assert!(error.to_string().contains(expected) && error.is_ours(), "{name}: {error}");
        assert!(!error.hints().is_empty(), "{name}");
        assert_whole(&double, REPOSITORY, &[], name);
        assert!(double.log().count("*", "*") <= 60, "{name}: {:#?}", double.log().lines());
    }
}

#[test]
fn basic_only_registries() {
    let tokens = Tokens::basic().user("robot$ci", MARKER, &["*"]);
    let (double, image) = (Double::start().with_tokens(tokens), Image::new(7));
    push_as(&double, Some(MARKER), &image).unwrap();
    assert_whole(&double, REPOSITORY, &["1"], "basic");
    assert_eq!(double.log().count("*", "/service/token"), 0);
}

#[test]
fn a_token_server_that_fails_is_asked_again() {
    let (double, image) = (Double::start().with_tokens(tokens()), Image::new(7));
    double.fault(Fault::new("GET", "/service/token", Trouble::status(503)).times(3));
    push_as(&double, Some(MARKER), &image).unwrap();
    assert_eq!(double.log().count("GET", "/service/token"), 4);
    for body in ["", "{}", "[1]", "{\"token\":5}", "{\"token\":\"a\\nb\"}"] {
        let double = Double::start().with_tokens(tokens());
        let trouble = Trouble::malformed("application/json", body.as_bytes());
        double.fault(Fault::new("GET", "/service/token", trouble).always());
        let error = push_as(&double, Some(MARKER), &image).unwrap_err();
        assert!(matches!(error, Error::Challenge { .. }), "{error}");
    }
}

#[test]
fn a_password_that_is_repeated_is_not_shown() {
    let tokens = Tokens::basic().user("robot$ci", MARKER, &["*"]);
    let (double, image) = (Double::start().with_tokens(tokens), Image::new(7));
    let words = format!("you said {MARKER}");
    double.fault(Fault::new("POST", "*", Trouble::Answer(Response::error(403, MARKER, &words))).always());
    let error = push_as(&double, Some(MARKER), &image).unwrap_err();
    assert!(error.to_string().contains("you said ***"), "{error}");
}

#[test]
fn a_push_goes_on_without_the_rights_of_a_mount() {
    let (image, names) = (Image::new(7), tags(&["1"]));
    for manner in [Manner::AllOrNothing, Manner::Last] {
        for (rights, pushes) in [("staging", true), ("elsewhere", false)] {
            let tokens = Tokens::new().user("robot$ci", MARKER, &[rights]).with_manner(manner);
            let (double, from) = (Double::start(), tags(&["a/base", "zoo/base"]));
            for repository in &from {
                let order = PushRequest { repository, ..image.push(&names) };
                run(connect(&double, None, options()).push(&order, &EventRecorder::default())).unwrap();
            }
            let double = double.with_tokens(tokens);
            let order = PushRequest { mount_from: &from, is_new: true, ..image.push(&names) };
            let registry = connect(&double, Some(login(MARKER)), options());
            let pushed = run(registry.push(&order, &EventRecorder::default()));
            assert_eq!(pushed.is_ok(), pushes, "{manner:?} {rights}: {pushed:?}");
            if let Err(error) = pushed {
                assert!(matches!(error, Error::NoRights { .. }), "{manner:?}: {error}");
                let words = if manner == Manner::AllOrNothing { "(no right on staging/base)" } else { "without any" };
                assert!(error.to_string().contains(words), "{error}");
            }
        }
    }
}

#[test]
fn an_identity_token_is_exchanged_for_tokens() {
    let tokens = || Tokens::new().user("robot$ci", MARKER, &["staging"]).by_identity();
    let image = Image::new(7);
    let identity = |text: &str| Login::of_identity_token(Secret::new(text.to_owned()));
    let push = |double: &Double, login: Login| {
        let (registry, names) = (connect(double, Some(login), options()), tags(&["1"]));
        run(registry.push(&PushRequest { is_new: true, ..image.push(&names) }, &EventRecorder::default()))
    };
    let double = Double::start().with_tokens(tokens());
    push(&double, identity(MARKER)).unwrap();
    assert_whole(&double, REPOSITORY, &["1"], "identity token");
    assert_eq!((double.log().count("POST", "/service/token"), double.log().count("GET", "/service/token")), (1, 0));
    assert!(!format!("{:?}", double.log().lines()).contains(MARKER), "it stands in no address");

    let error = push(&Double::start().with_tokens(tokens()), identity("old")).unwrap_err();
    assert!(error.to_string().contains("the identity token is not accepted (token is expired)"), "{error}");
    assert!(error.hints()[0].contains("log in again"), "{:?}", error.hints());

    let basic = Double::start().with_tokens(Tokens::basic().user("robot$ci", MARKER, &["*"]));
    let error = push(&basic, identity(MARKER)).unwrap_err();
    assert!(error.to_string().contains("it takes name and password"), "{error}");
}

#[test]
fn each_repository_is_pushed_with_its_own_login() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::new().user("one", "1", &["one"]).user("two", "2", &["two"]);
    let (double, image, names) = (Double::start().with_tokens(tokens), Image::new(7), tags(&["1"]));
    let (host, path) = (double.address(), folder.path().join("auth.json"));
    let entry = |name: &str, password: &str| serde_json::json!({ "username": name, "password": password });
    let file = serde_json::json!({ "auths": {
        format!("{host}/one"): entry("one", "1"), format!("{host}/two/base"): entry("two", "2"),
    } });
    fs::write_atomic(&path, file.to_string().as_bytes()).unwrap();
    let logins = logins_of(&path, &double);
    let registry = RegistryClient::with_logins(double.url().parse().unwrap(), options(), logins, "one");
    assert_eq!(registry.login().unwrap().user, "one");
    for (repository, fine) in [("one/base", true), ("two/base", true), ("two/other", false)] {
        let order = PushRequest { repository, ..image.push(&names) };
        let pushed = run(registry.push(&order, &EventRecorder::default()));
        assert_eq!(pushed.is_ok(), fine, "{repository}: {pushed:?}");
    }
}

/// Returns the logins that a file has for a registry.
fn logins_of(path: &Path, double: &Double) -> RegistryLogins {
    let text = fs::read(path, 1 << 20).unwrap();
    credentials::all(&text, &double.url().parse().unwrap()).unwrap()
}

#[test]
fn the_words_of_a_busy_or_refusing_server_are_shown() {
    let image = Image::new(7);
    let json = |status, body: &str| {
        let answer = Response::new(status).with("content-type", "application/json");
        Trouble::Answer(answer.body(body.as_bytes().to_vec()))
    };
    let page = b"<html><head><title>Wartung bis 16 Uhr</title></head></html>".to_vec();
    let table = [
        (
            json(429, r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"used up until 16:00"}]}"#),
            "used up until 16:00",
        ),
        (json(503, r#"{"errors":[{"code":"UNAVAILABLE","message":"read-only until noon"}]}"#), "read-only until noon"),
        (json(507, r#"{"message":"disk is full"}"#), "disk is full"),
        (Trouble::Answer(Response::new(500).body(page)), "Wartung bis 16 Uhr"),
        (Trouble::Answer(Response::new(502).body(b"no \x1b[2Jbackend\n".to_vec())), "no  [2Jbackend"),
        (Trouble::Answer(Response::new(403).body(b"licence has expired".to_vec())), "licence has expired"),
        (Trouble::Answer(Response::new(500)), "the registry refused (status 500)"),
    ];
    for (trouble, expected) in table {
        let double = Double::start();
        double.fault(Fault::new("POST", "*", trouble).always());
        let error = push_as(&double, None, &image).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot push blob ") || text.starts_with("cannot open an upload "), "{text}");
        assert!(text.contains(expected), "{text}");
        assert_eq!(error.turn() == Turn::Outside, !text.contains("licence"), "{text}");
    }
}

#[test]
fn mounts_need_rights_on_both_sides() {
    let tokens = Tokens::new().user("robot$ci", MARKER, &["staging", "shared:pull"]);
    let (double, image, names) = (Double::start(), Image::new(7), tags(&["1"]));
    for repository in ["shared/base", "secret/base"] {
        let order = PushRequest { repository, ..image.push(&names) };
        run(connect(&double, None, options()).push(&order, &EventRecorder::default())).unwrap();
    }
    let double = double.with_tokens(tokens);
    for (from, mounted) in [("secret/base", 0), ("shared/base", 4)] {
        let (from, repository) = (tags(&[from]), format!("staging/{mounted}"));
        let order = PushRequest { repository: &repository, mount_from: &from, ..image.push(&names) };
        let registry = connect(&double, Some(login(MARKER)), options());
        let pushed = run(registry.push(&order, &EventRecorder::default())).unwrap();
        assert_eq!(pushed.mounted.count, mounted, "{from:?}");
        assert_whole(&double, &repository, &["1"], "mounted");
    }
}
