//! A registry with its logins: who pushes, who releases, and whether it is a Harbor.

use crate::harbor::Harbor;
use crate::jobs::Error;
use crate::jobs::Session;
use crate::keys::SigningKey;
use crate::keys::VerifyingKey;
use crate::oci::registry::RegistryClient;
use crate::oci::registry::address::ImageLocation;
use crate::oci::registry::certificates;
use crate::oci::registry::credentials;
use crate::oci::registry::credentials::LoginAudience;
use crate::oci::registry::credentials::LoginQuery;
use crate::oci::registry::credentials::RobotFile;
use crate::publish;
use crate::report::ProgressReporter;
use crate::settings::CacheFile;
use crate::settings::RegistryFile;
use crate::shared::SharedCache;
use crate::store::Store;
use crate::sys::http::HostOptions;
use std::path::Path;
use url::Url;

/// A registry, with the login that pushes and the one that releases.
pub(crate) struct Connections<'a> {
    session: &'a Session,
    registry: RegistryClient,
    release: Option<RegistryClient>,
    cache: Option<CacheKeys>,
    /// What the registry file says about the target: that it is a Harbor, or none.
    declared: Option<bool>,
}

/// Where results are shared, and with which keys.
struct CacheKeys {
    repository: String,
    verifier: Option<VerifyingKey>,
    signer: Option<SigningKey>,
}

impl CacheKeys {
    fn read(file: &CacheFile) -> Result<Self, Error> {
        Ok(Self {
            repository: file.repository.clone(),
            verifier: file.verify.as_deref().map(VerifyingKey::read).transpose()?,
            signer: file.sign.as_deref().map(SigningKey::read).transpose()?,
        })
    }
}

impl<'a> Connections<'a> {
    /// Finds logins; no request is sent yet. `home` is the project or repository that is meant in this registry;
    /// `is_named` says that the request names the registry as the place to publish to.
    pub(crate) fn open(
        url: &Url,
        home: &str,
        is_named: bool,
        file: &RegistryFile,
        session: &'a Session,
    ) -> Result<Self, Error> {
        let is_target = is_target(url, file);
        let mut options = host_options(session, file);
        // logins and client certificates of the registry file are for its own target alone
        options.identity = file.client_certificate.clone().filter(|_| is_target);
        // the operator of this machine may keep certificates for this registry
        let kept = certificates::find(url);
        options.authorities = kept.authorities;
        if let (None, Some((certificate, key))) = (&options.identity, kept.identity) {
            (options.identity, options.identity_key) = (Some(certificate), Some(key));
        }
        options.parallel = file.parallel.unwrap_or(options.parallel);
        options.outage = file.outage.unwrap_or(options.outage);

        let opening = RegistryOpening { url, is_named, is_target, file, options, session };
        let staging = file.projects.as_ref().map_or(home, |projects| &projects.staging);
        let registry = opening.registry(staging, file.credentials.as_deref())?;
        let release = match (&file.release_credentials, &file.projects) {
            (Some(path), Some(projects)) if is_target => Some(opening.registry(&projects.release, Some(path))?),
            _ => None,
        };

        let cache = file.cache.as_ref().map(CacheKeys::read).transpose()?;
        // projects and a gate are Harbor's, so their registry is one
        let needs = file.projects.is_some() || (is_target && file.has_gate);
        let declared = if needs { Some(true) } else { file.harbor.filter(|_| is_target) };
        Ok(Self { session, registry, release, cache, declared })
    }

    /// Returns the repository in which results are shared.
    pub(crate) fn cache<'c>(&'c self, store: &'c Store, reporter: &'c dyn ProgressReporter) -> Option<SharedCache<'c>> {
        let CacheKeys { repository, verifier, signer } = self.cache.as_ref()?;
        let (verifier, signer) = (verifier.as_ref(), signer.as_ref());
        Some(SharedCache { registry: &self.registry, repository, verifier, signer, store, reporter })
    }

    /// Returns the registry with the login that pushes.
    pub(crate) fn registry(&self) -> &RegistryClient {
        &self.registry
    }

    /// Returns the registry with the login that may write to the release project.
    pub(crate) fn release(&self) -> &RegistryClient {
        self.release.as_ref().unwrap_or(&self.registry)
    }

    /// Returns the API of a Harbor that can be written to; otherwise why there is none.
    pub(crate) async fn harbor(&self) -> Result<(Option<Harbor<'_>>, &'static str), Error> {
        if self.declared == Some(false) {
            return Ok((None, "the registry file says that it is no Harbor"));
        }
        let Some(harbor) = harbor_of(&self.registry) else {
            return Ok((None, "nobody is logged in, so the registry's own interface is not asked"));
        };
        // what an unrelated path answers does not decide alone: other registries answer there as they like
        let is_likely =
            self.declared == Some(true) || self.registry.claims_to_be_harbor().await.map_err(publish::Error::from)?;
        let found = if is_likely { harbor.discover().await } else { harbor.glimpse().await };
        let Some(found) = found.map_err(publish::Error::from)? else {
            return Ok((None, "the registry is no Harbor"));
        };
        found.writable().map_err(publish::Error::from)?;
        self.session.detail(format!("Harbor {} as `{}`", found.version, harbor.user()));
        Ok((Some(harbor), ""))
    }

    /// Returns the API with the login that may write to the release project, where that is another one.
    pub(crate) fn release_harbor(&self, is_harbor: bool) -> Option<Harbor<'_>> {
        self.release.as_ref().filter(|_| is_harbor).and_then(harbor_of)
    }
}

/// Tells whether a registry is the target that the registry file names.
fn is_target(url: &Url, file: &RegistryFile) -> bool {
    let target = file.target.as_ref().and_then(|target| file.location(target).ok());
    matches!(&target, Some(ImageLocation::Registry { url: target, .. }) if LoginAudience::of(target).covers(url))
}

/// Returns how hosts are reached that the registry file or a flag names; a flag's authorities come before the file's.
pub(crate) fn host_options(session: &Session, file: &RegistryFile) -> HostOptions {
    let mut options = HostOptions::usual(session.options().offline);
    options.extra_ca = session.options().ca_file.clone().or_else(|| file.ca_file.clone());
    options
}

/// What the two logins of a registry have in common.
struct RegistryOpening<'a> {
    url: &'a Url,
    is_named: bool,
    is_target: bool,
    file: &'a RegistryFile,
    options: HostOptions,
    session: &'a Session,
}

impl RegistryOpening<'_> {
    /// Opens the registry with the login for a project.
    fn registry(&self, project: &str, robot: Option<&Path>) -> Result<RegistryClient, Error> {
        let robot = robot.filter(|_| self.is_target).map(|path| RobotFile { path, folder: &self.file.folder });
        let wanted = LoginQuery { registry: self.url, repository: project, is_named: self.is_named, robot };
        let found = credentials::find(&wanted)?;
        if let Some(reason) = &found.unused {
            self.session.warn(reason.clone());
        }

        let account = match &found.source {
            Some(found) => format!("`{}` (from {})", found.login.user, found.origin),
            None if found.searched.is_empty() => "nobody".to_owned(),
            None => format!("nobody: there is no login in {}", found.searched.join(", ")),
        };
        self.session.detail(format!("registry {} as {account}", self.url));
        Ok(RegistryClient::with_logins(self.url.clone(), self.options.clone(), found.logins, project))
    }
}

fn harbor_of(registry: &RegistryClient) -> Option<Harbor<'_>> {
    // Harbor's interface takes name and password only
    let login = registry.login().filter(|login| login.identity_token().is_none())?;
    Some(Harbor::new(registry.host(), registry.url().clone(), login.clone()))
}
