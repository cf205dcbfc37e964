//! Opens the registry that the registry file or a flag names: options, logins, and whether it is a Harbor.

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::printer::Level;
use crate::cli::workspace::Hands;
use crate::oci::registry::Registry;
use crate::oci::registry::address::Address;
use crate::oci::registry::credentials;
use crate::oci::registry::credentials::Audience;
use crate::oci::registry::credentials::RobotFile;
use crate::oci::registry::credentials::Wanted;
use crate::publish;
use crate::publish::harbor::Harbor;
use crate::recipe::CacheFile;
use crate::recipe::RegistryFile;
use crate::shared::Cache;
use crate::shared::key::Signer;
use crate::shared::key::Verifier;
use crate::sys::http::HostOptions;
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// The registry, with the login that pushes and the one that releases.
pub(crate) struct Connections {
    printer: Arc<crate::cli::printer::Printer>,
    registry: Registry,
    release: Option<Registry>,
    cache: Option<Keys>,
}

/// Where results are shared, and by whose keys.
struct Keys {
    repository: String,
    verifier: Option<Verifier>,
    signer: Option<Signer>,
}

impl Keys {
    fn read(file: &CacheFile) -> Result<Self, Failure> {
        Ok(Self {
            repository: file.repository.clone(),
            verifier: file.verify.as_deref().map(Verifier::read).transpose()?,
            signer: file.sign.as_deref().map(Signer::read).transpose()?,
        })
    }
}

impl Connections {
    /// Finds logins; nobody is talked to yet. Logins and client certificates of the registry file are for its own target
    /// alone; `is_named` says that the command line names this registry as the place to publish to.
    pub(crate) fn open(url: &Url, is_named: bool, file: &RegistryFile, context: &Context) -> Result<Self, Failure> {
        let target = file.target.as_ref().and_then(|target| Address::parse(target, &file.insecure).ok());
        let is_target =
            matches!(&target, Some(Address::Registry { url: target, .. }) if Audience::of(target).covers(url));
        let mut options = HostOptions::usual(context.settings.offline);
        options.extra_ca = context.settings.ca_file.clone().or_else(|| file.ca_file.clone());
        options.identity = file.client_certificate.clone().filter(|_| is_target);
        options.parallel = file.parallel.unwrap_or(options.parallel);
        let project = |name: Option<&String>| name.cloned().unwrap_or_default();
        let staging = project(file.projects.as_ref().map(|projects| &projects.staging));
        let open = |project: &str, path: Option<&Path>| -> Result<Registry, Failure> {
            let robot = path.filter(|_| is_target).map(|path| RobotFile { path, folder: &file.folder });
            let found = credentials::find(&Wanted { registry: url, repository: project, is_named, robot })?;
            if let Some(reason) = &found.unused {
                context.printer.warn(reason);
            }
            let found = found.source;
            let who = found
                .as_ref()
                .map_or_else(|| "nobody".to_owned(), |found| format!("`{}` (from {})", found.login.user, found.origin));
            context.printer.talk(Level::Detail, &format!("registry {url} as {who}"));
            Ok(Registry::new(url.clone(), options.clone(), found.map(|found| found.login)))
        };
        let registry = open(&staging, file.credentials.as_deref())?;
        let release = match (&file.release_credentials, &file.projects) {
            (Some(path), Some(projects)) if is_target => Some(open(&projects.release, Some(path))?),
            _ => None,
        };
        let cache = file.cache.as_ref().map(Keys::read).transpose()?;
        Ok(Self { printer: Arc::clone(&context.printer), registry, release, cache })
    }

    /// Returns the repository in which results are shared.
    pub(crate) fn cache<'a>(&'a self, hands: &'a Hands) -> Option<Cache<'a>> {
        let Keys { repository, verifier, signer } = self.cache.as_ref()?;
        let (verifier, signer) = (verifier.as_ref(), signer.as_ref());
        let (store, reporter) = (&hands.store, &hands.progress);
        Some(Cache { registry: &self.registry, repository, verifier, signer, store, reporter })
    }

    /// Returns the registry with the login that pushes.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the registry with the login that may write to the release project.
    pub(crate) fn release(&self) -> &Registry {
        self.release.as_ref().unwrap_or(&self.registry)
    }

    /// Returns the API of a Harbor that can be written to; otherwise why there is none.
    pub(crate) async fn harbor(&self) -> Result<(Option<Harbor<'_>>, &'static str), Failure> {
        let Some(harbor) = of(&self.registry) else {
            return Ok((None, "nobody is logged in, so the registry's own interface is not asked"));
        };
        let Some(found) = harbor.discover().await.map_err(publish::Error::from)? else {
            return Ok((None, "the registry is no Harbor"));
        };
        found.writable().map_err(publish::Error::from)?;
        self.printer.talk(Level::Detail, &format!("Harbor {} as `{}`", found.version, harbor.user()));
        Ok((Some(harbor), ""))
    }

    /// Returns the API with the login that may write to the release project, where that is another one.
    pub(crate) fn release_harbor(&self, is_harbor: bool) -> Option<Harbor<'_>> {
        self.release.as_ref().filter(|_| is_harbor).and_then(of)
    }
}

fn of(registry: &Registry) -> Option<Harbor<'_>> {
    Some(Harbor::new(registry.host(), registry.url().clone(), registry.login()?.clone()))
}
