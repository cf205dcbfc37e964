//! The complete list of environment variables that sockel reads itself.

use std::ffi::OsString;
use std::path::PathBuf;

/// A variable that sockel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentVariable {
    /// `SOCKEL_STORE`: folder of the store.
    Store,
    /// `SOCKEL_MIRRORS`: `NAME=URL` pairs separated by spaces; NAME is a recipe's archive name.
    Mirrors,
    /// `SOCKEL_ARCHIVE_LOGINS`: logins for archives, in the form of apt's `auth.conf`.
    ArchiveLogins,
    /// `SOCKEL_THREADS`: number of worker threads.
    Threads,
    /// `SOCKEL_REGISTRY`: the registry (`host[:port]`) of the logins that name none.
    Registry,
    /// `SOCKEL_REGISTRY_USER`: user or robot account at the registry.
    RegistryUser,
    /// `SOCKEL_REGISTRY_PASSWORD`: its password.
    RegistryPassword,
    /// `http_proxy` or `HTTP_PROXY`: proxy for plain http.
    HttpProxy,
    /// `https_proxy` or `HTTPS_PROXY`: proxy for https.
    HttpsProxy,
    /// `all_proxy` or `ALL_PROXY`: proxy for a scheme that has no variable of its own.
    AllProxy,
    /// `no_proxy` or `NO_PROXY`: hosts that are reached without a proxy.
    NoProxy,
    /// `DOCKER_CONFIG`: folder with Docker's `config.json` (docker(1)).
    DockerConfig,
    /// `DOCKER_AUTH_CONFIG`: the content of Docker's `config.json` (Docker CLI; variable of GitLab's runners).
    DockerAuthConfig,
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
    /// `OTEL_SDK_DISABLED`: `true` switches traces off.
    OtelDisabled,
    /// `OTEL_TRACES_EXPORTER`: `none` switches traces off, `otlp` switches them on.
    OtelExporter,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`: collector; `/v1/traces` is appended.
    OtelEndpoint,
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`: collector, used as it is.
    OtelTracesEndpoint,
    /// `OTEL_EXPORTER_OTLP_PROTOCOL`: `grpc` cannot be served.
    OtelProtocol,
    /// `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`: the same for traces alone.
    OtelTracesProtocol,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: headers for the collector, such as a login.
    OtelHeaders,
    /// `OTEL_EXPORTER_OTLP_TRACES_HEADERS`: the same for traces alone.
    OtelTracesHeaders,
    /// `OTEL_EXPORTER_OTLP_CERTIFICATE`: PEM file of the authorities that the collector's certificate must chain to.
    OtelCertificate,
    /// `OTEL_SERVICE_NAME`: name of the service in traces.
    OtelServiceName,
    /// `OTEL_RESOURCE_ATTRIBUTES`: `KEY=VALUE` pairs that describe where sockel runs.
    OtelResourceAttributes,
    /// `TRACEPARENT`: span of the pipeline that runs sockel (W3C Trace Context).
    TraceParent,
}

impl EnvironmentVariable {
    /// The variables that configure traces (OpenTelemetry Environment Variable Specification).
    pub const OF_TRACES: &[Self] = &[
        Self::OtelDisabled,
        Self::OtelExporter,
        Self::OtelEndpoint,
        Self::OtelTracesEndpoint,
        Self::OtelProtocol,
        Self::OtelTracesProtocol,
        Self::OtelHeaders,
        Self::OtelTracesHeaders,
        Self::OtelCertificate,
        Self::OtelServiceName,
        Self::OtelResourceAttributes,
        Self::TraceParent,
    ];

    /// Returns the variable's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "SOCKEL_STORE",
            Self::Mirrors => "SOCKEL_MIRRORS",
            Self::ArchiveLogins => "SOCKEL_ARCHIVE_LOGINS",
            Self::Threads => "SOCKEL_THREADS",
            Self::Registry => "SOCKEL_REGISTRY",
            Self::RegistryUser => "SOCKEL_REGISTRY_USER",
            Self::RegistryPassword => "SOCKEL_REGISTRY_PASSWORD",
            Self::HttpProxy => "http_proxy",
            Self::HttpsProxy => "https_proxy",
            Self::AllProxy => "all_proxy",
            Self::NoProxy => "no_proxy",
            Self::DockerConfig => "DOCKER_CONFIG",
            Self::DockerAuthConfig => "DOCKER_AUTH_CONFIG",
            Self::RegistryAuthFile => "REGISTRY_AUTH_FILE",
            Self::RuntimeDir => "XDG_RUNTIME_DIR",
            Self::ConfigHome => "XDG_CONFIG_HOME",
            Self::CacheHome => "XDG_CACHE_HOME",
            Self::Home => "HOME",
            Self::NoColor => "NO_COLOR",
            Self::Ci => "CI",
            Self::OtelDisabled => "OTEL_SDK_DISABLED",
            Self::OtelExporter => "OTEL_TRACES_EXPORTER",
            Self::OtelEndpoint => "OTEL_EXPORTER_OTLP_ENDPOINT",
            Self::OtelTracesEndpoint => "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            Self::OtelProtocol => "OTEL_EXPORTER_OTLP_PROTOCOL",
            Self::OtelTracesProtocol => "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            Self::OtelHeaders => "OTEL_EXPORTER_OTLP_HEADERS",
            Self::OtelTracesHeaders => "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            Self::OtelCertificate => "OTEL_EXPORTER_OTLP_CERTIFICATE",
            Self::OtelServiceName => "OTEL_SERVICE_NAME",
            Self::OtelResourceAttributes => "OTEL_RESOURCE_ATTRIBUTES",
            Self::TraceParent => "TRACEPARENT",
        }
    }
}

/// Returns the variable's value; an empty one counts as not set. The names of proxy variables may be in capitals.
#[must_use]
pub fn get(variable: EnvironmentVariable) -> Option<OsString> {
    let value = inherited(variable.name());
    // curl and wget read both spellings and prefer the small letters, so people set either
    match variable {
        EnvironmentVariable::HttpProxy
        | EnvironmentVariable::HttpsProxy
        | EnvironmentVariable::AllProxy
        | EnvironmentVariable::NoProxy => value.or_else(|| inherited(&variable.name().to_ascii_uppercase())),
        _ => value,
    }
}

/// Returns a variable's value by its name, also for programs that sockel starts ([`crate::sys::process`]); an empty one
/// counts as not set.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub(crate) fn inherited(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the absolute folders of `PATH`, or the system's usual ones when there are none.
#[expect(clippy::disallowed_methods, reason = "this is the door")]
pub(crate) fn search_path() -> OsString {
    absolute_only(&std::env::var_os("PATH").unwrap_or_default())
}

/// Leaves out the folders that depend on where a program runs: a checkout could bring its own `git`.
fn absolute_only(path: &std::ffi::OsStr) -> OsString {
    let folders: Vec<PathBuf> = std::env::split_paths(path).filter(|folder| folder.is_absolute()).collect();
    let joined = std::env::join_paths(folders).unwrap_or_default();
    if joined.is_empty() { "/usr/local/bin:/usr/bin:/bin".into() } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_not_found_where_we_are() {
        for (path, expected) in [
            ("/usr/bin:.::bin:./x:/bin", "/usr/bin:/bin"),
            ("", "/usr/local/bin:/usr/bin:/bin"),
            (".", "/usr/local/bin:/usr/bin:/bin"),
        ] {
            assert_eq!(absolute_only(path.as_ref()), expected);
        }
    }
}
