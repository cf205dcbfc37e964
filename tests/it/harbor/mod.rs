//! The client for Harbor against the double: discovery, setup, scans and the gate, promotion.

mod preflight;
mod promote;
mod rights;
mod scan;
mod serve;
mod setup;

use crate::double::MANIFEST;
use crate::double::manifest;
use crate::support::registry::Fault;
use crate::support::registry::Registry;
use crate::support::registry::Response;
use crate::support::registry::Trouble;
use crate::support::registry::harbor::ADMIN;
use crate::support::registry::harbor::Harbor as Double;
use sockel::fault::Explain;
use sockel::fault::Turn;
use sockel::harbor::Error;
use sockel::harbor::Harbor;
use sockel::harbor::HarborRefusal;
use sockel::harbor::Repository;
use sockel::oci::registry::RegistryClient;
use sockel::sys::http::HostOptions;
use sockel::sys::http::HttpHost;
use sockel::values::Digest;
use sockel::values::Login;
use sockel::values::Secret;
use std::time::Duration;

pub(crate) fn host() -> HttpHost {
    HttpHost::new(HostOptions { backoff: Duration::from_millis(1), attempts: 3, ..HostOptions::usual(false) })
}

pub(crate) fn login(user: &str, password: &str) -> Login {
    Login { user: user.to_owned(), password: Secret::new(password.to_owned()) }
}

pub(crate) fn admin<'a>(host: &'a HttpHost, double: &Double) -> Harbor<'a> {
    Harbor::new(host, double.url().parse().unwrap(), login(ADMIN.0, ADMIN.1))
}

pub(crate) fn repository(text: &str) -> Repository {
    Repository::parse(text).unwrap()
}

/// Puts an image into a repository; returns its digest.
pub(crate) fn push(double: &Double, repository: &str, tags: &[&str], layer: &[u8]) -> Digest {
    let mut contents = double.registry.contents();
    contents.add_blob(repository, b"{}".to_vec());
    contents.add_blob(repository, layer.to_vec());
    let digest = contents.add_manifest(repository, MANIFEST, manifest(b"{}", &[layer]).to_string().into_bytes());
    let names = tags.iter().map(|tag| ((*tag).to_owned(), digest.clone()));
    contents.repository(repository).tags.extend(names);
    digest.parse().unwrap()
}

#[tokio::test]
async fn tells_harbor_from_other_registries() {
    let host = host();
    let double = Double::start("v2.15.2");
    let found = admin(&host, &double).discover().await.unwrap().unwrap();
    assert!(found.version.is_at_least(2, 15) && !found.version.is_at_least(2, 16) && found.writable().is_ok());
    assert_eq!(found.external_url, Some(double.url()));
    double.is_read_only();
    assert!(matches!(
        admin(&host, &double).discover().await.unwrap().unwrap().writable(),
        Err(Error::Known { cause: HarborRefusal::ReadOnly, .. })
    ));

    let other = Registry::start();
    let client = Harbor::new(&host, other.url().parse().unwrap(), login("a", "b"));
    assert_eq!(client.discover().await.unwrap(), None);
    // a page for everything, a wall before everything
    let answers = [Response::new(200).body(b"<html>hello</html>".to_vec()), Response::new(401), Response::new(403)];
    for answer in answers {
        let other = Registry::start();
        other.fault(Fault::new("GET", "/api/*", Trouble::Answer(answer)).always());
        let client = Harbor::new(&host, other.url().parse().unwrap(), login("a", "b"));
        assert_eq!(client.discover().await.unwrap(), None);
    }
}

#[tokio::test]
async fn names_a_login_that_does_not_work() {
    let host = host();
    let double = Double::start("v2.15.2");
    let url = || double.url().parse().unwrap();
    let error = Harbor::new(&host, url(), login("robot$gone", "marker")).discover().await.unwrap_err();
    assert_eq!(error.to_string(), "cannot ask Harbor for its version: Harbor does not accept the login `robot$gone`");
    assert!(error.hints()[0].starts_with("check whether the robot exists"), "{:?}", error.hints());
    assert_eq!((error.turn(), format!("{error:?}").contains("marker")), (Turn::Input, false));
    // Harbor takes wrong credentials for none on this page
    let page = br#"{"auth_mode":"db_auth","self_registration":false}"#;
    double.fault(Fault::new("GET", "*/systeminfo", Trouble::malformed("application/json", page)));
    assert!(matches!(admin(&host, &double).discover().await, Err(Error::Login { .. })));
}

#[tokio::test]
async fn an_odd_answer_alone_makes_no_harbor() {
    let host = host();
    for status in [400, 404, 421, 429, 500, 503] {
        let other = Registry::start();
        other.fault(Fault::new("GET", "*/systeminfo", Trouble::status(status)).always());
        let client = Harbor::new(&host, other.url().parse().unwrap(), login("a", "b"));
        assert_eq!(client.glimpse().await.unwrap(), None, "{status}");
        assert_eq!(other.log().count("GET", "*/systeminfo"), 1, "{status}: nobody waits for it");
    }
    let double = Double::start("v2.15.2");
    assert!(admin(&host, &double).glimpse().await.unwrap().is_some());
    // its registry names it
    let client = |url: String| {
        RegistryClient::new(url.parse().unwrap(), HostOptions::usual(false), Some(login(ADMIN.0, ADMIN.1)))
    };
    assert!(client(double.url()).claims_to_be_harbor().await.unwrap());
    assert!(!client(Registry::start().url()).claims_to_be_harbor().await.unwrap());
}

#[tokio::test]
async fn a_harbor_that_fails_is_still_one() {
    let host = host();
    let double = Double::start("v2.15.2");
    double.fault(Fault::new("GET", "*/systeminfo", Trouble::status(503)).times(2));
    assert!(admin(&host, &double).discover().await.unwrap().is_some(), "tried again");
    double.fault(Fault::new("GET", "*/systeminfo", Trouble::status(500)).always());
    let error = admin(&host, &double).discover().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.turn() == Turn::Outside, "{error}");
    assert!(error.hints()[0].contains("under request `sockel-"), "{:?}", error.hints());
    let headers = double.log().entries().last().unwrap().headers.clone();
    assert_eq!(headers["x-is-resource-name"], "true");
    assert!(headers["x-request-id"].starts_with("sockel-") && !headers.contains_key("cookie"));
}

#[tokio::test]
async fn an_outage_is_waited_for_and_other_failures_are_not() {
    let usual = || HostOptions { backoff: Duration::from_millis(1), attempts: 3, ..HostOptions::usual(false) };
    // what Harbor answers, how often, how long an outage may take; whether there is an answer in the end
    let table =
        [(503, 12, 30, true), (502, 12, 30, true), (503, 12, 0, false), (500, 12, 30, false), (500, 2, 0, true)];
    for (status, times, seconds, expected) in table {
        let double = Double::start("v2.15.2");
        let host = HttpHost::new(HostOptions { outage: Duration::from_secs(seconds), ..usual() });
        let client = admin(&host, &double);
        let fault = || Fault::new("GET", "*/systeminfo", Trouble::status(status)).times(times);
        // a host that never answered may be the wrong one
        if times > 3 {
            double.fault(fault());
            assert!(client.discover().await.is_err(), "{status} {times} {seconds}");
            assert_eq!(double.log().count("GET", "*/systeminfo"), 3);
            let mut other = crate::double::harbor::admin(&double);
            for _ in 3..times {
                crate::double::harbor::get(&mut other, "/systeminfo");
            }
        }
        assert!(client.discover().await.is_ok());
        double.fault(fault());
        assert_eq!(client.discover().await.is_ok(), expected, "{status} {times} {seconds}");
    }
}

#[tokio::test]
async fn what_is_withheld_says_why() {
    let double = Double::start("v2.15.2");
    double.project("base");
    let digest = push(&double, "base/a", &["1"], b"layer");
    let registry =
        || RegistryClient::new(double.url().parse().unwrap(), HostOptions::usual(false), Some(login(ADMIN.0, ADMIN.1)));
    assert!(registry().head("base/a", "1").await.unwrap().is_some());
    // what the project is told, what people are told
    for (flag, cause) in
        [("prevent_vul", HarborRefusal::Withheld), ("enable_content_trust_cosign", HarborRefusal::Unsigned)]
    {
        let set = |value: &str| {
            let mut state = double.state();
            let number = state.project_number("base").unwrap();
            state.projects.get_mut(&number).unwrap()["metadata"][flag] = value.into();
        };
        set("true");
        let error = registry().head("base/a", &digest.to_string()).await.unwrap_err();
        assert!(error.to_string().contains(&cause.to_string()) && error.turn() == Turn::Policy, "{error}");
        assert_eq!(error.hints(), [cause.hint()]);
        set("false");
    }
}
