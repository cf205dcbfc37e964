//! The handle of a running registry: what it is like, what goes wrong, what it holds, what was asked.

use crate::support::registry::contents::Contents;
use crate::support::registry::contents::Manifest;
use crate::support::registry::distribution::Heart;
use crate::support::registry::distribution::Storage;
use crate::support::registry::faults::Fault;
use crate::support::registry::immutable::Immutable;
use crate::support::registry::immutable::Selector;
use crate::support::registry::log::Log;
use crate::support::registry::server::Server;
use crate::support::registry::server::Service;
use crate::support::registry::token::Tokens;
use crate::support::registry::uploads::Location;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::MutexGuard;

/// A running registry.
#[derive(Clone)]
pub(crate) struct Registry {
    pub(crate) server: Server,
    heart: Arc<Heart>,
}

impl Registry {
    /// Starts an empty registry that is open to everybody.
    pub(crate) fn start() -> Self {
        let heart = Arc::new(Heart::default());
        Self { server: Server::start(Arc::clone(&heart) as Arc<dyn Service>), heart }
    }

    /// Makes a handle for a registry that another server serves.
    pub(crate) fn within(server: Server, heart: Arc<Heart>) -> Self {
        Self { server, heart }
    }

    /// Asks for authorization from now on.
    pub(crate) fn with_tokens(self, tokens: Tokens) -> Self {
        self.heart.door.lock().unwrap().tokens = Some(tokens);
        self
    }

    /// Writes upload addresses in this way from now on.
    pub(crate) fn with_location(self, location: Location) -> Self {
        self.heart.behaviour.lock().unwrap().location = location;
        self
    }

    /// Has the referrers API from now on.
    pub(crate) fn with_referrers(self) -> Self {
        self.heart.behaviour.lock().unwrap().has_referrers = true;
        self
    }

    /// Tags of a project that fit never move from now on.
    pub(crate) fn with_immutable(self, project: &str, tag: &str) -> Self {
        let select = |pattern: &str| Selector { pattern: pattern.to_owned(), is_excluding: false };
        let rule = Immutable { project: project.to_owned(), repository: select("**"), tag: select(tag) };
        self.heart.behaviour.lock().unwrap().immutable.push(rule);
        self
    }

    /// Serves blobs, and uploads that were begun here, to everybody on another loopback address: where clients may be
    /// sent by `Trouble::Redirect` and [`Location::At`].
    pub(crate) fn storage(&self) -> Server {
        Server::start_on("127.0.0.2", Arc::new(Storage(Arc::clone(&self.heart))))
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Returns `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.server.address()
    }

    /// Lets something go wrong from now on.
    pub(crate) fn fault(&self, fault: Fault) {
        self.server.fault(fault);
    }

    pub(crate) fn log(&self) -> Log {
        self.server.log()
    }

    /// Returns what is stored; do not hold it across requests.
    pub(crate) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.heart.contents.lock().unwrap()
    }

    /// Returns the digests of all blobs.
    pub(crate) fn blobs(&self) -> Vec<String> {
        self.contents().blobs.keys().cloned().collect()
    }

    /// Returns the tags of a repository with the digests they point at.
    pub(crate) fn tags(&self, repository: &str) -> BTreeMap<String, String> {
        self.contents().repositories.get(repository).map(|one| one.tags.clone()).unwrap_or_default()
    }

    /// Returns a manifest by tag or digest.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Option<Manifest> {
        let contents = self.contents();
        let repository = contents.repositories.get(repository)?;
        repository.manifests.get(&repository.resolve(reference)?).cloned()
    }

    /// Returns how many tokens were given out.
    pub(crate) fn tokens_issued(&self) -> usize {
        self.heart.door.lock().unwrap().issued()
    }

    /// All tokens given out so far are worth nothing from now on.
    pub(crate) fn revoke_tokens(&self) {
        self.heart.door.lock().unwrap().revoke();
    }
}
