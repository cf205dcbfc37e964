//! Searches Docker's `config.json` and podman's `auth.json` (docker(1); containers-auth.json(5)) for the logins of a registry.
//!
//! A key is a registry, or a repository or the beginning of one: `host`, `host/project`, `host/project/image`. The longest
//! key that fits a repository is its login. Whatever is empty may be missing, `null` or empty.

use crate::oci::registry::credentials::audience::DOCKER;
use crate::oci::registry::credentials::sendable;
use crate::values::Login;
use crate::values::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Key under which Docker keeps the login of Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

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

/// A file of logins.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LoginFile {
    auths: Option<BTreeMap<String, Option<LoginEntry>>>,
    cred_helpers: Option<BTreeMap<String, Option<String>>>,
    creds_store: Option<String>,
}

/// A login in `auths`, in one of its forms.
#[derive(Deserialize)]
struct LoginEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// Searches a file for the login of a repository at a registry (`host` or `host:port`). The longest matching key is used.
///
/// # Errors
/// The cause, for messages; never anything of the content.
pub fn search(bytes: &[u8], host: &str, repository: &str) -> Result<ConfiguredLogin, &'static str> {
    LoginFile::parse(bytes)?.login(&HostNames::of(host, None), repository)
}

/// The names of one registry in keys.
pub(super) struct HostNames(Vec<String>);

impl HostNames {
    /// Returns the names of a registry (`host` or `host:port`); `usual` is the port that its scheme has without one.
    pub(super) fn of(host: &str, usual: Option<u16>) -> Self {
        let host = host.to_ascii_lowercase();
        if DOCKER.contains(&host.as_str()) {
            return Self(DOCKER.map(str::to_owned).to_vec());
        }
        let spelled_out = usual.map(|port| format!("{host}:{port}"));
        Self([host].into_iter().chain(spelled_out).collect())
    }

    /// Returns the repository, or beginning of one, that a key is for; `None` for a key of another registry.
    fn namespace<'k>(&self, key: &'k str) -> Option<&'k str> {
        let key = without_address(key);
        let (host, namespace) = key.split_once('/').unwrap_or((key, ""));
        let is_ours = self.0.iter().any(|name| name.eq_ignore_ascii_case(host.trim_end_matches('.')));
        is_ours.then_some(namespace)
    }

    /// Tells whether a key is written as one of the names with a namespace, without parts of an address.
    fn is_plain(&self, key: &str) -> bool {
        self.0
            .iter()
            .any(|name| key.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }
}

impl LoginFile {
    /// Reads a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        const INVALID: &str = "it is not a JSON file with logins of Docker or podman";
        // serde would take a list of values for a struct
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(INVALID);
        }
        serde_json::from_slice(bytes).map_err(|_| INVALID)
    }

    /// Returns what the file says about the login for a repository.
    pub(super) fn login(&self, host: &HostNames, repository: &str) -> Result<ConfiguredLogin, &'static str> {
        // a helper that is named for the registry takes precedence, as in Docker
        let helper_of_host = fitting(self.cred_helpers.as_ref(), host, repository).into_iter().next();
        if let Some((server, Some(name))) = helper_of_host
            && !name.is_empty()
        {
            return helper(name, server);
        }

        let entries = fitting(self.auths.as_ref(), host, repository);
        for entry in entries.iter().filter_map(|(_, entry)| entry.as_ref()) {
            if let Some(login) = entry.login()? {
                return Ok(ConfiguredLogin::Login(login));
            }
        }

        // an empty name says that this registry's login is not in the store
        if helper_of_host.is_some() {
            return Ok(ConfiguredLogin::Nothing);
        }
        // Docker leaves an empty entry behind when it puts a login into the store; a store may also have one without an entry
        match self.creds_store.as_deref() {
            None | Some("") => Ok(ConfiguredLogin::Nothing),
            Some(name) => helper(name, entries.first().map_or(host.in_stores(), |(server, _)| server)),
        }
    }

    /// Returns the logins of a registry with the repositories, or beginnings of them, that they are for. One that cannot be
    /// used is left out: it is an error only for who needs it.
    pub(super) fn all(&self, host: &HostNames) -> Vec<(String, Login)> {
        // a helper that is named for the registry is asked instead of them
        let has_helper = fitting(self.cred_helpers.as_ref(), host, "")
            .iter()
            .any(|(_, name)| name.as_deref().is_some_and(|name| !name.is_empty()));
        let auths = self.auths.as_ref().filter(|_| !has_helper);
        let entries = auths.into_iter().flatten().filter_map(|(key, entry)| Some((key, entry.as_ref()?)));
        let mut found: BTreeMap<&str, (bool, Login)> = BTreeMap::new();
        for (key, entry) in entries {
            let (Some(namespace), Ok(Some(login))) = (host.namespace(key), entry.login()) else { continue };
            let is_plain = host.is_plain(key);
            let known = found.get(namespace);
            if known.is_none_or(|(was_plain, _)| is_plain && !was_plain) {
                found.insert(namespace, (is_plain, login));
            }
        }
        found.into_iter().map(|(namespace, (_, login))| (namespace.to_owned(), login)).collect()
    }
}

impl HostNames {
    /// Returns the name under which stores keep the login of the registry.
    fn in_stores(&self) -> &str {
        match self.0.first() {
            Some(name) if !DOCKER.contains(&name.as_str()) => name,
            _ => DOCKER_HUB,
        }
    }
}

/// Tells whether a repository is a namespace, or lies below it. Every repository lies below the empty one.
pub(super) fn is_below(repository: &str, namespace: &str) -> bool {
    let rest = repository.strip_prefix(namespace);
    namespace.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the entries whose keys fit a repository, those with the longest keys first; of two that mean the same, the one
/// without parts of an address.
fn fitting<'a, T>(map: Option<&'a BTreeMap<String, T>>, host: &HostNames, repository: &str) -> Vec<(&'a str, &'a T)> {
    let keys = map.into_iter().flatten().filter_map(|(key, value)| Some((host.namespace(key)?, key.as_str(), value)));
    let mut keys: Vec<(&str, &str, &T)> = keys.filter(|(namespace, ..)| is_below(repository, namespace)).collect();
    keys.sort_by_key(|(namespace, key, _)| (std::cmp::Reverse(namespace.len()), !host.is_plain(key)));
    keys.into_iter().map(|(_, key, value)| (key, value)).collect()
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

impl LoginEntry {
    /// Returns the login of the entry; `None` when it has none.
    fn login(&self) -> Result<Option<Login>, &'static str> {
        const INVALID: &str = "its login for this registry is malformed";
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (mut user, mut password) = (text(&self.username), Secret::new(text(&self.password)));

        // `base64` breaks its lines after 76 signs, and Go's decoder passes over that
        let auth: Vec<u8> = text(&self.auth).bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if !auth.is_empty() {
            let decoded = STANDARD.decode(auth).map_err(|_| INVALID)?;
            let pair = Secret::new(String::from_utf8(decoded).map_err(|_| INVALID)?);
            let (name, rest) = pair.expose().split_once(':').ok_or(INVALID)?;
            // Docker once padded passwords with zero bytes
            (user, password) = (name.to_owned(), Secret::new(rest.trim_matches('\0').to_owned()));
        }

        // it comes with an empty password, and stands for the user by itself
        let token = text(&self.identitytoken);
        if password.expose().is_empty() && !token.is_empty() {
            return sendable(Login::of_identity_token(Secret::new(token))).map(Some).ok_or(INVALID);
        }
        // an entry without a login is what Docker leaves behind when a store has it
        if user.is_empty() && password.expose().is_empty() || self.is_half() {
            return Ok(None);
        }
        sendable(Login { user, password }).map(Some).ok_or(INVALID)
    }

    /// Tells whether the entry has only one of a user and a password in fields of their own.
    fn is_half(&self) -> bool {
        let is_empty = |field: &Option<String>| field.as_deref().unwrap_or_default().is_empty();
        is_empty(&self.auth) && (is_empty(&self.username) || is_empty(&self.password))
    }
}
