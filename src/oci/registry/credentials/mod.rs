//! Who we are at a registry, and the one registry that each login is for.
//!
//! In this order, the first that knows the registry counts:
//!
//! | source | the registry that its login is for |
//! |---|---|
//! | a robot's file: Harbor's answer to a new robot (`{"name","secret"}`) or a line `user:password` | what its own `"registry"` says; without that, the target of the registry file below whose folder it lies; elsewhere, what `SOCKEL_REGISTRY` says |
//! | `SOCKEL_REGISTRY_USER` and `SOCKEL_REGISTRY_PASSWORD` | what `SOCKEL_REGISTRY` says; without that, the place to publish to that the command line names |
//! | `REGISTRY_AUTH_FILE` (containers-auth.json(5)) | its key |
//! | `config.json` in `DOCKER_CONFIG` or `~/.docker`, with its credential helpers | its key |
//! | podman's `auth.json` in `XDG_RUNTIME_DIR/containers` or `~/.config/containers` | its key |
//!
//! The operator decides where a login goes, never a checkout: a registry file may name a robot's file and a target, but
//! not both for a secret that lies outside of its own folder.

mod audience;
mod config;

pub use audience::Audience;
pub use config::Found;
pub use config::search;

use crate::fault::Explain;
use crate::fault::Turn;
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
    /// `SOCKEL_REGISTRY` names no registry.
    #[error("cannot use `SOCKEL_REGISTRY`: {cause}")]
    Audience {
        /// What is wrong with it.
        cause: &'static str,
    },
    /// A robot's file is for another registry than the one that it is named for.
    #[error("cannot log in at `{registry}` with `{}`: it is for `{audience}`", path.display())]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// Where it should be used.
        registry: String,
        /// What it is for.
        audience: String,
    },
    /// Only a checkout says what a robot's file is for.
    #[error("cannot log in at `{registry}` with `{}`: only the registry file says that it is for this registry", path.display())]
    Unbound {
        /// The file.
        path: PathBuf,
        /// Where it should be used.
        registry: String,
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
            Self::Audience { .. } => "give the registry that the login is for: `HOST` or `HOST:PORT`",
            Self::Elsewhere { .. } => "name another file in `credentials`, or correct the target of the registry file",
            Self::Unbound { registry, .. } => {
                return vec![format!(
                    "add `\"registry\": \"{registry}\"` to the robot's file, or set `SOCKEL_REGISTRY={registry}`"
                )];
            }
            Self::Helper { .. } => "log in anew with the tool that the helper belongs to, or name a robot's file",
        };
        vec![hint.to_owned()]
    }
}

impl Explain for Error {
    fn turn(&self) -> Turn {
        Turn::Input
    }

    fn hints(&self) -> Vec<String> {
        Self::hints(self)
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

/// A registry that a login is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The registry.
    pub registry: &'a Url,
    /// The repository or project there.
    pub repository: &'a str,
    /// The command line names this registry as the place to publish to.
    pub is_named: bool,
    /// The robot's file that the registry file names, where this registry is its target.
    pub robot: Option<RobotFile<'a>>,
}

/// A robot's file that a registry file names for its target.
#[derive(Debug, Clone, Copy)]
pub struct RobotFile<'a> {
    /// The file.
    pub path: &'a Path,
    /// Folder of the registry file.
    pub folder: &'a Path,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Search {
    /// The login; `None` when nobody knows one.
    pub source: Option<Source>,
    /// Why the login of the environment is not used though nothing else was found; to be shown.
    pub unused: Option<String>,
}

/// Finds a login for a registry.
///
/// # Errors
/// When something that should know it cannot be read. A file that merely may exist and is not readable as JSON is an
/// error, too: to go on without a login would hide it.
pub fn find(wanted: &Wanted<'_>) -> Result<Search, Error> {
    find_in(&env::get, wanted)
}

/// As [`find`], with the environment as a value.
fn find_in(variable: &dyn Fn(Variable) -> Option<OsString>, wanted: &Wanted<'_>) -> Result<Search, Error> {
    let audience = audience(variable)?;
    let found = |source| Ok(Search { source: Some(source), unused: None });
    if let Some(robot) = &wanted.robot {
        return found(of_robot(robot, wanted.registry, audience.as_ref())?);
    }
    let mut unused = None;
    if let Some(login) = of_environment(variable)? {
        match why_not(wanted, audience.as_ref()) {
            None => return found(Source { login, origin: "environment".to_owned() }),
            reason => unused = reason,
        }
    }
    for path in files(variable) {
        if let Some(login) = of_file(&path, wanted)? {
            return found(Source { login, origin: path.display().to_string() });
        }
    }
    Ok(Search { source: None, unused })
}

/// Returns the registry that `SOCKEL_REGISTRY` names.
fn audience(variable: &dyn Fn(Variable) -> Option<OsString>) -> Result<Option<Audience>, Error> {
    let text = variable(Variable::Registry).map(|text| text.to_string_lossy().into_owned());
    text.map(|text| Audience::parse(&text).map_err(|cause| Error::Audience { cause })).transpose()
}

/// Reads a robot's file, if it is for this registry.
fn of_robot(robot: &RobotFile<'_>, registry: &Url, said: Option<&Audience>) -> Result<Source, Error> {
    let path = robot.path.to_owned();
    let unsound = |cause| Error::Unsound { path: path.clone(), cause };
    let Robot { login, registry: own } = self::robot(&fs::read(&path, LIMIT)?).map_err(unsound)?;
    let own = own.map(|text| Audience::parse(&text).map_err(unsound)).transpose()?;
    let folder = if robot.folder.as_os_str().is_empty() { Path::new(".") } else { robot.folder };
    // a link inside may lead outside
    let is_inside = || Ok::<_, Error>(fs::absolute(&path)?.starts_with(fs::absolute(folder)?));
    let audience = match own.as_ref() {
        None if is_inside()? => return Ok(Source { login, origin: path.display().to_string() }),
        own => own.or(said),
    };
    let registry_name = Audience::of(registry).to_string().trim_start_matches("https://").to_owned();
    match audience {
        Some(audience) if audience.covers(registry) => Ok(Source { login, origin: path.display().to_string() }),
        Some(audience) => Err(Error::Elsewhere { path, registry: registry_name, audience: audience.to_string() }),
        None => Err(Error::Unbound { path, registry: registry_name }),
    }
}

/// Returns the login that two variables give together.
fn of_environment(variable: &dyn Fn(Variable) -> Option<OsString>) -> Result<Option<Login>, Error> {
    let text = |name| variable(name).and_then(|value| value.into_string().ok());
    match (text(Variable::RegistryUser), text(Variable::RegistryPassword)) {
        (Some(user), Some(password)) => Ok(Some(Login { user, password: Secret::new(password) })),
        (Some(_), None) => Err(Error::Half { missing: Variable::RegistryPassword.name() }),
        (None, Some(_)) => Err(Error::Half { missing: Variable::RegistryUser.name() }),
        (None, None) => Ok(None),
    }
}

/// Returns why the login of the environment is not for this registry; `None` when it is.
fn why_not(wanted: &Wanted<'_>, audience: Option<&Audience>) -> Option<String> {
    let name = Audience::of(wanted.registry).to_string();
    let short = name.trim_start_matches("https://");
    let unused = |why: String| Some(format!("the login of the environment is not used for `{short}`: {why}"));
    match audience {
        None if wanted.is_named => None,
        None => unused(format!("nothing says that it is for this registry; if it is, set `SOCKEL_REGISTRY={short}`")),
        Some(audience) if audience.covers(wanted.registry) => None,
        Some(audience) if audience.covers_but_for_http(wanted.registry) => {
            unused(format!("it would go over plain http; if it may, set `SOCKEL_REGISTRY={name}`"))
        }
        Some(audience) => unused(format!("`SOCKEL_REGISTRY` says that it is for `{audience}`")),
    }
}

/// Looks a registry up in a file of Docker's or podman's that may exist.
fn of_file(path: &Path, wanted: &Wanted<'_>) -> Result<Option<Login>, Error> {
    let bytes = match fs::read(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let found = config::search(&bytes, &shown_host(wanted.registry), wanted.repository);
    match found.map_err(|cause| Error::Unsound { path: path.to_owned(), cause })? {
        Found::Nothing => Ok(None),
        Found::Login(login) => Ok(Some(login)),
        Found::Helper { name, server } => {
            ask(&name, &server).map_err(|cause| Error::Helper { path: path.to_owned(), cause })
        }
    }
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

/// What a robot's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Robot {
    /// Name and secret.
    pub login: Login,
    /// The registry that it is for, where it says so.
    pub registry: Option<String>,
}

/// Reads a robot's file: JSON as Harbor hands it out, with a `registry` besides where somebody added it, or a line.
///
/// # Errors
/// What is wrong, without anything of it.
pub fn robot(bytes: &[u8]) -> Result<Robot, &'static str> {
    #[derive(Deserialize)]
    struct Json {
        name: String,
        secret: String,
        registry: Option<String>,
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8")?.trim();
    let (login, registry) = if text.starts_with('{') {
        let json: Json = serde_json::from_str(text).map_err(|_| "it is no JSON with `name` and `secret`")?;
        (Login { user: json.name, password: Secret::new(json.secret) }, json.registry)
    } else {
        let (user, password) = text.split_once(':').ok_or("it is neither JSON nor `user:password`")?;
        (Login { user: user.to_owned(), password: Secret::new(password.to_owned()) }, None)
    };
    let login = sound(login).ok_or("name or password is empty or has control characters")?;
    Ok(Robot { login, registry })
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
