//! Where logins are found, and that nothing of them is shown.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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
        assert_eq!(robot(text.as_bytes()), Ok(RobotLogin { login: expected, registry: None }), "{text}");
    }
    let bound = robot(br#"{"name":"a","secret":"b","registry":"harbor.example"}"#).unwrap();
    assert_eq!(bound.registry.as_deref(), Some("harbor.example"));
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
    let helper =
        |name: &str, server: &str| ConfiguredLogin::Helper { name: name.to_owned(), server: server.to_owned() };
    let table = [
        ("harbor.example", "base/java", Ok(ConfiguredLogin::Login(login("a", "b")))),
        ("harbor.example", "base/images/java", Ok(ConfiguredLogin::Login(login("c", "d")))),
        ("plain.example:8443", "x", Ok(ConfiguredLogin::Login(login("e", "f")))),
        ("stored.example", "x", Ok(helper("desktop", "stored.example"))),
        ("other.example", "x", Ok(helper("desktop", "other.example"))),
        ("helped.example", "x", Ok(helper("pass", "helped.example"))),
        ("docker.io", "x", Ok(ConfiguredLogin::Login(login("a", "b")))),
        ("token.example", "x", Ok(ConfiguredLogin::Login(Login::of_identity_token(Secret::new("x".to_owned()))))),
        ("broken.example", "x", Err("its login for this registry is malformed")),
    ];
    for (host, repository, expected) in table {
        assert_eq!(search(file.as_bytes(), host, repository), expected, "{host}/{repository}");
    }
    let paths = r#"{"credHelpers":{"a.example":"../../bin/sh"}}"#;
    assert!(search(paths.as_bytes(), "a.example", "x").is_err());
    assert_eq!(search(b"{}", "a.example", "x"), Ok(ConfiguredLogin::Nothing));
    assert!(search(b"[]", "a.example", "x").is_err());
}

#[test]
fn all_forms_that_tools_write_are_read() {
    // `_json_key:{…}` of two lines, broken as `base64` breaks it; `a:b`
    let key = format!("_json_key:{{\n  \"private_key\": \"{MARKER}\"\n}}\n");
    let encoded = STANDARD.encode(&key);
    let (first, rest) = encoded.split_at(20);
    let file = serde_json::json!({
        "auths": {
            "gcr.example": { "auth": format!("{first}\r\n{rest}\n") },
            "Port.Example:443": { "auth": "YTpi", "email": null },
            "opted-out.example": { "auth": "YTpi" },
            "null.example": null,
            "nulls.example": { "auth": null, "identitytoken": null },
            "empty.example": { "auth": "" },
            "docker.io/ours": { "auth": "YTpi" },
            "twice.example": { "auth": "YTpi" },
            "https://twice.example/v1/": { "auth": "eDp5" },
        },
        "credHelpers": { "opted-out.example": "", "null.example": null },
        "credsStore": null,
    });
    let file = file.to_string();
    let found = |host: &str, usual, repository: &str| {
        let found = LoginFile::parse(file.as_bytes()).unwrap().login(&HostNames::of(host, usual), repository);
        match found.unwrap() {
            ConfiguredLogin::Login(login) => format!("{}:{}", login.user, login.password.expose()),
            other => format!("{other:?}"),
        }
    };
    let table = [
        ("gcr.example", None, "x", key.as_str()),
        ("port.example", Some(443), "x", "a:b"),
        // http without a port is another port
        ("port.example", Some(80), "x", "Nothing"),
        ("port.example:8443", None, "x", "Nothing"),
        ("opted-out.example", None, "x", "a:b"),
        ("null.example", None, "x", "Nothing"),
        ("nulls.example", None, "x", "Nothing"),
        ("empty.example", None, "x", "Nothing"),
        ("registry-1.docker.io", Some(443), "ours/web", "a:b"),
        ("index.docker.io", None, "others/web", "Nothing"),
        ("twice.example", None, "x", "a:b"),
    ];
    for (host, usual, repository, expected) in table {
        assert_eq!(found(host, usual, repository), expected, "{host}/{repository}");
    }
    for file in [r#"{"auths":null}"#, r#"{"credHelpers":null,"auths":{}}"#] {
        assert_eq!(search(file.as_bytes(), "a.example", "x"), Ok(ConfiguredLogin::Nothing), "{file}");
    }
    // the store has the login under the name that Docker gives its hub
    let stored = search(br#"{"credsStore":"desktop"}"#, "docker.io", "x").unwrap();
    assert_eq!(format!("{stored:?}"), r#"Helper { name: "desktop", server: "https://index.docker.io/v1/" }"#);
}

#[test]
fn each_repository_has_the_login_of_its_longest_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let entry = |user: &str| serde_json::json!({ "username": user, "password": MARKER });
    let podman = serde_json::json!({ "auths": {
        "harbor.example/base": entry("base"), "harbor.example/base/ubuntu": entry("ubuntu"),
        "harbor.example/broken": { "auth": "!!" }, "other.example": entry("other"),
    } });
    let docker =
        serde_json::json!({ "auths": { "harbor.example": entry("all"), "harbor.example/base": entry("late") } });
    fs::create_dir(&path("docker")).unwrap();
    fs::write_atomic(&path("auth.json"), podman.to_string().as_bytes()).unwrap();
    fs::write_atomic(&path("docker/config.json"), docker.to_string().as_bytes()).unwrap();
    let get = |wanted| match wanted {
        EnvironmentVariable::RegistryAuthFile => Some(path("auth.json").into_os_string()),
        EnvironmentVariable::DockerConfig => Some(path("docker").into_os_string()),
        _ => None,
    };
    let registry: Url = "https://harbor.example/".parse().unwrap();
    let wanted = LoginQuery { registry: &registry, repository: "base", is_named: true, robot: None };
    let found = find_in(&get, &HostAccount::default, &wanted).unwrap();
    let user = |repository: &str| found.logins.of(repository).map(|found| found.login.user.clone());
    for (repository, expected) in
        [("base", "base"), ("base/java", "base"), ("base/ubuntu", "ubuntu"), ("baseline/x", "all"), ("broken/x", "all")]
    {
        assert_eq!(user(repository).as_deref(), Some(expected), "{repository}");
    }
    assert_eq!(found.source.unwrap().login.user, "base");

    // what is needed must not be malformed
    let wanted = LoginQuery { repository: "broken/x", ..wanted };
    assert!(matches!(find_in(&get, &HostAccount::default, &wanted), Err(Error::Unsound { .. })));
}

#[test]
fn accounts_without_variables_have_places_too() {
    let folder = tempfile::tempdir().unwrap();
    let docker = folder.path().join(".docker");
    fs::create_dir(&docker).unwrap();
    let auths =
        |user: &str| format!(r#"{{"auths":{{"harbor.example":{{"username":"{user}","password":"{MARKER}"}}}}}}"#);
    fs::write_atomic(&docker.join("config.json"), auths("home").as_bytes()).unwrap();
    let account = || HostAccount { id: Some(0), home: Some(folder.path().to_owned()) };

    let registry: Url = "https://harbor.example/".parse().unwrap();
    let wanted = LoginQuery { registry: &registry, repository: "base", is_named: true, robot: None };
    let found = find_in(&|_| None, &account, &wanted).unwrap();
    assert_eq!(found.source.unwrap().login.user, "home");

    let places = files(&|_| None, &account);
    assert_eq!(places[1], Path::new("/run/containers/0/auth.json"));
    // a variable takes precedence
    let session = |wanted| (wanted == EnvironmentVariable::RuntimeDir).then(|| "/run/user/7".into());
    assert_eq!(files(&session, &account)[1], Path::new("/run/user/7/containers/auth.json"));

    // a pipeline's variable has the content of a file
    let content = |wanted| (wanted == EnvironmentVariable::DockerAuthConfig).then(|| auths("pipeline").into());
    let found = find_in(&content, &account, &wanted).unwrap().source.unwrap();
    assert_eq!((found.login.user.as_str(), found.origin.as_str()), ("pipeline", "DOCKER_AUTH_CONFIG"));
    let broken = |wanted| (wanted == EnvironmentVariable::DockerAuthConfig).then(|| format!("{MARKER}{{").into());
    let error = find_in(&broken, &account, &wanted).unwrap_err();
    assert!(matches!(error, Error::Variable { .. }) && !error.to_string().contains(MARKER));
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
    let user = |variables: &[(EnvironmentVariable, &str)], file: Option<&Path>| {
        let get = |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)?;
            Some(found.strip_prefix('/').map_or_else(|| found.into(), |name| path(name).into_os_string()))
        };
        let robot = file.map(|path| RobotFile { path, folder: folder.path() });
        let wanted = LoginQuery { registry: &registry, repository: "base/java", is_named: false, robot };
        find_in(&get, &HostAccount::default, &wanted).map(|found| found.source.map(|source| source.login.user))
    };
    let known = |name: &str| Some(name.to_owned());
    let all = [
        (EnvironmentVariable::Registry, "harbor.example"),
        (EnvironmentVariable::RegistryUser, "environment"),
        (EnvironmentVariable::RegistryPassword, MARKER),
        (EnvironmentVariable::RegistryAuthFile, "/auth.json"),
        (EnvironmentVariable::DockerConfig, "/docker"),
        (EnvironmentVariable::RuntimeDir, "/run"),
        (EnvironmentVariable::Home, "/home"),
    ];
    assert_eq!(user(&all, Some(&path("robot"))).unwrap(), known("robot"));
    for (skipped, expected) in [(0, "environment"), (1, "file"), (3, "file"), (4, "docker"), (6, "home")] {
        assert_eq!(user(&all[skipped..], None).unwrap(), known(expected));
    }
    assert_eq!(user(&[(EnvironmentVariable::RuntimeDir, "/run")], None).unwrap(), known("podman"));
    assert_eq!(user(&[], None).unwrap(), None);
    assert!(matches!(user(&all[2..], None), Err(Error::Half { missing: "SOCKEL_REGISTRY_USER" })));
    assert!(user(&all, Some(&path("no-such-file"))).is_err());
    fs::write_atomic(&path("auth.json"), format!("{MARKER}{{").as_bytes()).unwrap();
    let error = user(&all[3..], None).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(MARKER));
}

#[test]
fn the_login_of_the_environment_is_for_one_registry() {
    let login = [(EnvironmentVariable::RegistryUser, "robot"), (EnvironmentVariable::RegistryPassword, MARKER)];
    // audience, registry, named on the command line, who, what is said
    let table = [
        (None, "https://harbor.example", false, false, "set `SOCKEL_REGISTRY=harbor.example`"),
        (None, "https://harbor.example:8443", false, false, "set `SOCKEL_REGISTRY=harbor.example:8443`"),
        (None, "https://harbor.example", true, true, ""),
        (Some("harbor.example"), "https://harbor.example", false, true, ""),
        (Some("harbor.example"), "https://other.example", false, false, "it is for `harbor.example`"),
        // what the operator says once holds for every command line
        (Some("harbor.example"), "https://other.example", true, false, "it is for `harbor.example`"),
        (Some("harbor.example"), "http://harbor.example", true, false, "set `SOCKEL_REGISTRY=http://harbor.example`"),
        (Some("http://harbor.example"), "http://harbor.example", false, true, ""),
        (Some("127.0.0.1:5000"), "http://127.0.0.1:5000", false, true, ""),
        (Some("127.0.0.1:5000"), "http://127.0.0.1:5001", false, false, "it is for `127.0.0.1:5000`"),
    ];
    for (audience, registry, is_named, used, said) in table {
        let get = |wanted| {
            let audience = audience.filter(|_| wanted == EnvironmentVariable::Registry).map(OsString::from);
            audience.or_else(|| login.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.into()))
        };
        let registry: Url = registry.parse().unwrap();
        let found = find_in(
            &get,
            &HostAccount::default,
            &LoginQuery { registry: &registry, repository: "", is_named, robot: None },
        )
        .unwrap();
        assert_eq!(found.source.is_some(), used, "{audience:?} {registry}");
        assert!(found.unused.as_deref().unwrap_or_default().contains(said), "{:?}", found.unused);
        assert_eq!(found.unused.is_some(), !used);
    }
    let get = |wanted| (wanted == EnvironmentVariable::Registry).then(|| "a b".into());
    let registry: Url = "https://harbor.example".parse().unwrap();
    let wanted = LoginQuery { registry: &registry, repository: "", is_named: true, robot: None };
    assert!(matches!(find_in(&get, &HostAccount::default, &wanted), Err(Error::Audience { .. })));
}

#[test]
fn a_registry_file_does_not_send_secrets_from_elsewhere_to_its_target() {
    let folder = tempfile::tempdir().unwrap();
    let (checkout, elsewhere) = (folder.path().join("checkout/base-images"), folder.path().join("secrets"));
    for path in [&checkout, &elsewhere] {
        fs::create_dir(path).unwrap();
    }
    let plain = format!("robot:{MARKER}");
    let bound = |registry: &str| format!(r#"{{"name":"robot","secret":"{MARKER}","registry":"{registry}"}}"#);
    fs::write_atomic(&checkout.join("inside"), plain.as_bytes()).unwrap();
    fs::write_atomic(&checkout.join("inside-bound"), bound("other.example").as_bytes()).unwrap();
    fs::write_atomic(&elsewhere.join("plain"), plain.as_bytes()).unwrap();
    fs::write_atomic(&elsewhere.join("bound"), bound("harbor.example").as_bytes()).unwrap();
    fs::write_atomic(&elsewhere.join("unsound"), bound("a b").as_bytes()).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("plain"), checkout.join("link")).unwrap();
    let registry: Url = "https://harbor.example/".parse().unwrap();
    let attempt = |path: &Path, said: Option<&str>| {
        let get = |wanted| said.filter(|_| wanted == EnvironmentVariable::Registry).map(OsString::from);
        let robot = Some(RobotFile { path, folder: &checkout });
        let found = find_in(
            &get,
            &HostAccount::default,
            &LoginQuery { registry: &registry, repository: "", is_named: true, robot },
        );
        let text = found.map(|found| found.source.unwrap().login.user).unwrap_or_else(|error| error.to_string());
        assert!(!text.contains(MARKER), "{text}");
        text
    };
    for (path, said, expected) in [
        (checkout.join("inside"), None, "robot"),
        (checkout.join("inside-bound"), Some("harbor.example"), "it is for `other.example`"),
        (elsewhere.join("bound"), None, "robot"),
        (elsewhere.join("bound"), Some("other.example"), "robot"),
        (elsewhere.join("plain"), None, "only the registry file says"),
        (elsewhere.join("plain"), Some("harbor.example"), "robot"),
        (elsewhere.join("plain"), Some("other.example"), "it is for `other.example`"),
        (checkout.join("../../secrets/plain"), None, "only the registry file says"),
        (checkout.join("link"), None, "only the registry file says"),
        (elsewhere.join("unsound"), Some("harbor.example"), "cannot read login"),
    ] {
        let found = attempt(&path, said);
        assert!(found.contains(expected), "{} {said:?}: {found}", path.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn any_file_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "\\PC{0,40}") {
        let _any = robot(&bytes);
        let _any = search(&bytes, "a.example", "b");
        let file = serde_json::json!({"auths": {"a.example": {"auth": text}}, "credsStore": text}).to_string();
        if let Ok(ConfiguredLogin::Helper { name, .. }) = search(file.as_bytes(), "a.example", "b/c") {
            prop_assert!(!name.contains('/'));
        }
    }
}
