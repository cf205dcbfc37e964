//! Flags and environment, judged once: every command sees only [`Settings`].

use crate::sys::env;
use crate::sys::env::EnvironmentVariable;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// Form of the answer on standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and lines for people
    #[default]
    Text,
    /// One JSON document
    Json,
    /// Markdown, the text of a merge request; only `update` has it
    Md,
}

/// Form of messages on standard error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options that every command understands.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Output format on standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Format of messages and progress on standard error; json writes one object per line
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Show only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Show more details
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Use only what the store has; refuse all network access
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Folder of the store. If others can write to it, or it contains other files, the store is `sockel-UID` inside it
    /// [env: SOCKEL_STORE] [default: sockel in the user's cache folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Folder that holds `recipes/` and `base-images/`
    #[arg(short = 'C', global = true, value_name = "DIR", default_value = ".")]
    pub(crate) directory: PathBuf,
    /// Number of worker threads [env: SOCKEL_THREADS] [default: one per processor]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Address to try first for an archive of the recipes; may be repeated [env: SOCKEL_MIRRORS, separated by spaces]
    #[arg(long, global = true, value_name = "NAME=URL", value_parser = mirror)]
    pub(crate) mirror: Vec<(String, String)>,
    /// PEM file with certificate authorities to trust for HTTPS in addition to the system's
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Let addresses of registries on this machine (`localhost:5000/base`) mean plain http where they name no scheme
    #[arg(long, global = true)]
    pub(crate) plain_http: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// How much is said on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What a person wants to see.
    Normal,
    /// What helps to find a problem.
    Verbose,
}

/// How progress is shown on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressStyle {
    /// Moving bars, on a terminal.
    Bars,
    /// A line now and then.
    Lines,
    /// One JSON object an event.
    Json,
    /// Only warnings.
    Quiet,
}

/// What the process finds around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessEnvironment {
    /// Environment variables that are set, by name.
    pub(crate) variables: BTreeMap<&'static str, OsString>,
    /// Standard output is a terminal.
    pub(crate) stdout_is_terminal: bool,
    /// Standard error is a terminal.
    pub(crate) stderr_is_terminal: bool,
    /// Columns of the terminal.
    pub(crate) width: Option<usize>,
    /// Number of processors.
    pub(crate) processors: usize,
}

impl ProcessEnvironment {
    /// Looks around.
    pub(crate) fn look() -> Self {
        let all = [
            EnvironmentVariable::Store,
            EnvironmentVariable::Mirrors,
            EnvironmentVariable::Threads,
            EnvironmentVariable::CacheHome,
        ];
        let all =
            all.into_iter().chain([EnvironmentVariable::Home, EnvironmentVariable::NoColor, EnvironmentVariable::Ci]);
        let all = all.chain(EnvironmentVariable::OF_TRACES.iter().copied());
        let (stdout, stderr) = (console::Term::stdout(), console::Term::stderr());
        let terminal = [&stdout, &stderr].into_iter().find(|terminal| terminal.is_term());
        Self {
            variables: all.filter_map(|variable| Some((variable.name(), env::get(variable)?))).collect(),
            stdout_is_terminal: stdout.is_term(),
            stderr_is_terminal: stderr.is_term(),
            width: terminal.and_then(console::Term::size_checked).map(|(_, columns)| usize::from(columns)),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Returns a variable's value; an empty one counts as not set.
    pub(crate) fn get(&self, variable: EnvironmentVariable) -> Option<&OsString> {
        self.variables.get(variable.name())
    }
}

/// Everything that flags and environment decide for all commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Form of the answer.
    pub(crate) format: Format,
    /// How much is said.
    pub(crate) verbosity: Verbosity,
    /// Messages are JSON lines.
    pub(crate) log_json: bool,
    /// How progress is shown.
    pub(crate) progress: ProgressStyle,
    /// No network.
    pub(crate) offline: bool,
    /// Folder of the store.
    pub(crate) store: PathBuf,
    /// Folder of recipes and base images.
    pub(crate) directory: PathBuf,
    /// Number of worker threads.
    pub(crate) threads: usize,
    /// Addresses by archive name, best first.
    pub(crate) mirrors: BTreeMap<String, Vec<String>>,
    /// Further certificate authorities.
    pub(crate) ca_file: Option<PathBuf>,
    /// Addresses of registries on this machine without a scheme mean plain http.
    pub(crate) plain_http: bool,
    /// Colours on standard output.
    pub(crate) color_stdout: bool,
    /// Colours on standard error.
    pub(crate) color_stderr: bool,
    /// Columns for tables and snippets.
    pub(crate) width: usize,
}

/// A flag or variable that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// No place for the store is known.
    #[error("cannot choose a folder for the store: neither `SOCKEL_STORE` nor `XDG_CACHE_HOME` nor `HOME` is set")]
    NoStore,
    /// A variable has a value that means nothing.
    #[error("cannot use environment variable `{name}`: {cause}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Why.
        cause: String,
    },
}

/// Columns where none are known, as in pipelines.
const USUAL_WIDTH: usize = 120;

impl Settings {
    /// Judges flags and surroundings; flags win.
    ///
    /// # Errors
    /// When a variable cannot be used.
    pub(crate) fn new(global: &GlobalArgs, around: &ProcessEnvironment) -> Result<Self, Error> {
        let color = |terminal: bool| match global.color {
            Color::Auto => terminal && around.get(EnvironmentVariable::NoColor).is_none(),
            Color::Always => true,
            Color::Never => false,
        };
        let verbosity = match (global.quiet, global.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let log_json = global.log_format == LogFormat::Json;
        let progress = if verbosity == Verbosity::Quiet {
            ProgressStyle::Quiet
        } else if log_json {
            ProgressStyle::Json
        } else if around.stderr_is_terminal && around.get(EnvironmentVariable::Ci).is_none() {
            ProgressStyle::Bars
        } else {
            ProgressStyle::Lines
        };
        Ok(Self {
            format: global.format,
            verbosity,
            log_json,
            progress,
            offline: global.offline,
            store: store(global, around)?,
            directory: global.directory.clone(),
            threads: threads(global, around)?,
            mirrors: mirrors(global, around)?,
            ca_file: global.ca_file.clone(),
            plain_http: global.plain_http,
            color_stdout: color(around.stdout_is_terminal),
            color_stderr: color(around.stderr_is_terminal),
            width: around.width.unwrap_or(USUAL_WIDTH).max(40),
        })
    }
}

/// The store's folder; a relative `XDG_CACHE_HOME` counts as not set (XDG Base Directory Specification).
fn store(global: &GlobalArgs, around: &ProcessEnvironment) -> Result<PathBuf, Error> {
    let path = |variable| around.get(variable).map(PathBuf::from);
    if let Some(store) = global.store.clone().or_else(|| path(EnvironmentVariable::Store)) {
        return Ok(store);
    }
    let caches = path(EnvironmentVariable::CacheHome).filter(|path| path.is_absolute());
    let caches = caches.or_else(|| path(EnvironmentVariable::Home).map(|home| home.join(".cache")));
    caches.map(|folder| folder.join("sockel")).ok_or(Error::NoStore)
}

fn threads(global: &GlobalArgs, around: &ProcessEnvironment) -> Result<usize, Error> {
    if let Some(number) = global.threads {
        return Ok(usize::from(number));
    }
    let Some(text) = around.get(EnvironmentVariable::Threads) else { return Ok(around.processors) };
    let number = text.to_str().and_then(|text| text.parse().ok()).filter(|number| (1..=1024).contains(number));
    number.ok_or_else(|| Error::Variable {
        name: EnvironmentVariable::Threads.name(),
        cause: format!("`{}` is not a number from 1 to 1024", text.display()),
    })
}

fn mirrors(global: &GlobalArgs, around: &ProcessEnvironment) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut pairs = global.mirror.clone();
    if let Some(text) = around.get(EnvironmentVariable::Mirrors) {
        let wrong = |cause| Error::Variable { name: EnvironmentVariable::Mirrors.name(), cause };
        let text = text.to_str().ok_or_else(|| wrong("it is not UTF-8".to_owned()))?;
        for pair in text.split_whitespace() {
            pairs.push(mirror(pair).map_err(wrong)?);
        }
    }
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, url) in pairs {
        let known = mirrors.entry(name).or_default();
        if !known.contains(&url) {
            known.push(url);
        }
    }
    Ok(mirrors)
}

/// Reads `NAME=URL`. The text is not repeated in the error: it may hold a password.
fn mirror(text: &str) -> Result<(String, String), String> {
    let (name, url) = text.split_once('=').ok_or("a mirror is written NAME=URL")?;
    if name.is_empty() {
        return Err("the archive's name is missing before `=`".to_owned());
    }
    match url::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => {
            Ok((name.to_owned(), url.trim_end_matches('/').to_owned()))
        }
        _ => Err(format!("the address for `{name}` is not an http:// or https:// URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(variables: &[(&'static str, &str)]) -> ProcessEnvironment {
        ProcessEnvironment {
            variables: variables.iter().map(|(name, value)| (*name, OsString::from(value))).collect(),
            stdout_is_terminal: true,
            stderr_is_terminal: true,
            width: Some(100),
            processors: 3,
        }
    }

    fn settings(global: &GlobalArgs, variables: &[(&'static str, &str)]) -> Settings {
        Settings::new(global, &around(variables)).expect("usable")
    }

    #[test]
    fn the_store_is_found() {
        let with = |flag: Option<&str>, variables: &[(&'static str, &str)]| {
            let global = GlobalArgs { store: flag.map(PathBuf::from), ..GlobalArgs::default() };
            Settings::new(&global, &around(variables)).map(|settings| settings.store.display().to_string())
        };
        let all = [("SOCKEL_STORE", "/s"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(with(Some("flag"), &all), Ok("flag".to_owned()));
        assert_eq!(with(None, &all), Ok("/s".to_owned()));
        assert_eq!(with(None, &all[1..]), Ok("/x/sockel".to_owned()));
        assert_eq!(with(None, &all[2..]), Ok("/h/.cache/sockel".to_owned()));
        assert_eq!(with(None, &[("XDG_CACHE_HOME", "x"), ("HOME", "/h")]), Ok("/h/.cache/sockel".to_owned()));
        assert_eq!(with(None, &[]), Err(Error::NoStore));
    }

    #[test]
    fn flags_win_over_the_environment() {
        let variables =
            [("HOME", "/h"), ("SOCKEL_THREADS", "7"), ("SOCKEL_MIRRORS", "ubuntu=http://b/u/ debian=https://d")];
        let global = GlobalArgs::default();
        assert_eq!(settings(&global, &variables[..1]).threads, 3);
        assert_eq!(settings(&global, &variables).threads, 7);
        let mirror = vec![("ubuntu".to_owned(), "http://a/u".to_owned())];
        let global = GlobalArgs { threads: Some(2), mirror, ..GlobalArgs::default() };
        let settings = settings(&global, &variables);
        assert_eq!(settings.threads, 2);
        assert_eq!(settings.mirrors["ubuntu"], ["http://a/u", "http://b/u"]);
        assert_eq!(settings.mirrors["debian"], ["https://d"]);
    }

    #[test]
    fn progress_and_colours_know_where_they_are() {
        let home = ("HOME", "/h");
        let global = GlobalArgs::default();
        let quiet = GlobalArgs { quiet: true, ..GlobalArgs::default() };
        let json = GlobalArgs { log_format: LogFormat::Json, ..GlobalArgs::default() };
        assert_eq!(settings(&global, &[home]).progress, ProgressStyle::Bars);
        assert_eq!(settings(&global, &[home, ("CI", "true")]).progress, ProgressStyle::Lines);
        assert_eq!(settings(&quiet, &[home]).progress, ProgressStyle::Quiet);
        assert_eq!(settings(&json, &[home]).progress, ProgressStyle::Json);
        assert!(settings(&global, &[home]).color_stderr);
        assert!(!settings(&global, &[home, ("NO_COLOR", "1")]).color_stderr);
        let always = GlobalArgs { color: Color::Always, ..GlobalArgs::default() };
        assert!(settings(&always, &[home, ("NO_COLOR", "1")]).color_stderr);
    }

    #[test]
    fn bad_variables_are_named() {
        for (name, value) in [("SOCKEL_THREADS", "0"), ("SOCKEL_THREADS", "many"), ("SOCKEL_MIRRORS", "ubuntu")] {
            let error = Settings::new(&GlobalArgs::default(), &around(&[("HOME", "/h"), (name, value)])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn mirrors_never_print_passwords() {
        for text in ["ubuntu", "=http://u:secret@h", "u=ftp://u:secret@h", "secret"] {
            assert!(!mirror(text).unwrap_err().contains("secret"), "{text}");
        }
    }
}
