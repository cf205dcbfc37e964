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
use crate::support::registry::Registry as Double;
use crate::support::registry::Response;
use crate::support::registry::Tokens;
use crate::support::registry::Trouble;
use sockel::fault::Explain;
use sockel::oci::registry::Error;
use sockel::oci::registry::PushOutcome;
use sockel::oci::registry::PushRequest;
use sockel::report::EventRecorder;
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
