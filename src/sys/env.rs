//! The complete list of environment variables that sockel reads itself.

use std::ffi::OsString;

/// A variable that sockel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variable {
    /// `SOCKEL_STORE`: folder of the store.
    Store,
    /// `SOCKEL_MIRRORS`: `NAME=URL` pairs separated by spaces; NAME is a recipe's archive name.
    Mirrors,
    /// `SOCKEL_THREADS`: number of worker threads.
    Threads,
    /// `SOCKEL_REGISTRY_USER`: user or robot account at registries.
    RegistryUser,
    /// `SOCKEL_REGISTRY_PASSWORD`: its password.
    RegistryPassword,
    /// `DOCKER_CONFIG`: folder with Docker's `config.json` (docker(1)).
    DockerConfig,
    /// `REGISTRY_AUTH_FILE`: logins of podman and skopeo (containers-auth.json(5)).
    RegistryAuthFile,
    /// `XDG_RUNTIME_DIR`: folder of the session, where podman keeps logins.
    RuntimeDir,
    /// `XDG_CONFIG_HOME`: folder of the user's settings.
    ConfigHome,
    /// `XDG_CACHE_HOME`: folder of the user's caches (XDG Base Directory Specification).
    CacheHome,
    /// `HOME`: the user's home folder.
    Home,
    /// `NO_COLOR`: no colours when set and not empty (<https://no-color.org>).
    NoColor,
    /// `CI`: set by pipelines; progress becomes plain lines.
    Ci,
}

impl Variable {
    /// Returns the variable's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "SOCKEL_STORE",
            Self::Mirrors => "SOCKEL_MIRRORS",
            Self::Threads => "SOCKEL_THREADS",
            Self::RegistryUser => "SOCKEL_REGISTRY_USER",
            Self::RegistryPassword => "SOCKEL_REGISTRY_PASSWORD",
            Self::DockerConfig => "DOCKER_CONFIG",
            Self::RegistryAuthFile => "REGISTRY_AUTH_FILE",
            Self::RuntimeDir => "XDG_RUNTIME_DIR",
            Self::ConfigHome => "XDG_CONFIG_HOME",
            Self::CacheHome => "XDG_CACHE_HOME",
            Self::Home => "HOME",
            Self::NoColor => "NO_COLOR",
            Self::Ci => "CI",
        }
    }
}

/// Returns the variable's value; an empty one counts as not set.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub fn get(variable: Variable) -> Option<OsString> {
    std::env::var_os(variable.name()).filter(|value| !value.is_empty())
}
