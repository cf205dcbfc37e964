//! Certificates that the operator of this machine keeps for one registry: `certs.d` (containers-certs.d(5); Docker's
//! "Verify repository client with certificates").
//!
//! A folder that is named as the registry, `host` or `host:port`, has `*.crt` for authorities, and `NAME.cert` with
//! `NAME.key` for a client certificate. The first of the folders that exists counts.

use crate::oci::registry::challenge::shown_host;
use crate::oci::registry::credentials::home;
use crate::sys::env;
use crate::sys::env::EnvironmentVariable;
use crate::sys::fs;
use std::path::Path;
use std::path::PathBuf;
use url::Url;

/// Folders of the whole machine.
const OF_MACHINE: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// Most files of one kind that are taken from a folder.
const MOST: usize = 100;

/// The files for one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostCertificates {
    /// PEM files with authorities to trust.
    pub authorities: Vec<PathBuf>,
    /// PEM files with the client certificate and with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Finds the certificates for a registry.
#[must_use]
pub fn find(registry: &Url) -> HostCertificates {
    let settings = env::get(EnvironmentVariable::ConfigHome).map(PathBuf::from);
    let settings = settings.or_else(|| home().map(|home| home.join(".config")));
    let own = settings.map(|folder| folder.join("containers/certs.d"));
    let folders: Vec<PathBuf> = own.into_iter().chain(OF_MACHINE.map(PathBuf::from)).collect();
    find_in(&folders, registry)
}

/// As [`find`], with the folders as a parameter for tests.
fn find_in(folders: &[PathBuf], registry: &Url) -> HostCertificates {
    let host = shown_host(registry);
    // the port of the scheme may be spelled out
    let spelled_out = registry.port().is_none().then(|| registry.port_or_known_default()).flatten();
    let names: Vec<String> =
        [host.clone()].into_iter().chain(spelled_out.map(|port| format!("{host}:{port}"))).collect();

    let candidates = folders.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
    candidates.into_iter().find(|folder| fs::is_dir(folder)).map(|folder| files(&folder)).unwrap_or_default()
}

/// Returns the files in the folder of a registry.
fn files(folder: &Path) -> HostCertificates {
    // a folder that others may not read has nothing for us
    let mut names = fs::list(folder).unwrap_or_default();
    names.sort();
    let of_kind = |ending: &str| {
        let found = names.iter().filter(|name| name.ends_with(ending)).take(MOST);
        found.map(|name| folder.join(name)).collect::<Vec<PathBuf>>()
    };
    let pair = |certificate: PathBuf| {
        let key = certificate.with_extension("key");
        names.iter().any(|name| folder.join(name) == key).then_some((certificate, key))
    };
    HostCertificates { authorities: of_kind(".crt"), identity: of_kind(".cert").into_iter().find_map(pair) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_of_the_registry_counts() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        let files = [
            "own/a.example:5000/ca.crt",
            "own/a.example:5000/client.cert",
            "own/a.example:5000/client.key",
            "own/a.example:5000/lonely.cert",
            "machine/a.example:5000/other.crt",
            "machine/b.example/ca.crt",
            "machine/c.example:443/ca.crt",
        ];
        for file in files {
            fs::create_dir(path(file).parent().unwrap()).unwrap();
            fs::write_atomic(&path(file), b"x").unwrap();
        }
        let folders = [path("own"), path("machine"), path("absent")];
        let found = |registry: &str| find_in(&folders, &registry.parse().unwrap());
        assert_eq!(
            found("https://a.example:5000"),
            HostCertificates { authorities: vec![path(files[0])], identity: Some((path(files[1]), path(files[2]))) }
        );
        assert_eq!(found("https://b.example").authorities, [path("machine/b.example/ca.crt")]);
        assert_eq!(found("https://c.example").authorities, [path("machine/c.example:443/ca.crt")]);
        for other in ["https://a.example", "https://b.example:8443", "http://c.example", "https://x.b.example"] {
            assert_eq!(found(other), HostCertificates::default(), "{other}");
        }
    }
}
