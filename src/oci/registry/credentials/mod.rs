//! Finds the login for a registry. Each login is for one registry only.
//!
//! The first of these sources that has a login for the registry is used:
//!
//! | source | registry that its login is for |
//! |---|---|
//! | a robot file: Harbor's answer to a new robot (`{"name","secret"}`) or a line `user:password` | its own `"registry"`; without one, the target of the registry file if it lies below the folder of that file, otherwise `SOCKEL_REGISTRY` |
//! | `SOCKEL_REGISTRY_USER` and `SOCKEL_REGISTRY_PASSWORD` | `SOCKEL_REGISTRY`; without it, the registry that the command line names as target |
//! | `DOCKER_AUTH_CONFIG`: the content of a `config.json` | its key |
//! | `REGISTRY_AUTH_FILE` (containers-auth.json(5)) | its key |
//! | `config.json` in `DOCKER_CONFIG` or `~/.docker`, with its credential helpers | its key |
//! | podman's `auth.json` in `XDG_RUNTIME_DIR/containers`, without that variable in `/run/containers/UID`; then in `~/.config/containers` | its key |
//!
//! A key may be a part of a registry (`host/project`); a push asks for the login of its repository. Without `HOME`, the home
//! folder is that of `/etc/passwd`.
//!
//! The operator decides where a login is sent, never a checkout: a registry file may name a robot file and a target, but
//! must not send a secret from outside its own folder to a target of its choice.

mod account;
mod audience;
mod config;
mod logins;

pub use audience::LoginAudience;
pub use config::ConfiguredLogin;
pub use config::search;
pub use logins::RegistryLogins;

use crate::fault::Explain;
use crate::fault::Turn;
use crate::oci::registry::challenge::shown_host;
use crate::oci::registry::credentials::account::HostAccount;
use crate::oci::registry::credentials::config::HostNames;
use crate::oci::registry::credentials::config::LoginFile;
use crate::sys::env;
use crate::sys::env::EnvironmentVariable;
use crate::sys::fs;
use crate::sys::process::ProgramRun;
use crate::values::Login;
use crate::values::Secret;
use serde::Deserialize;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Largest file of credentials.
const LIMIT: u64 = 1 << 20;

/// Variables that credential helpers get in addition to those of every program: the ones that the documentation of clouds
/// and password stores names. None belongs to sockel or to a pipeline.
const OF_HELPERS: &[&str] = &[
    // docker-credential-helpers: where Docker's and the tool's configuration is; pass(1), gpg(1); the session's key ring
    "DOCKER_CONFIG",
    "PASSWORD_STORE_DIR",
    "GNUPGHOME",
    "DBUS_SESSION_BUS_ADDRESS",
    // docker-credential-ecr-login: the variables of AWS SDKs ("Settings reference", AWS SDKs and Tools Reference Guide)
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    // docker-credential-gcr, docker-credential-gcloud: "Application Default Credentials", `gcloud topic configurations`
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
    // docker-credential-acr-env: the variables of the Azure SDK ("EnvironmentCredential", "WorkloadIdentityCredential")
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
];

/// Longest time for a credential helper: some ask the user or a server.
const HELPER_TIME: Duration = Duration::from_secs(30);

/// What can go wrong in the search for a login. No error contains anything of a file's content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A file has no usable login.
    #[error("cannot read login `{}`: {cause}", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// The content of `DOCKER_AUTH_CONFIG` has no usable login.
    #[error("cannot read the logins in `DOCKER_AUTH_CONFIG`: {cause}")]
    Variable {
        /// What is wrong with it.
        cause: &'static str,
    },
    /// Only one of the two variables of a login is set.
    #[error("cannot use the login of the environment: `{missing}` is not set")]
    Half {
        /// The variable that is not set.
        missing: &'static str,
    },
    /// `SOCKEL_REGISTRY` is not a registry.
    #[error("cannot use `SOCKEL_REGISTRY`: {cause}")]
    Audience {
        /// What is wrong with it.
        cause: &'static str,
    },
    /// A robot file is for another registry.
    #[error("cannot log in at `{registry}` with `{}`: it is for `{audience}`", path.display())]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// The registry that it should be used for.
        registry: String,
        /// The registry that it is for.
        audience: String,
    },
    /// Only the registry file, which is part of a checkout, says which registry a robot file is for.
    #[error("cannot log in at `{registry}` with `{}`: only the registry file says that it is for this registry", path.display())]
    Unbound {
        /// The file.
        path: PathBuf,
        /// The registry that it should be used for.
        registry: String,
    },
    /// A credential helper failed.
    #[error("cannot ask the credential helper of `{origin}`: {cause}")]
    Helper {
        /// Docker's configuration that names it.
        origin: String,
        /// How it failed.
        cause: String,
    },
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        Turn::Input
    }

    fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::Unsound { .. } => {
                "a robot file is Harbor's `{\"name\": …, \"secret\": …}` or one line `user:password`"
            }
            Self::Variable { .. } => {
                "give it the content of Docker's `config.json`: `{\"auths\": {\"HOST\": {\"auth\": …}}}`"
            }
            Self::Half { .. } => "set both `SOCKEL_REGISTRY_USER` and `SOCKEL_REGISTRY_PASSWORD`, or neither",
            Self::Audience { .. } => "give the registry that the login is for: `HOST` or `HOST:PORT`",
            Self::Elsewhere { .. } => "name another file in `credentials`, or correct the target of the registry file",
            Self::Unbound { registry, .. } => {
                return vec![format!(
                    "add `\"registry\": \"{registry}\"` to the robot file, or set `SOCKEL_REGISTRY={registry}`"
                )];
            }
            Self::Helper { .. } => "log in again with the tool that the helper belongs to, or name a robot file",
        };
        vec![hint.to_owned()]
    }
}

/// A login with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLogin {
    /// User and password.
    pub login: Login,
    /// Its source for messages: the path of a file, or `environment`.
    pub origin: String,
}

/// The registry for which a login is searched.
#[derive(Debug, Clone, Copy)]
pub struct LoginQuery<'a> {
    /// The registry.
    pub registry: &'a Url,
    /// The repository or project in it.
    pub repository: &'a str,
    /// The command line names this registry as the target.
    pub is_named: bool,
    /// The robot file that the registry file names, if this registry is the target of that file.
    pub robot: Option<RobotFile<'a>>,
}

/// A robot file that a registry file names for its target.
#[derive(Debug, Clone, Copy)]
pub struct RobotFile<'a> {
    /// The file.
    pub path: &'a Path,
    /// Folder of the registry file, which the checkout controls.
    pub folder: &'a Path,
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoginSearchResult {
    /// The login for the repository; `None` when no source has one.
    pub source: Option<FoundLogin>,
    /// The logins for all repositories of the registry.
    pub logins: RegistryLogins,
    /// Where the search looked, for messages.
    pub searched: Vec<String>,
    /// Why the login of the environment was not used although no other was found; to be shown to the user.
    pub unused: Option<String>,
}

/// Finds the login for a registry.
///
/// # Errors
/// When a source cannot be read. That includes optional files that exist but are not valid: continuing without a login would
/// hide the problem.
pub fn find(wanted: &LoginQuery<'_>) -> Result<LoginSearchResult, Error> {
    find_in(&env::get, &HostAccount::of_process, wanted)
}

/// Returns the user's home folder: of `HOME`, otherwise of `/etc/passwd`.
pub(in crate::oci::registry) fn home() -> Option<PathBuf> {
    env::get(EnvironmentVariable::Home).map(PathBuf::from).or_else(|| HostAccount::of_process().home)
}

/// As [`find`], with environment and account as parameters for tests.
fn find_in(
    variable: &dyn Fn(EnvironmentVariable) -> Option<OsString>,
    account: &dyn Fn() -> HostAccount,
    wanted: &LoginQuery<'_>,
) -> Result<LoginSearchResult, Error> {
    let audience = audience(variable)?;

    // a named file that cannot be used is an error: no other login is tried in its place
    if let Some(robot) = &wanted.robot {
        return Ok(of_robot(robot, wanted.registry, audience.as_ref())?.into());
    }

    let mut unused = None;
    if let Some(login) = of_environment(variable)? {
        match why_unused(wanted, audience.as_ref()) {
            None => return Ok(FoundLogin { login, origin: "environment".to_owned() }.into()),
            reason => unused = reason,
        }
    }

    // the login of the environment may be for another registry, and this one's in a file
    let (mut logins, mut searched) = (RegistryLogins::default(), Vec::new());
    if let Some(text) = variable(EnvironmentVariable::DockerAuthConfig) {
        let origin = EnvironmentVariable::DockerAuthConfig.name();
        let text = text.into_string().map_err(|_| Error::Variable { cause: "it is not UTF-8" })?;
        let malformed = |cause| Error::Variable { cause };
        logins.add(of_content(text.as_bytes(), origin, wanted, &malformed)?);
        searched.push(origin.to_owned());
    }
    for path in files(variable, account) {
        // a login for the whole registry: later files cannot change anything
        if logins.is_complete() {
            break;
        }
        logins.add(of_file(&path, wanted)?);
        searched.push(path.display().to_string());
    }

    let source = logins.of(wanted.repository).cloned();
    let unused = unused.filter(|_| source.is_none());
    Ok(LoginSearchResult { source, logins, searched, unused })
}

impl From<FoundLogin> for LoginSearchResult {
    fn from(source: FoundLogin) -> Self {
        Self { logins: source.clone().into(), source: Some(source), ..Self::default() }
    }
}

/// Returns the registry in `SOCKEL_REGISTRY`.
fn audience(variable: &dyn Fn(EnvironmentVariable) -> Option<OsString>) -> Result<Option<LoginAudience>, Error> {
    let text = variable(EnvironmentVariable::Registry).map(|text| text.to_string_lossy().into_owned());
    text.map(|text| LoginAudience::parse(&text).map_err(|cause| Error::Audience { cause })).transpose()
}

/// Returns the login of a robot file if it is for this registry. `operators` is the registry in `SOCKEL_REGISTRY`.
fn of_robot(robot: &RobotFile<'_>, registry: &Url, operators: Option<&LoginAudience>) -> Result<FoundLogin, Error> {
    let path = robot.path.to_owned();
    let origin = path.display().to_string();
    let (login, own) = read_robot_file(&path)?;

    // the checkout's own secret may be sent to the checkout's own target
    if own.is_none() && robot.is_in_checkout()? {
        return Ok(FoundLogin { login, origin });
    }

    // what the file says about itself takes precedence: one operator may have robots at several registries
    let audience = own.as_ref().or(operators);
    let registry_name = LoginAudience::of(registry).to_string().trim_start_matches("https://").to_owned();
    match audience {
        Some(audience) if audience.covers(registry) => Ok(FoundLogin { login, origin }),
        Some(audience) => Err(Error::Elsewhere { path, registry: registry_name, audience: audience.to_string() }),
        None => Err(Error::Unbound { path, registry: registry_name }),
    }
}

/// Reads the login in a robot file, and the registry that it names.
fn read_robot_file(path: &Path) -> Result<(Login, Option<LoginAudience>), Error> {
    let bytes = fs::read(path, LIMIT)?;
    parse_robot_file(&bytes).map_err(|cause| Error::Unsound { path: path.to_owned(), cause })
}

/// Parses a robot file with its audience.
fn parse_robot_file(bytes: &[u8]) -> Result<(Login, Option<LoginAudience>), &'static str> {
    let RobotLogin { login, registry } = robot(bytes)?;
    Ok((login, registry.map(|text| LoginAudience::parse(&text)).transpose()?))
}

impl RobotFile<'_> {
    /// Tells whether the file lies below the folder of the registry file.
    fn is_in_checkout(&self) -> Result<bool, Error> {
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { self.folder };
        // resolved, because a link in the checkout may lead to a secret elsewhere
        Ok(fs::absolute(self.path)?.starts_with(fs::absolute(folder)?))
    }
}

/// Returns the login in `SOCKEL_REGISTRY_USER` and `SOCKEL_REGISTRY_PASSWORD`.
fn of_environment(variable: &dyn Fn(EnvironmentVariable) -> Option<OsString>) -> Result<Option<Login>, Error> {
    // logins are text (RFC 7617, 2.1), so a value that is not UTF-8 counts as not set
    let user = variable(EnvironmentVariable::RegistryUser).and_then(|value| value.into_string().ok());
    let password = variable(EnvironmentVariable::RegistryPassword).and_then(|value| value.into_string().ok());

    match (user, password) {
        (Some(user), Some(password)) => Ok(Some(Login { user, password: Secret::new(password) })),
        // half a login is a mistake, and continuing with another one would hide it
        (Some(_), None) => Err(Error::Half { missing: EnvironmentVariable::RegistryPassword.name() }),
        (None, Some(_)) => Err(Error::Half { missing: EnvironmentVariable::RegistryUser.name() }),
        (None, None) => Ok(None),
    }
}

/// Returns why the login of the environment is not used for this registry; `None` when it may be used.
fn why_unused(wanted: &LoginQuery<'_>, audience: Option<&LoginAudience>) -> Option<String> {
    let name = LoginAudience::of(wanted.registry).to_string();
    let short = name.trim_start_matches("https://");

    let cause = match audience {
        // who types the registry on the command line means its login; a registry file is not trusted with that
        None if wanted.is_named => return None,
        None => format!("nothing says that it is for this registry; if it is, set `SOCKEL_REGISTRY={short}`"),
        Some(audience) if audience.covers(wanted.registry) => return None,
        Some(audience) if audience.covers_but_for_http(wanted.registry) => {
            format!("it would be sent over plain http; to allow that, set `SOCKEL_REGISTRY={name}`")
        }
        Some(audience) => format!("`SOCKEL_REGISTRY` says that it is for `{audience}`"),
    };
    Some(format!("the login of the environment is not used for `{short}`: {cause}"))
}

/// Reads the logins in the content of a file of Docker or podman for a registry. No credential helper is asked.
///
/// # Errors
/// The cause, for messages; never anything of the content.
pub fn all(bytes: &[u8], registry: &Url) -> Result<RegistryLogins, &'static str> {
    let found = LoginFile::parse(bytes)?.all(&host_names(registry)).into_iter();
    let mut logins = RegistryLogins::default();
    logins.add(found.map(|(namespace, login)| (namespace, FoundLogin { login, origin: String::new() })).collect());
    Ok(logins)
}

/// Returns the names of a registry in keys. Some tools spell out the port that the scheme has anyway.
fn host_names(registry: &Url) -> HostNames {
    let usual = if registry.port().is_none() { registry.port_or_known_default() } else { None };
    HostNames::of(shown_host(registry).trim_end_matches('.'), usual)
}

/// Returns the logins in a file of Docker or podman, by what they are for. The file need not exist.
fn of_file(path: &Path, wanted: &LoginQuery<'_>) -> Result<Vec<(String, FoundLogin)>, Error> {
    let bytes = match fs::read(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let malformed = |cause| Error::Unsound { path: path.to_owned(), cause };
    of_content(&bytes, &path.display().to_string(), wanted, &malformed)
}

/// Returns the logins in the content of a file, by what they are for: the whole registry (an empty text), or a part of it.
fn of_content(
    bytes: &[u8],
    origin: &str,
    wanted: &LoginQuery<'_>,
    malformed: &dyn Fn(&'static str) -> Error,
) -> Result<Vec<(String, FoundLogin)>, Error> {
    let file = LoginFile::parse(bytes).map_err(malformed)?;
    let host = host_names(wanted.registry);

    let found = |login| FoundLogin { login, origin: origin.to_owned() };
    let mut logins: Vec<(String, FoundLogin)> =
        file.all(&host).into_iter().map(|(namespace, login)| (namespace, found(login))).collect();

    if let ConfiguredLogin::Helper { name, server } = file.login(&host, wanted.repository).map_err(malformed)? {
        let asked = ask(&name, &server);
        // helpers keep one login for a registry
        let login = asked.map_err(|cause| Error::Helper { origin: origin.to_owned(), cause })?;
        logins.extend(login.map(|login| (String::new(), found(login))));
    }
    Ok(logins)
}

/// Returns the files that may have logins, in the order in which they are searched.
fn files(
    variable: &dyn Fn(EnvironmentVariable) -> Option<OsString>,
    account: &dyn Fn() -> HostAccount,
) -> Vec<PathBuf> {
    const PODMAN: &str = "containers/auth.json";
    let [home, auth_file, docker, runtime, settings] = [
        EnvironmentVariable::Home,
        EnvironmentVariable::RegistryAuthFile,
        EnvironmentVariable::DockerConfig,
        EnvironmentVariable::RuntimeDir,
        EnvironmentVariable::ConfigHome,
    ]
    .map(|name| variable(name).map(PathBuf::from));

    // services and jobs of a pipeline often have no home, and root's shells no folder of the session
    let account = if home.is_some() && runtime.is_some() { HostAccount::default() } else { account() };
    let home = home.or(account.home);
    let runtime = runtime.map(|folder| folder.join(PODMAN));
    let runtime = runtime.or_else(|| account.id.map(|id| PathBuf::from(format!("/run/containers/{id}/auth.json"))));
    let docker = docker.or_else(|| home.as_ref().map(|home| home.join(".docker")));
    let settings = settings.or_else(|| home.as_ref().map(|home| home.join(".config")));

    let docker = docker.map(|folder| folder.join("config.json"));
    let settings = settings.map(|folder| folder.join(PODMAN));
    [auth_file, docker, runtime, settings].into_iter().flatten().collect()
}

/// The content of a robot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RobotLogin {
    /// Name and secret of the robot account.
    pub login: Login,
    /// The registry that it is for, if the file names one.
    pub registry: Option<String>,
}

/// Parses a robot file: JSON as Harbor returns it, to which an operator may have added `registry`, or one line
/// `user:password`.
///
/// # Errors
/// The cause, for messages; never anything of the content.
pub fn robot(bytes: &[u8]) -> Result<RobotLogin, &'static str> {
    #[derive(Deserialize)]
    struct RobotFileJson {
        name: String,
        secret: String,
        registry: Option<String>,
    }

    let text = std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8")?.trim();
    let (login, registry) = if text.starts_with('{') {
        let json: RobotFileJson = serde_json::from_str(text).map_err(|_| "it is not JSON with `name` and `secret`")?;
        (Login { user: json.name, password: Secret::new(json.secret) }, json.registry)
    } else {
        let (user, password) = text.split_once(':').ok_or("it is neither JSON nor `user:password`")?;
        (Login { user: user.to_owned(), password: Secret::new(password.to_owned()) }, None)
    };

    let login = sendable(login).ok_or("name or password is empty or has control characters")?;
    Ok(RobotLogin { login, registry })
}

/// Returns a login if it can be sent (RFC 7617, 2: no colon in the name, no control characters). In a password, lines are
/// allowed all the same: the keys of Google's service accounts are JSON of many lines.
fn sendable(login: Login) -> Option<Login> {
    let password = login.password.expose();
    let is_sendable = !login.user.is_empty()
        && !password.is_empty()
        && !login.user.contains(':')
        && !login.user.chars().any(char::is_control)
        && !password.chars().any(|sign| sign.is_control() && !matches!(sign, '\n' | '\r' | '\t'));
    is_sendable.then_some(login)
}

/// Asks a credential helper for a login (docker-credential-helpers, "protocol"); `None` when it has none for this server.
fn ask(name: &str, server: &str) -> Result<Option<Login>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct HelperCredentials {
        username: String,
        secret: String,
    }

    let program = format!("docker-credential-{name}");
    let run = ProgramRun {
        program: &program,
        arguments: &["get"],
        // a helper may read its working folder, which must not be a checkout
        folder: Path::new("/"),
        environment: &[],
        inherited: OF_HELPERS,
        input: server.as_bytes(),
        time: HELPER_TIME,
        limit: LIMIT,
    };
    let finished = run.run().map_err(|error| error.to_string())?;

    // there is no status for "unknown": helpers say so in words, which differ
    if !finished.success {
        let text = String::from_utf8_lossy(&finished.output).to_ascii_lowercase();
        let is_unknown = text.contains("credentials not found") || text.contains("not logged in");
        return if is_unknown { Ok(None) } else { Err(format!("`{program}` failed")) };
    }

    let credentials = serde_json::from_slice(&finished.output).ok();
    let login =
        credentials.map(|found: HelperCredentials| Login { user: found.username, password: Secret::new(found.secret) });
    let login = login.and_then(sendable);
    login.map(Some).ok_or_else(|| format!("`{program}` did not answer with user and password"))
}

#[cfg(test)]
mod tests;
