//! Flags and environment to settings, once.

use crate::apt::host;
use crate::cli::Global;
use crate::cli::failure::Failure;
use crate::fetch::Mirrors;
use crate::sys::env;
use crate::sys::env::Variable;
use crate::sys::http::Http;
use crate::sys::http::Options;
use std::num::NonZeroUsize;
use std::path::Path;
use std::path::PathBuf;

/// Root folder below which the host's APT configuration is (sources.list(5)).
const HOST_ROOT: &str = "/";

/// Everything that flags and environment decide for all commands.
#[derive(Debug)]
pub(super) struct Settings {
    /// Folder with `recipes/` and `base-images/`.
    pub(super) folder: PathBuf,
    /// Folder of the store.
    pub(super) store: PathBuf,
    /// Where archives may be found.
    pub(super) mirrors: Mirrors,
    /// Number of worker threads.
    pub(super) threads: usize,
    /// Door to the network.
    pub(super) http: Http,
}

impl Settings {
    /// Decides: flags first, then environment, then defaults.
    ///
    /// # Errors
    /// When a mirror is not `NAME=URL`, or no place for the store is known.
    pub(super) fn new(global: &Global) -> Result<Self, Failure> {
        let text = |variable: Variable| env::get(variable).map(|value| value.to_string_lossy().into_owned());
        let mut mirrors = Mirrors { host: host::sources(Path::new(HOST_ROOT)), ..Mirrors::default() };
        let from_environment = text(Variable::Mirrors).unwrap_or_default();
        for given in global.mirror.iter().map(String::as_str).chain(from_environment.split_whitespace()) {
            let (name, uri) = mirror(given)?;
            mirrors.given.entry(name).or_default().push(uri);
        }
        let parallelism = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = global.threads.or_else(|| text(Variable::Threads)?.parse().ok()).unwrap_or(parallelism);
        Ok(Self {
            folder: global.directory.clone(),
            store: global.store.clone().map_or_else(default_store, Ok)?,
            mirrors,
            threads: threads.clamp(1, 256),
            http: Http::new(Options::usual(global.offline, global.ca_file.clone())),
        })
    }
}

fn mirror(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((name, uri)) if !name.is_empty() && (uri.starts_with("http://") || uri.starts_with("https://")) => {
            Ok((name.to_owned(), uri.trim_end_matches('/').to_owned()))
        }
        _ => Err(Failure::usage(format!("cannot use mirror `{text}`: it is not ARCHIVE=http(s)://ADDRESS"))),
    }
}

/// `$SOCKEL_STORE`, else `sockel` in the user's cache folder (XDG Base Directory Specification).
fn default_store() -> Result<PathBuf, Failure> {
    let path = |variable: Variable| env::get(variable).map(PathBuf::from);
    let cache = || path(Variable::CacheHome).or_else(|| path(Variable::Home).map(|home| home.join(".cache")));
    let store = path(Variable::Store).or_else(|| cache().map(|cache| cache.join("sockel")));
    store.ok_or_else(|| {
        Failure::usage("cannot place the store: neither `--store`, `SOCKEL_STORE` nor `HOME` is set".to_owned())
    })
}
