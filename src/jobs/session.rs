//! What all jobs of one run share: settings, the registry file, the store, the network and the reporter.

use crate::apt::auth;
use crate::apt::conf::AptConfiguration;
use crate::apt::host;
use crate::build;
use crate::build::BuildEnvironment;
use crate::build::LayerLocation;
use crate::fetch::Mirrors;
use crate::jobs::Error;
use crate::recipe::ScriptLedger;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::settings::RegistryFile;
use crate::store::Store;
use crate::sys::env;
use crate::sys::env::EnvironmentVariable;
use crate::sys::fs;
use crate::sys::http;
use crate::sys::http::HttpClient;
use crate::sys::http::KnownHosts;
use crate::sys::http::LoginTable;
use crate::tree::compress::Compression;
use crate::values::Secret;
use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Instant;

/// What decides how jobs reach the world.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// Folder with `recipes/` and `base-images/`.
    pub directory: PathBuf,
    /// Folder of the store; made when it is missing.
    pub store: PathBuf,
    /// Registry file to read instead of the project's own `base-images/registry.yaml`.
    pub registry_file: Option<PathBuf>,
    /// Use no network.
    pub offline: bool,
    /// Number of worker threads.
    pub threads: usize,
    /// Addresses to try first, by archive name, best first.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// PEM file with certificate authorities to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Addresses of registries on this machine without a scheme mean plain http.
    pub plain_http: bool,
}

impl SessionOptions {
    /// Returns the usual settings for a project and a store.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, store: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            store: store.into(),
            registry_file: None,
            offline: false,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            mirrors: BTreeMap::new(),
            ca_file: None,
            plain_http: false,
        }
    }
}

/// The settings of a run with everything that they open.
pub struct Session {
    options: SessionOptions,
    registry_file: RegistryFile,
    mirrors: Mirrors,
    http: HttpClient,
    store: OnceLock<Store>,
    reporter: Arc<dyn ProgressReporter>,
    started: Instant,
}

impl Session {
    /// Reads the registry file. The store is opened, and the network used, when a job first needs them.
    ///
    /// # Errors
    /// When the registry file cannot be read, or a named one is missing.
    pub fn open(options: SessionOptions, reporter: Arc<dyn ProgressReporter>) -> Result<Self, Error> {
        let mut registry_file = registry_file(&options)?;
        registry_file.is_loopback_plain = options.plain_http;

        // addresses of the settings come before those of the file
        let mut given = options.mirrors.clone();
        for (archive, addresses) in &registry_file.mirrors {
            given.entry(archive.clone()).or_default().extend(addresses.iter().cloned());
        }
        let machine = Path::new("/");
        let mirrors = Mirrors { given, host: host::sources(machine) };

        let http = HttpClient::new(http::HttpOptions::usual(options.offline, options.ca_file.clone()));
        let http = http.knowing(known_hosts(&registry_file, machine)?);
        let (store, started) = (OnceLock::new(), Instant::now());
        Ok(Self { options, registry_file, mirrors, http, store, reporter, started })
    }

    /// Returns the settings.
    #[must_use]
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// Returns what the registry file says; everything in it may be absent.
    #[must_use]
    pub fn registry_file(&self) -> &RegistryFile {
        &self.registry_file
    }

    /// Returns where archives may be found.
    #[must_use]
    pub fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// Returns the way to the network.
    #[must_use]
    pub fn http(&self) -> &HttpClient {
        &self.http
    }

    /// Returns who hears about progress.
    #[must_use]
    pub fn reporter(&self) -> &dyn ProgressReporter {
        &*self.reporter
    }

    /// Returns the time since the session began.
    #[must_use]
    pub fn elapsed(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Returns the store, which the first call opens.
    ///
    /// # Errors
    /// When it cannot be made or used.
    pub fn store(&self) -> Result<&Store, Error> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(&self.options.store)?;
        if let Some(warning) = store.warning() {
            self.warn(warning);
        }
        self.detail(format!("store {}, {} thread(s)", store.folder().display(), self.options.threads));
        Ok(self.store.get_or_init(|| store))
    }

    /// Gives the store away, to a job that needs it alone; it must not be open otherwise.
    pub(crate) fn into_store(mut self) -> Result<Store, Error> {
        self.store()?;
        Ok(self.store.take().expect("it was opened above"))
    }

    /// Returns what a build works with; `http` may be one that refuses everything.
    pub(crate) fn equipment<'a>(
        &'a self,
        http: &'a HttpClient,
        ledger: &'a ScriptLedger,
    ) -> Result<BuildEnvironment<'a>, Error> {
        Ok(BuildEnvironment { store: self.store()?, http, ledger, reporter: self.reporter() })
    }

    /// Returns how images are built that are published: as gzip, for all platforms.
    pub(crate) fn build_options(&self, layers: LayerLocation) -> build::BuildOptions {
        build::BuildOptions {
            compression: Compression::Gzip,
            threads: self.options.threads,
            images: Vec::new(),
            platforms: Vec::new(),
            layers,
            mirrors: self.mirrors.clone(),
        }
    }

    /// Reports something that somebody should look at.
    pub(crate) fn warn(&self, text: impl Into<String>) {
        self.reporter.event(ProgressEvent::Warning(text.into()));
    }

    /// Reports something that helps to find a problem.
    pub(crate) fn detail(&self, text: impl Into<String>) {
        self.reporter.event(ProgressEvent::Detail(text.into()));
    }
}

/// Largest file with logins that is read.
const LOGINS_LIMIT: u64 = 1 << 20;

/// Returns what this machine, the environment and the registry file say about the hosts of archives.
fn known_hosts(registry_file: &RegistryFile, machine: &Path) -> Result<KnownHosts, Error> {
    // what a person says for sockel comes before what the machine has for apt
    let given = env::get(EnvironmentVariable::ArchiveLogins).map(|text| text.to_string_lossy().into_owned());
    let mut logins = auth::parse(Secret::new(given.unwrap_or_default()).expose());
    if let Some(file) = &registry_file.archive_logins {
        logins.extend(auth::parse(Secret::new(fs::read_text(file, LOGINS_LIMIT)?).expose()));
    }
    logins.extend(auth::logins(machine));

    let configuration = AptConfiguration::read(machine);
    let mut certificates = configuration.client_certificates();
    let own = registry_file.archive_certificates.iter();
    certificates.extend(own.map(|(host, file)| (host.clone(), vec![file.clone()])));
    Ok(KnownHosts { logins: LoginTable::new(logins), proxies: configuration.proxies(), certificates })
}

/// Reads the registry file. The project need not have one, but one that is named has to be there.
fn registry_file(options: &SessionOptions) -> Result<RegistryFile, Error> {
    let Some(path) = &options.registry_file else {
        return Ok(RegistryFile::of_project(&options.directory)?.unwrap_or_default());
    };
    let shown = path.display().to_string();
    let file = RegistryFile::read(path, &shown)?;
    file.ok_or_else(|| Error::input(format!("cannot read `{shown}`: there is no such file")))
}
