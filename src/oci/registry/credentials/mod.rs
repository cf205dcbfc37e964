//! Who we are at a registry: a robot's file, our environment, or what Docker and podman know.
//!
//! In this order, the first that knows the registry counts:
//! 1. the file that was named: Harbor's answer to a new robot (`{"name","secret"}`) or a line `user:password`;
//! 2. `SOCKEL_REGISTRY_USER` and `SOCKEL_REGISTRY_PASSWORD`;
//! 3. `REGISTRY_AUTH_FILE` (containers-auth.json(5));
//! 4. `config.json` in `DOCKER_CONFIG` or `~/.docker`, with its credential helpers;
//! 5. podman's `auth.json` in `XDG_RUNTIME_DIR/containers` or `~/.config/containers`.

mod config;

pub use config::Found;
pub use config::search;

use crate::oci::registry::challenge::shown_host;
use crate::sys::env;
use crate::sys::env::Variable;
use crate::sys::fs;
use crate::sys::process::Run;
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

/// Variables that credential helpers get besides those of every program: what the clouds' and the stores' own documentation
/// says that they read. Nothing of sockel's and nothing of a pipeline's is among them.
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

/// Longest time for a credential helper: some ask a person or a server.
const HELPER_TIME: Duration = Duration::from_secs(30);

/// What can go wrong while a login is looked for. Nothing of a file's content is in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] fs::Error),
    /// A file has no login where it should.
    #[error("cannot read login `{}`: {cause}", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// Only one of two variables is set.
    #[error("cannot log in as the environment says: `{missing}` is not set")]
    Half {
        /// The variable that is missing.
        missing: &'static str,
    },
    /// A credential helper failed.
    #[error("cannot ask the credential helper of `{}`: {cause}", path.display())]
    Helper {
        /// Docker's configuration that names it.
        path: PathBuf,
        /// What happened.
        cause: String,
    },
}

impl Error {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::File(error) => return error.hints(),
            Self::Unsound { .. } => {
                "a robot's file is Harbor's `{\"name\": …, \"secret\": …}` or one line `user:password`"
            }
            Self::Half { .. } => "set both `SOCKEL_REGISTRY_USER` and `SOCKEL_REGISTRY_PASSWORD`, or neither",
            Self::Helper { .. } => "log in anew with the tool that the helper belongs to, or name a robot's file",
        };
        vec![hint.to_owned()]
    }
}

/// A login and where it comes from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Who we are.
    pub login: Login,
    /// A file, or `environment`.
    pub origin: String,
}

/// Finds a login for a registry; `None` when nobody knows it.
///
/// # Errors
/// When something that should know it cannot be read. A file that merely may exist and is not readable as JSON is an
/// error, too: to go on without a login would hide it.
pub fn find(registry: &Url, repository: &str, file: Option<&Path>) -> Result<Option<Source>, Error> {
    find_in(&env::get, registry, repository, file)
}

/// As [`find`], with the environment as a value.
fn find_in(
    variable: &dyn Fn(Variable) -> Option<OsString>,
    registry: &Url,
    repository: &str,
    file: Option<&Path>,
) -> Result<Option<Source>, Error> {
    if let Some(path) = file {
        let login = robot(&fs::read(path, LIMIT)?).map_err(|cause| Error::Unsound { path: path.to_owned(), cause })?;
        return Ok(Some(Source { login, origin: path.display().to_string() }));
    }
    let text = |name| variable(name).and_then(|value| value.into_string().ok());
    match (text(Variable::RegistryUser), text(Variable::RegistryPassword)) {
        (Some(user), Some(password)) => {
            let login = Login { user, password: Secret::new(password) };
            return Ok(Some(Source { login, origin: "environment".to_owned() }));
        }
        (Some(_), None) => return Err(Error::Half { missing: Variable::RegistryPassword.name() }),
        (None, Some(_)) => return Err(Error::Half { missing: Variable::RegistryUser.name() }),
        (None, None) => {}
    }
    for path in files(variable) {
        let bytes = match fs::read(&path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => continue,
            Err(error) => return Err(error.into()),
        };
        let found = config::search(&bytes, &shown_host(registry), repository);
        let login = match found.map_err(|cause| Error::Unsound { path: path.clone(), cause })? {
            Found::Nothing => None,
            Found::Login(login) => Some(login),
            Found::Helper { name, server } => {
                ask(&name, &server).map_err(|cause| Error::Helper { path: path.clone(), cause })?
            }
        };
        if let Some(login) = login {
            return Ok(Some(Source { login, origin: path.display().to_string() }));
        }
    }
    Ok(None)
}

/// Returns the files that may know logins, best first.
fn files(variable: &dyn Fn(Variable) -> Option<OsString>) -> Vec<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from);
    let home = folder(Variable::Home);
    let below_home = |path: &str| home.as_ref().map(|home| home.join(path));
    let docker = folder(Variable::DockerConfig).or_else(|| below_home(".docker"));
    let settings = folder(Variable::ConfigHome).or_else(|| below_home(".config"));
    let podman = |folder: PathBuf| folder.join("containers/auth.json");
    let all = [
        folder(Variable::RegistryAuthFile),
        docker.map(|folder| folder.join("config.json")),
        folder(Variable::RuntimeDir).map(podman),
        settings.map(podman),
    ];
    all.into_iter().flatten().collect()
}

/// Reads a robot's file.
///
/// # Errors
/// What is wrong, without anything of it.
pub fn robot(bytes: &[u8]) -> Result<Login, &'static str> {
    #[derive(Deserialize)]
    struct Robot {
        name: String,
        secret: String,
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8")?.trim();
    let login = if text.starts_with('{') {
        let robot: Robot = serde_json::from_str(text).map_err(|_| "it is no JSON with `name` and `secret`")?;
        Login { user: robot.name, password: Secret::new(robot.secret) }
    } else {
        let (user, password) = text.split_once(':').ok_or("it is neither JSON nor `user:password`")?;
        Login { user: user.to_owned(), password: Secret::new(password.to_owned()) }
    };
    sound(login).ok_or("name or password is empty or has control characters")
}

/// Returns a login that can be sent (RFC 7617, 2: no colon in the name, no control characters).
fn sound(login: Login) -> Option<Login> {
    let password = login.password.expose();
    let is_sound = !login.user.is_empty()
        && !password.is_empty()
        && !login.user.contains(':')
        && !login.user.chars().chain(password.chars()).any(char::is_control);
    is_sound.then_some(login)
}

/// Asks a credential helper (docker-credential-helpers, "protocol"); `None` when it does not know the server.
fn ask(name: &str, server: &str) -> Result<Option<Login>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Credentials {
        username: String,
        secret: String,
    }
    let program = format!("docker-credential-{name}");
    let run = Run {
        program: &program,
        arguments: &["get"],
        // nothing of a project is where a helper looks first
        folder: Path::new("/"),
        environment: &[],
        inherited: OF_HELPERS,
        input: server.as_bytes(),
        time: HELPER_TIME,
        limit: LIMIT,
    };
    let finished = run.run().map_err(|error| error.to_string())?;
    if !finished.success {
        let text = String::from_utf8_lossy(&finished.output).to_ascii_lowercase();
        let unknown = text.contains("credentials not found") || text.contains("not logged in");
        return if unknown { Ok(None) } else { Err(format!("`{program}` failed")) };
    }
    let unsound = || format!("`{program}` did not answer with user and password");
    let found: Credentials = serde_json::from_slice(&finished.output).map_err(|_| unsound())?;
    let login = Login { user: found.username, password: Secret::new(found.secret) };
    if login.user == "<token>" {
        return Err(format!("`{program}` has an identity token; only user and password are supported"));
    }
    sound(login).map(Some).ok_or_else(unsound)
}

#[cfg(test)]
mod tests;
