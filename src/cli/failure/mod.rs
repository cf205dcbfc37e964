//! The only mapping from errors to exit codes, and how a failure looks on the terminal and in JSON.

use crate::advisory;
use crate::announce::webhook;
use crate::announce::writeback;
use crate::apt::archive;
use crate::build;
use crate::bundle;
use crate::cli::printer;
use crate::cli::printer::Level;
use crate::cli::printer::Printer;
use crate::cli::settings;
use crate::fetch;
use crate::fetch::archives::BadPackage;
use crate::fetch::proof;
use crate::layer;
use crate::lock;
use crate::lock::proof::Doubt;
use crate::oci;
use crate::oci::registry;
use crate::oci::registry::Turn;
use crate::oci::registry::credentials;
use crate::plan;
use crate::publish;
use crate::rebase;
use crate::recipe;
use crate::recipe::Diagnostic;
use crate::shared;
use crate::store;
use crate::sys::fs;
use crate::sys::http;
use crate::update::lease;
use serde::Serialize;
use std::error::Error as StdError;

/// Whose turn it is after a failure; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// 1: the input must change; another try without a change fails as well.
    Input,
    /// 2: the command was not understood.
    Usage,
    /// 3: network, archive, registry or disk failed; another try may help.
    Outside,
    /// 4: policy said no.
    Policy,
    /// 70: a bug (`EX_SOFTWARE` of sysexits.h(3)).
    Internal,
}

impl Kind {
    /// Returns the exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Input => 1,
            Self::Usage => 2,
            Self::Outside => 3,
            Self::Policy => 4,
            Self::Internal => 70,
        }
    }
}

/// Why a command failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Failure {
    /// Whose turn it is.
    pub(crate) kind: Kind,
    /// What failed: `cannot …`.
    pub(crate) message: Box<str>,
    /// Each thing that is wrong, where the message only says that there are some.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) reasons: Box<[String]>,
    /// Why, from the outside in, as far as the message does not say it.
    pub(crate) causes: Vec<String>,
    /// What to do next.
    pub(crate) hints: Vec<String>,
    /// Problems in recipes.
    pub(crate) diagnostics: Box<[Diagnostic]>,
    /// Long texts that people must look at: maintainer scripts.
    pub(crate) details: Box<[String]>,
    /// The JSON document on standard output says it already.
    #[serde(skip)]
    pub(crate) is_answered: bool,
}

/// What `--format json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Answer<'a> {
    error: &'a Failure,
    exit_code: u8,
}

impl Failure {
    /// Returns a failure without an error behind it.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let empty = Vec::new;
        Self {
            kind,
            message: message.into().into_boxed_str(),
            reasons: Box::default(),
            causes: empty(),
            hints: empty(),
            diagnostics: Box::default(),
            details: Box::default(),
            is_answered: false,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    fn of(kind: Kind, error: &dyn StdError, hints: Vec<String>) -> Self {
        let mut failure = Self::new(kind, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // transparent errors and `cannot …: {cause}` say it already
            if !failure.message.contains(&*text) && !failure.causes.contains(&text) {
                failure.causes.push(text);
            }
            cause = error.source();
        }
        for hint in hints {
            if !failure.hints.contains(&hint) {
                failure.hints.push(hint);
            }
        }
        failure
    }

    /// Shows the failure: for people on standard error, and as JSON on standard output where that was asked for.
    pub(crate) fn print(&self, printer: &Printer) {
        if printer.is_json() && !self.is_answered {
            let _nothing_else_to_tell = printer.json(&Answer { error: self, exit_code: self.kind.code() });
        }
        if printer.logs_json() {
            return printer.object(&Answer { error: self, exit_code: self.kind.code() });
        }
        for diagnostic in &self.diagnostics {
            printer.diagnostic(diagnostic);
            printer.line("");
        }
        for detail in &self.details {
            printer.block(detail.trim_end());
            printer.line("");
        }
        printer.talk_of(Level::Error, &self.message, &self.reasons);
        for cause in &self.causes {
            printer.labelled("  caused by:", cause, console::StyledObject::bold);
        }
        for hint in &self.hints {
            printer.labelled("hint:", hint, |s| s.cyan().bold());
        }
    }

    /// Takes the list of reasons out of the message; its writer made one line of each.
    fn listed(mut self) -> Self {
        let message = self.message.clone();
        let mut lines = message.lines();
        self.message = lines.next().unwrap_or_default().into();
        self.reasons = lines.map(|line| line.trim().to_owned()).collect();
        self
    }
}

impl From<fs::Error> for Failure {
    fn from(error: fs::Error) -> Self {
        Self::of(file_kind(&error), &error, error.hints())
    }
}

impl From<settings::Error> for Failure {
    fn from(error: settings::Error) -> Self {
        let hints = vec!["name a folder with `--store DIR`".to_owned()];
        let hints = if error == settings::Error::NoStore { hints } else { Vec::new() };
        Self::of(Kind::Usage, &error, hints)
    }
}

impl From<printer::Error> for Failure {
    fn from(error: printer::Error) -> Self {
        Self::of(Kind::Outside, &error, Vec::new())
    }
}

impl From<recipe::Error> for Failure {
    fn from(error: recipe::Error) -> Self {
        let kind = match &error {
            recipe::Error::Files(error) => file_kind(error),
            _ => Kind::Input,
        };
        let mut failure = Self::of(kind, &error, error.hints());
        if let recipe::Error::Invalid(diagnostics) = error {
            failure.diagnostics = diagnostics.into();
        }
        failure
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::of(store_kind(&error), &error, error.hints())
    }
}

impl From<lock::Error> for Failure {
    fn from(error: lock::Error) -> Self {
        let mut hints = error.hints();
        let kind = match &error {
            lock::Error::File(error) => file_kind(error),
            lock::Error::Index { .. } => Kind::Outside,
            lock::Error::Outside(cause) => {
                let (kind, more) = outside(cause.as_ref());
                hints.extend(more);
                kind
            }
            _ => Kind::Input,
        };
        let mut failure = Self::of(kind, &error, hints);
        if let lock::Error::Scripts(unknown) = &error {
            failure.details = unknown.iter().map(ToString::to_string).collect();
        }
        failure
    }
}

impl From<advisory::Error> for Failure {
    fn from(error: advisory::Error) -> Self {
        let kind = match &error {
            advisory::Error::Store(error) => store_kind(error),
            error if error.is_input() => Kind::Input,
            _ => Kind::Outside,
        };
        let hints = if let advisory::Error::Http(error) = &error { error.hints() } else { Vec::new() };
        Self::of(kind, &error, hints)
    }
}

impl From<lease::Error> for Failure {
    fn from(error: lease::Error) -> Self {
        let (kind, hints) = match &error {
            lease::Error::Held { .. } => {
                (Kind::Outside, vec!["wait for it; a run that was killed holds nothing".to_owned()])
            }
            lease::Error::File(error) => (file_kind(error), error.hints()),
        };
        Self::of(kind, &error, hints)
    }
}

impl From<proof::Error> for Failure {
    fn from(error: proof::Error) -> Self {
        let (kind, hints) = proof_kind(&error);
        Self::of(kind, &error, hints).listed()
    }
}

/// What was chosen must change, unless the world outside is all that stands in the way.
fn proof_kind(error: &proof::Error) -> (Kind, Vec<String>) {
    let all = match error {
        proof::Error::Store(error) => return (store_kind(error), error.hints()),
        proof::Error::Unproven(all) => all,
    };
    let (mut kind, mut hints) = (Kind::Outside, error.hints());
    for unproven in all {
        match &unproven.doubt {
            Doubt::Below { .. } | Doubt::Failed(lock::Error::Archives { .. }) => (),
            Doubt::Failed(lock::Error::Outside(cause)) => {
                let (own, more) = outside(cause.as_ref());
                hints.extend(more);
                if own == Kind::Input {
                    kind = own;
                }
            }
            Doubt::Failed(lock::Error::Index { .. }) => (),
            Doubt::Failed(_) | Doubt::Differs { .. } => kind = Kind::Input,
        }
    }
    hints.sort();
    hints.dedup();
    (kind, hints)
}

impl From<build::Error> for Failure {
    fn from(error: build::Error) -> Self {
        let (kind, hints) = match &error {
            build::Error::Proof(error) => proof_kind(error),
            build::Error::Fetch(error) => (fetch_kind(error), error.hints()),
            build::Error::Layer { cause, .. } => (layer_kind(cause), cause.hints()),
            build::Error::Image(_) => (Kind::Input, Vec::new()),
            build::Error::StaleLock { image, .. } => {
                (Kind::Input, vec![format!("lock again with `sockel lock {image}`")])
            }
            build::Error::Store(error) => (store_kind(error), error.hints()),
            build::Error::Output(error) => (oci_kind(error), oci_hints(error)),
        };
        let failure = Self::of(kind, &error, hints);
        if matches!(error, build::Error::Proof(_)) { failure.listed() } else { failure }
    }
}

impl From<publish::Error> for Failure {
    fn from(error: publish::Error) -> Self {
        let kind = match &error {
            publish::Error::Registry(error) => registry_kind(error),
            publish::Error::Harbor(error) => turn_kind(error.turn()),
            publish::Error::FixedTag { .. } => Kind::Input,
            publish::Error::Refused { .. } | publish::Error::NoGate { .. } => Kind::Policy,
            publish::Error::Lost { .. } => Kind::Outside,
            publish::Error::Cache(error) => shared_kind(error),
            publish::Error::File(error) => file_kind(error),
            publish::Error::Store(error) => store_kind(error),
        };
        let hints = error.hints();
        let failure = Self::of(kind, &error, hints);
        if matches!(error, publish::Error::Refused { .. }) { failure.listed() } else { failure }
    }
}

impl From<bundle::Error> for Failure {
    fn from(error: bundle::Error) -> Self {
        let kind = match &error {
            bundle::Error::Registry(error) => registry_kind(error),
            bundle::Error::File(error) => file_kind(error),
            bundle::Error::Store(error) => store_kind(error),
            bundle::Error::Oci(error) => oci_kind(error),
            bundle::Error::Http(error) => http_kind(error),
            bundle::Error::Fetch(error) => fetch_kind(error),
            bundle::Error::Gone { cause, .. } | bundle::Error::Pocket(cause) | bundle::Error::Archive { cause, .. }
                if cause.is_input() =>
            {
                Kind::Input
            }
            error if error.is_outside() => Kind::Outside,
            _ => Kind::Input,
        };
        let hints = error.hints();
        Self::of(kind, &error, hints)
    }
}

impl From<writeback::Error> for Failure {
    fn from(error: writeback::Error) -> Self {
        let kind = match &error {
            writeback::Error::File(error) => file_kind(error),
            error if error.is_outside() => Kind::Outside,
            _ => Kind::Input,
        };
        let hints = error.hints();
        Self::of(kind, &error, hints)
    }
}

impl From<webhook::Error> for Failure {
    fn from(error: webhook::Error) -> Self {
        let again = || "what was published stays; it is told when the image is published the next time".to_owned();
        let (kind, hints) = match &error {
            webhook::Error::Key { .. } => (Kind::Input, vec!["`openssl genpkey -algorithm ed25519` makes a key; `whsec_` before Base64 of 32 random bytes is a shared secret".to_owned()]),
            webhook::Error::Http { cause, .. } => (http_kind(cause), cause.hints().into_iter().chain([again()]).collect()),
            webhook::Error::Refused { status: 410, .. } => {
                (Kind::Outside, vec!["the receiver is gone for good: take it out of `announce`".to_owned()])
            }
            webhook::Error::Refused { .. } => (Kind::Outside, vec![again()]),
            webhook::Error::Store(error) => (store_kind(error), error.hints()),
        };
        Self::of(kind, &error, hints)
    }
}

impl From<plan::Error> for Failure {
    fn from(error: plan::Error) -> Self {
        let kind = match &error {
            plan::Error::Incomplete { .. } | plan::Error::Replaced { .. } => Kind::Usage,
            plan::Error::Unwritable { .. } => Kind::Internal,
        };
        let hints = error.hints();
        Self::of(kind, &error, hints)
    }
}

impl From<rebase::Error> for Failure {
    fn from(error: rebase::Error) -> Self {
        let (kind, hints) = match &error {
            rebase::Error::Registry(error) => (registry_kind(error), error.hints()),
            rebase::Error::Oci(error) => (oci_kind(error), oci_hints(error)),
            rebase::Error::File(error) => (file_kind(error), error.hints()),
            rebase::Error::Store(error) => (store_kind(error), error.hints()),
            rebase::Error::Refused { .. } => (Kind::Policy, error.hints()),
            rebase::Error::Moved { .. } => (Kind::Outside, error.hints()),
            _ => (Kind::Input, error.hints()),
        };
        let failure = Self::of(kind, &error, hints);
        if matches!(error, rebase::Error::Refused { .. }) { failure.listed() } else { failure }
    }
}

impl From<shared::Error> for Failure {
    fn from(error: shared::Error) -> Self {
        Self::of(shared_kind(&error), &error, Vec::new())
    }
}

fn shared_kind(error: &shared::Error) -> Kind {
    match error {
        shared::Error::Registry(error) => registry_kind(error),
        shared::Error::Entry { .. } => Kind::Outside,
        shared::Error::Key { .. } => Kind::Input,
        shared::Error::File(error) => file_kind(error),
        shared::Error::Store(error) => store_kind(error),
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        Self::of(registry_kind(&error), &error, error.hints())
    }
}

impl From<credentials::Error> for Failure {
    fn from(error: credentials::Error) -> Self {
        Self::of(Kind::Input, &error, error.hints())
    }
}

impl From<http::Error> for Failure {
    fn from(error: http::Error) -> Self {
        Self::of(http_kind(&error), &error, error.hints())
    }
}

impl From<oci::Error> for Failure {
    fn from(error: oci::Error) -> Self {
        Self::of(oci_kind(&error), &error, oci_hints(&error))
    }
}

/// A missing file or a wrong name is for people to mend; everything else is the disk's.
fn file_kind(error: &fs::Error) -> Kind {
    if error.is_input() { Kind::Input } else { Kind::Outside }
}

/// Files of certificates are for people to mend; everything else is the network's.
fn http_kind(error: &http::Error) -> Kind {
    if error.is_input() { Kind::Input } else { Kind::Outside }
}

fn registry_kind(error: &registry::Error) -> Kind {
    match error {
        registry::Error::File(error) => file_kind(error),
        error => turn_kind(error.turn()),
    }
}

fn turn_kind(turn: Turn) -> Kind {
    match turn {
        Turn::Input => Kind::Input,
        Turn::Outside => Kind::Outside,
        Turn::Policy => Kind::Policy,
    }
}

fn store_kind(error: &store::Error) -> Kind {
    match error {
        store::Error::File(error) => file_kind(error),
        store::Error::Newer { .. } | store::Error::Version { .. } | store::Error::Unsafe { .. } => Kind::Input,
        _ => Kind::Outside,
    }
}

fn fetch_kind(error: &fetch::Error) -> Kind {
    match error {
        fetch::Error::Http(error) => http_kind(error),
        fetch::Error::Failed(problems) if problems.iter().any(fetch::Problem::is_input) => Kind::Input,
        // the archive is outside, though only a new lock will help
        fetch::Error::Gone { .. } | fetch::Error::Failed(_) => Kind::Outside,
    }
}

fn layer_kind(error: &layer::Error) -> Kind {
    match error {
        layer::Error::Store(error) | layer::Error::Unpack(layer::unpack::Error::Store(error)) => store_kind(error),
        _ => Kind::Input,
    }
}

fn oci_kind(error: &oci::Error) -> Kind {
    match error {
        oci::Error::File(error) => file_kind(error),
        oci::Error::Store(error) => store_kind(error),
        oci::Error::Damaged { .. } | oci::Error::Unfit { .. } => Kind::Input,
    }
}

fn oci_hints(error: &oci::Error) -> Vec<String> {
    match error {
        oci::Error::File(error) => error.hints(),
        oci::Error::Store(error) => error.hints(),
        _ => Vec::new(),
    }
}

/// What `lock` hands through from archives and downloads, whose types it does not know.
fn outside(cause: &(dyn StdError + Send + Sync + 'static)) -> (Kind, Vec<String>) {
    if let Some(archive::Error::File(error)) = cause.downcast_ref() {
        (file_kind(error), error.hints())
    } else if let Some(error) = cause.downcast_ref::<archive::Error>() {
        (if error.is_input() { Kind::Input } else { Kind::Outside }, error.hints())
    } else if let Some(error) = cause.downcast_ref::<fetch::Error>() {
        // packages that an index just named and the archive has not: the index is older than the pool
        let kind = if matches!(error, fetch::Error::Gone { .. }) { Kind::Outside } else { fetch_kind(error) };
        (kind, error.hints())
    } else if let Some(error) = cause.downcast_ref::<fs::Error>() {
        (file_kind(error), error.hints())
    } else if cause.is::<BadPackage>() {
        (Kind::Outside, vec!["the archive or a mirror serves a damaged package: try another mirror".to_owned()])
    } else {
        (Kind::Outside, Vec::new())
    }
}

/// Makes a panic anywhere look like what it is: our bug.
pub(crate) fn install_panic_hook(color: bool) {
    std::panic::set_hook(Box::new(move |panic| {
        let what = panic.payload_as_str().unwrap_or("no reason given");
        let place = panic.location().map(|location| format!(" at {}:{}", location.file(), location.line()));
        let printer = Printer::plain(color);
        printer.talk(Level::Error, &format!("internal error: {what}{}", place.unwrap_or_default()));
        let version = env!("CARGO_PKG_VERSION");
        printer
            .line(&format!("hint: this is a bug in sockel {version}: please report it with the command that you ran"));
    }));
}

#[cfg(test)]
mod tests;
