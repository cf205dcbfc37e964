//! Files with logins, and whom a login is for: four lines say host, repository, audience and address, the rest is the file.
#![no_main]

use sockel::oci::registry::credentials;
use sockel::oci::registry::credentials::ConfiguredLogin;
use sockel::oci::registry::credentials::LoginAudience;
use sockel::values::Login;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(5, |byte| *byte == b'\n');
    let mut line = || parts.next().and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let (host, repository, audience, address) = (line(), line(), line(), line());
    let file = parts.next().unwrap_or_default();
    match credentials::search(file, host, repository) {
        Ok(ConfiguredLogin::Login(login)) => sound(&login),
        Ok(ConfiguredLogin::Helper { name, .. }) => {
            assert!(
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            );
        }
        Ok(ConfiguredLogin::Nothing) | Err(_) => {}
    }
    if let Ok(robot) = credentials::robot(file) {
        sound(&robot.login);
    }
    let Ok(audience) = LoginAudience::parse(audience) else { return };
    assert_eq!(LoginAudience::parse(&audience.to_string()).as_ref(), Ok(&audience));
    let Ok(address) = address.parse() else { return };
    let registry: url::Url = address;
    let is_covered = audience.covers(&registry);
    assert!(!(is_covered && audience.covers_but_for_http(&registry)));
    if is_covered {
        // a login never goes to another host, and never in the clear unless that was written, or on this machine
        let text = audience.to_string().to_ascii_lowercase();
        let is_docker = registry.host_str().is_some_and(|host| host.trim_end_matches('.').ends_with("docker.io"));
        let host = registry.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        assert!(is_docker || text.contains(&host), "{audience} {registry}");
        assert!(LoginAudience::of(&registry).covers(&registry));
    }
});

/// What can be sent as a header.
fn sound(login: &Login) {
    let password = login.password.expose();
    assert!(!login.user.is_empty() && !login.user.contains(':') && !password.is_empty());
    assert!(!login.user.chars().chain(password.chars()).any(char::is_control));
    assert!(login.basic().expose().is_ascii());
}
