//! Searches Docker's `config.json` and podman's `auth.json` (docker(1); containers-auth.json(5)) for the login of a registry.

use crate::oci::registry::credentials::audience::DOCKER;
use crate::oci::registry::credentials::sendable;
use crate::values::Login;
use crate::values::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a file contains about a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfiguredLogin {
    /// No login.
    Nothing,
    /// A login.
    Login(Login),
    /// The name of a credential helper.
    Helper {
        /// Name of the helper; its program is `docker-credential-<name>`.
        name: String,
        /// Key under which the helper keeps the login.
        server: String,
    },
}

/// The parts of a file that are about logins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DockerAuthConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuthEntry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

/// A login in `auths`, in one of its forms.
#[derive(Deserialize, Default)]
#[serde(default)]
struct DockerAuthEntry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// Searches a file for the login of a repository at a registry (`host` or `host:port`). The longest matching key is used.
///
/// # Errors
/// The cause, for messages; never anything of the content.
pub fn search(bytes: &[u8], host: &str, repository: &str) -> Result<ConfiguredLogin, &'static str> {
    const INVALID: &str = "it is not a JSON file with logins of Docker or podman";
    // serde would take a list of values for a struct
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(INVALID);
    }
    let config: DockerAuthConfig = serde_json::from_slice(bytes).map_err(|_| INVALID)?;

    // Docker keeps the login of Docker Hub under an old address
    let keys: Vec<String> = match host {
        host if DOCKER.contains(&host) => DOCKER.map(str::to_owned).to_vec(),
        _ => keys_of(host, repository),
    };

    // a helper that is named for the registry takes precedence, as in Docker
    if let Some((server, name)) = find(&config.cred_helpers, &keys) {
        return helper(name, server);
    }

    let entry = find(&config.auths, &keys);
    if let Some((_, entry)) = entry {
        if let Some(login) = entry.login()? {
            return Ok(ConfiguredLogin::Login(login));
        }
        if !entry.identitytoken.is_empty() {
            return Err("it has an identity token; only user and password are supported");
        }
    }

    // Docker leaves an empty entry behind when it puts a login into the store; a store may also have one without an entry
    match config.creds_store.as_str() {
        "" => Ok(ConfiguredLogin::Nothing),
        name => helper(name, entry.map_or(host, |(server, _)| server)),
    }
}

/// Returns the keys for a repository, longest first: `host/a/b`, `host/a`, `host` for the repository `a/b`.
fn keys_of(host: &str, repository: &str) -> Vec<String> {
    let mut key = format!("{host}/{repository}");
    let mut keys = Vec::new();
    loop {
        keys.push(key.clone());
        match key.rsplit_once('/') {
            Some((shorter, _)) => key = shorter.to_owned(),
            None => return keys,
        }
    }
}

/// Returns the entry of the first key that a file has. Keys in files may be addresses.
fn find<'a, T>(map: &'a BTreeMap<String, T>, keys: &[String]) -> Option<(&'a str, &'a T)> {
    keys.iter().find_map(|key| {
        let found = map.iter().find(|(name, _)| without_address(name) == key);
        found.map(|(name, value)| (name.as_str(), value))
    })
}

/// Returns a key without the parts of an address that Docker puts around it: `https://`, `/v1/`, `/v2/`.
fn without_address(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
}

/// Returns a credential helper after checking its name.
fn helper(name: &str, server: &str) -> Result<ConfiguredLogin, &'static str> {
    // it becomes part of the name of a program, so it must not be a path
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let found = ConfiguredLogin::Helper { name: name.to_owned(), server: server.to_owned() };
    if is_name { Ok(found) } else { Err("the name of its credential helper is invalid") }
}

impl DockerAuthEntry {
    /// Returns the login of the entry; `None` when it has none.
    fn login(&self) -> Result<Option<Login>, &'static str> {
        const INVALID: &str = "its login for this registry is malformed";
        let login = if self.auth.is_empty() {
            if self.username.is_empty() || self.password.is_empty() {
                return Ok(None);
            }
            Login { user: self.username.clone(), password: Secret::new(self.password.clone()) }
        } else {
            let decoded = STANDARD.decode(self.auth.trim()).map_err(|_| INVALID)?;
            let pair = Secret::new(String::from_utf8(decoded).map_err(|_| INVALID)?);
            let (user, password) = pair.expose().split_once(':').ok_or(INVALID)?;
            // Docker once padded passwords with zero bytes
            Login { user: user.to_owned(), password: Secret::new(password.trim_matches('\0').to_owned()) }
        };

        // an identity token comes with an empty password
        if login.password.expose().is_empty() && !self.identitytoken.is_empty() {
            return Ok(None);
        }
        sendable(login).map(Some).ok_or(INVALID)
    }
}
