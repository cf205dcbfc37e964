//! The logins of one registry: for the whole of it, and for parts of it.

use crate::oci::registry::credentials::FoundLogin;
use crate::oci::registry::credentials::config::is_below;
use crate::values::Login;

/// The logins of one registry, from all sources. A login is for the whole registry, or for the repositories below a
/// namespace (`project`, `project/image`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegistryLogins {
    /// By source, in the order in which sources count; in each, namespaces with their logins.
    sources: Vec<Vec<(String, FoundLogin)>>,
}

impl RegistryLogins {
    /// Adds a source that counts after those that are there.
    pub(super) fn add(&mut self, source: Vec<(String, FoundLogin)>) {
        self.sources.push(source);
    }

    /// Tells whether every repository of the registry has a login, so that no further source matters.
    pub(super) fn is_complete(&self) -> bool {
        self.sources.iter().flatten().any(|(namespace, _)| namespace.is_empty())
    }

    /// Tells whether there is no login at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.iter().all(Vec::is_empty)
    }

    /// Returns the login for a repository: of the first source that has one, the one with the longest namespace.
    #[must_use]
    pub fn of(&self, repository: &str) -> Option<&FoundLogin> {
        self.sources.iter().find_map(|source| {
            let fitting = source.iter().filter(|(namespace, _)| is_below(repository, namespace));
            fitting.max_by_key(|(namespace, _)| namespace.len()).map(|(_, found)| found)
        })
    }

    /// Returns every login.
    pub(in crate::oci::registry) fn all(&self) -> impl Iterator<Item = &Login> {
        self.sources.iter().flatten().map(|(_, found)| &found.login)
    }
}

impl From<FoundLogin> for RegistryLogins {
    fn from(found: FoundLogin) -> Self {
        Self { sources: vec![vec![(String::new(), found)]] }
    }
}

impl From<Login> for RegistryLogins {
    fn from(login: Login) -> Self {
        FoundLogin { login, origin: String::new() }.into()
    }
}
