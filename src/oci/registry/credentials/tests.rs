//! Where logins are found, and that nothing of them is shown.

use super::*;
use proptest::prelude::*;

const MARKER: &str = "marker-password";

fn login(user: &str, password: &str) -> Login {
    Login { user: user.to_owned(), password: Secret::new(password.to_owned()) }
}

#[test]
fn reads_robot_files() {
    let sound = [
        (r#"{"name":"robot$base+ci","secret":"s:x","id":7,"expires_at":-1}"#, login("robot$base+ci", "s:x")),
        ("robot$base+ci:s:x\n", login("robot$base+ci", "s:x")),
    ];
    for (text, expected) in sound {
        assert_eq!(robot(text.as_bytes()), Ok(expected), "{text}");
    }
    for text in ["", "user", ":x", "user:", "{}", r#"{"name":"a","secret":""}"#, "{\"name\":\"a\\n\",\"secret\":\"b\"}"]
    {
        assert!(robot(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn reads_what_docker_and_podman_write() {
    // `a:b` and `c:d`
    let file = r#"{
        "auths": {
            "https://harbor.example/v2/": {"auth": "YTpi"},
            "harbor.example/base/images": {"auth": "Yzpk"},
            "plain.example:8443": {"username": "e", "password": "f"},
            "stored.example": {},
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "token.example": {"auth": "PHRva2VuPjo=", "identitytoken": "x"},
            "broken.example": {"auth": "!!"}
        },
        "credHelpers": {"helped.example": "pass"},
        "credsStore": "desktop",
        "HttpHeaders": {"User-Agent": "x"}
    }"#;
    let helper = |name: &str, server: &str| Found::Helper { name: name.to_owned(), server: server.to_owned() };
    let table = [
        ("harbor.example", "base/java", Ok(Found::Login(login("a", "b")))),
        ("harbor.example", "base/images/java", Ok(Found::Login(login("c", "d")))),
        ("plain.example:8443", "x", Ok(Found::Login(login("e", "f")))),
        ("stored.example", "x", Ok(helper("desktop", "stored.example"))),
        ("other.example", "x", Ok(helper("desktop", "other.example"))),
        ("helped.example", "x", Ok(helper("pass", "helped.example"))),
        ("docker.io", "x", Ok(Found::Login(login("a", "b")))),
        ("token.example", "x", Err("it has an identity token; only user and password are supported")),
        ("broken.example", "x", Err("its login of this registry is not sound")),
    ];
    for (host, repository, expected) in table {
        assert_eq!(search(file.as_bytes(), host, repository), expected, "{host}/{repository}");
    }
    let paths = r#"{"credHelpers":{"a.example":"../../bin/sh"}}"#;
    assert!(search(paths.as_bytes(), "a.example", "x").is_err());
    assert_eq!(search(b"{}", "a.example", "x"), Ok(Found::Nothing));
    assert!(search(b"[]", "a.example", "x").is_err());
}

#[test]
fn the_first_that_knows_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let auths =
        |user: &str| format!(r#"{{"auths":{{"harbor.example":{{"username":"{user}","password":"{MARKER}"}}}}}}"#);
    fs::create_dir(&path("home/.docker")).unwrap();
    fs::create_dir(&path("run/containers")).unwrap();
    fs::create_dir(&path("docker")).unwrap();
    fs::write_atomic(&path("robot"), format!("robot:{MARKER}").as_bytes()).unwrap();
    fs::write_atomic(&path("auth.json"), auths("file").as_bytes()).unwrap();
    fs::write_atomic(&path("docker/config.json"), auths("docker").as_bytes()).unwrap();
    fs::write_atomic(&path("home/.docker/config.json"), auths("home").as_bytes()).unwrap();
    fs::write_atomic(&path("run/containers/auth.json"), auths("podman").as_bytes()).unwrap();
    let registry: Url = "https://harbor.example/".parse().unwrap();
    let user = |variables: &[(Variable, &str)], file: Option<&Path>| {
        let get = |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)?;
            Some(found.strip_prefix('/').map_or_else(|| found.into(), |name| path(name).into_os_string()))
        };
        find_in(&get, &registry, "base/java", file).map(|source| source.map(|source| source.login.user))
    };
    let known = |name: &str| Some(name.to_owned());
    let all = [
        (Variable::RegistryUser, "environment"),
        (Variable::RegistryPassword, MARKER),
        (Variable::RegistryAuthFile, "/auth.json"),
        (Variable::DockerConfig, "/docker"),
        (Variable::RuntimeDir, "/run"),
        (Variable::Home, "/home"),
    ];
    assert_eq!(user(&all, Some(&path("robot"))).unwrap(), known("robot"));
    for (skipped, expected) in [(0, "environment"), (2, "file"), (3, "docker"), (5, "home")] {
        assert_eq!(user(&all[skipped..], None).unwrap(), known(expected));
    }
    assert_eq!(user(&[(Variable::RuntimeDir, "/run")], None).unwrap(), known("podman"));
    assert_eq!(user(&[], None).unwrap(), None);
    assert!(matches!(user(&all[1..], None), Err(Error::Half { missing: "SOCKEL_REGISTRY_USER" })));
    assert!(user(&all, Some(&path("no-such-file"))).is_err());
    fs::write_atomic(&path("auth.json"), format!("{MARKER}{{").as_bytes()).unwrap();
    let error = user(&all[2..], None).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(MARKER));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_file_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "\\PC{0,40}") {
        let _any = robot(&bytes);
        let _any = search(&bytes, "a.example", "b");
        let file = serde_json::json!({"auths": {"a.example": {"auth": text}}, "credsStore": text}).to_string();
        if let Ok(Found::Helper { name, .. }) = search(file.as_bytes(), "a.example", "b/c") {
            prop_assert!(!name.contains('/'));
        }
    }
}
