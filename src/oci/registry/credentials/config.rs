//! Docker's `config.json` and podman's `auth.json` (docker(1); containers-auth.json(5)): who knows a registry's login.

use crate::oci::registry::credentials::audience::DOCKER;
use crate::oci::registry::credentials::sound;
use crate::values::Login;
use crate::values::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a file knows about a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The login itself.
    Login(Login),
    /// Who to ask.
    Helper {
        /// The program is `docker-credential-<name>`.
        name: String,
        /// What it is asked for.
        server: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// Looks up a registry (`host` or `host:port`) and a repository there: the longest key that fits counts.
///
/// # Errors
/// What is wrong, without anything of the content.
pub fn search(bytes: &[u8], host: &str, repository: &str) -> Result<Found, &'static str> {
    const UNSOUND: &str = "it is no JSON of Docker's or podman's logins";
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(UNSOUND);
    }
    let config: Config = serde_json::from_slice(bytes).map_err(|_| UNSOUND)?;
    // Docker keeps its own registry under an old address
    let keys: Vec<String> = match host {
        host if DOCKER.contains(&host) => DOCKER.map(str::to_owned).to_vec(),
        _ => places(host, repository),
    };
    if let Some((server, name)) = find(&config.cred_helpers, &keys) {
        return helper(name, server);
    }
    let entry = find(&config.auths, &keys);
    if let Some((_, entry)) = entry {
        if let Some(login) = entry.login()? {
            return Ok(Found::Login(login));
        }
        if !entry.identitytoken.is_empty() {
            return Err("it has an identity token; only user and password are supported");
        }
    }
    // entries without a login say that the login is in the store; a store may also know what has no entry
    match config.creds_store.as_str() {
        "" => Ok(Found::Nothing),
        name => helper(name, entry.map_or(host, |(server, _)| server)),
    }
}

/// Returns `host/a/b`, `host/a`, `host` for the repository `a/b`.
fn places(host: &str, repository: &str) -> Vec<String> {
    let mut place = format!("{host}/{repository}");
    let mut places = Vec::new();
    loop {
        places.push(place.clone());
        match place.rsplit_once('/') {
            Some((shorter, _)) => place = shorter.to_owned(),
            None => return places,
        }
    }
}

/// Finds the first of these keys; keys in files may be addresses.
fn find<'a, T>(map: &'a BTreeMap<String, T>, keys: &[String]) -> Option<(&'a str, &'a T)> {
    keys.iter().find_map(|key| {
        let found = map.iter().find(|(name, _)| plain(name) == key);
        found.map(|(name, value)| (name.as_str(), value))
    })
}

/// Returns a key without what Docker writes around it: `https://`, `/v1/`, `/v2/`.
fn plain(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let key = key.trim_end_matches('/');
    key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key)
}

/// A helper's name is part of a program's name, never a path.
fn helper(name: &str, server: &str) -> Result<Found, &'static str> {
    let is_name = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let found = Found::Helper { name: name.to_owned(), server: server.to_owned() };
    if is_name { Ok(found) } else { Err("the name of its credential helper is not sound") }
}

impl Entry {
    fn login(&self) -> Result<Option<Login>, &'static str> {
        const UNSOUND: &str = "its login of this registry is not sound";
        let login = if self.auth.is_empty() {
            if self.username.is_empty() || self.password.is_empty() {
                return Ok(None);
            }
            Login { user: self.username.clone(), password: Secret::new(self.password.clone()) }
        } else {
            let decoded = STANDARD.decode(self.auth.trim()).map_err(|_| UNSOUND)?;
            let pair = Secret::new(String::from_utf8(decoded).map_err(|_| UNSOUND)?);
            let (user, password) = pair.expose().split_once(':').ok_or(UNSOUND)?;
            // Docker once padded passwords with zero bytes
            Login { user: user.to_owned(), password: Secret::new(password.trim_matches('\0').to_owned()) }
        };
        // an identity token comes with an empty password
        if login.password.expose().is_empty() && !self.identitytoken.is_empty() {
            return Ok(None);
        }
        sound(login).map(Some).ok_or(UNSOUND)
    }
}
