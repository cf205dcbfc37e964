//! Logins, client certificates and proxies for archives: found where apt has them, and sent to their own host alone.

use crate::archive::http;
use crate::support::http::Fault;
use crate::support::http::Server;
use crate::support::project::Project;
use crate::support::project::ROOT;
use crate::support::project::answer;
use crate::support::project::packages;
use sockel::apt::auth;
use sockel::apt::conf::AptConfiguration;
use sockel::sys::http::KnownHosts;
use sockel::sys::http::LoginTable;

/// `robot:secret`, as it is sent.
const AUTHORIZATION: &str = "Basic cm9ib3Q6c2VjcmV0";

#[test]
fn a_login_is_found_and_stays_with_its_host() {
    let project = Project::with(&packages());
    let (server, other) = (project.server.clone(), Server::start());
    server.protect(AUTHORIZATION);

    // without one, the answer says where it goes
    let host = server.url().to_owned();
    let error = project.run(&["lock", "base"]).fails(3);
    assert!(error.contains("the server answered with status 401"), "{error}");
    let hint = format!(
        "hint: the server wants a login: write `machine {host} login USER password PASSWORD` into apt's `auth.conf.d`"
    );
    assert!(error.contains(&hint), "{error}");

    // in the environment; another mirror of the same archive never sees it
    let mirror = format!("test={}{ROOT}", other.url());
    let text = format!("machine {host} login robot password secret");
    let mut command = project.command(&["lock", "base", "--mirror", &mirror]);
    answer(command.env("SOCKEL_ARCHIVE_LOGINS", &text)).good();
    assert!(!other.requests().is_empty());
    assert_eq!(other.logins(), [""; 0]);
    assert!(server.logins().iter().all(|login| login == AUTHORIZATION));

    // in a file that the registry file names
    project.write("archives.conf", &format!("# ours\nmachine {host}{ROOT}\n login robot\n password secret\n"));
    project.write("base-images/registry.yaml", "archive-logins: ../archives.conf\n");
    sockel::sys::fs::remove(&project.path("base-images/base.lock.yaml")).unwrap();
    project.run(&["lock", "base", "--store", "fresh"]).good();

    // a wrong one is no reason to show it
    let mut command = project.command(&["lock", "base", "--store", "another", "-v"]);
    let error = answer(command.env("SOCKEL_ARCHIVE_LOGINS", text.replace("secret", "TOPSECRET"))).fails(3);
    assert!(error.contains("401") && !error.contains("TOPSECRET"), "{error}");
}

#[test]
fn a_login_in_a_recipe_is_refused_with_a_word() {
    let project = Project::with(&packages());
    project.edit("recipes/base.yaml", "http://127", "http://robot:secret@127");
    let error = project.run(&["lock", "base"]).fails(1);
    assert!(error.contains("has a login in it") && error.contains("SOCKEL_ARCHIVE_LOGINS"), "{error}");
    assert!(!error.contains("secret@"), "{error}");
}

#[test]
fn redirects_leave_the_login_behind() {
    let (server, other) = (Server::start(), Server::start());
    let logins = LoginTable::new(auth::parse(&format!("machine {} login robot password secret", server.url())));
    let client = http(false).knowing(KnownHosts { logins, ..KnownHosts::default() });
    server.protect(AUTHORIZATION);
    server.put("/a", b"here");
    other.put("/a", b"there");
    let get =
        |url: String| client.block_on(client.get(&url, 100)).unwrap().map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(get(format!("{}/a", server.url())).unwrap(), "here");
    server.fail("/b", &[Fault::Redirect(format!("{}/a", other.url())), Fault::Redirect("/a".to_owned())]);
    assert_eq!(get(format!("{}/b", server.url())).unwrap(), "there");
    assert_eq!(other.logins(), [""; 0]);
    assert_eq!(get(format!("{}/b", server.url())).unwrap(), "here");
}

#[test]
fn proxies_of_apt_are_used() {
    let proxy = Server::start();
    proxy.put("http://packages.inside.invalid/x", b"through the proxy");
    let mut configuration = AptConfiguration::default();
    configuration.add(&format!("Acquire::http::Proxy::packages.inside.invalid \"{}\";", proxy.url()));
    let known = KnownHosts { proxies: configuration.proxies(), ..KnownHosts::default() };
    let client = http(false).knowing(known);
    let get = |url: &str| client.block_on(client.get(url, 100)).unwrap();
    assert_eq!(get("http://packages.inside.invalid/x").unwrap(), b"through the proxy");
    let error = get("http://packages.inside.invalid/y").unwrap_err().to_string();
    assert_eq!(error, "cannot fetch `http://packages.inside.invalid/y`: not found");
    // this machine is never reached through a proxy
    let own = Server::start();
    own.put("/x", b"directly");
    configuration.add(&format!("Acquire::http::Proxy \"{}\";", proxy.url()));
    let known = KnownHosts { proxies: configuration.proxies(), ..KnownHosts::default() };
    let client = http(false).knowing(known);
    let got = client.block_on(client.get(&format!("{}/x", own.url()), 100)).unwrap();
    assert_eq!(got.unwrap(), b"directly");
}
