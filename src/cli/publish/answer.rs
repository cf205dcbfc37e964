//! What `publish` answers: one table for people, one JSON document for programs, every failure with its remedy.

use crate::announce::writeback::DigestChange;
use crate::announce::writeback::SkippedReference;
use crate::announce::writeback::WriteBackResult;
use crate::cli::failure::Failure;
use crate::cli::printer::Printer;
use crate::cli::table::Column;
use crate::cli::table::Table;
use crate::cli::table::duration;
use crate::cli::table::size;
use crate::fault::Turn;
use crate::gate::GateOutcome;
use crate::harbor::setup::SetupStep;
use crate::jobs;
use crate::jobs::publish::PublishOutcome;
use crate::oci::registry::BlobTotals;
use crate::publish::GateResult;
use crate::publish::PublishState;
use crate::publish::Published;
use crate::values::shown::shown;
use serde::Serialize;
use std::time::Duration;

/// The result of publishing.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct PublishAnswer {
    target: String,
    images: Vec<PublishedImageAnswer>,
    milliseconds: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_back: Option<WriteBackAnswer>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    announced: Vec<AnnouncedAnswer>,
}

/// What became of telling one receiver.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AnnouncedAnswer {
    pub(super) receiver: String,
    /// Images that it was told of.
    pub(super) images: Vec<String>,
    /// Images of which it was told that updates are blocked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) blocked: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
}

/// What became of a Git checkout.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum WriteBackAnswer {
    Done(WriteBackResult),
    Error(Failure),
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PublishedImageAnswer {
    #[serde(flatten)]
    published: Published,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

impl From<jobs::publish::AnnouncedReceiver> for AnnouncedAnswer {
    fn from(announced: jobs::publish::AnnouncedReceiver) -> Self {
        let jobs::publish::AnnouncedReceiver { receiver, images, blocked, error } = announced;
        Self { receiver, images, blocked, error: error.map(|error| jobs::Error::from(error).into()) }
    }
}

impl PublishAnswer {
    /// Answers with what became of images; `time` is what the command took.
    pub(crate) fn new(outcome: PublishOutcome, time: Duration) -> Self {
        let mut images = Vec::new();
        for mut published in outcome.images {
            let error = published.failure.take().map(|error| jobs::Error::from(error).into());
            images.push(PublishedImageAnswer { published, error });
        }
        let write_back = outcome.write_back.map(|written| match written {
            Ok(written) => WriteBackAnswer::Done(written),
            Err(error) => WriteBackAnswer::Error(jobs::Error::from(error).into()),
        });
        Self {
            target: outcome.target,
            images,
            milliseconds: time.as_millis(),
            write_back,
            announced: outcome.announced.into_iter().map(AnnouncedAnswer::from).collect(),
        }
    }

    /// Prints it, and returns what failed.
    pub(crate) fn print(self, printer: &Printer) -> Result<(), Failure> {
        if printer.is_json() {
            printer.json(&self)?;
        } else {
            printer.data(&self.table().render(printer.width()))?;
        }
        self.close(printer)
    }

    /// Says what failed and what comes next, when the answer itself was given; returns what failed.
    pub(crate) fn close(mut self, printer: &Printer) -> Result<(), Failure> {
        let mut failure = self.failure();
        for image in &mut self.images {
            if let Some(mut error) = image.error.take() {
                error.is_answered = true;
                error.print(printer);
            }
        }
        printer.notes(&self.closing());
        match self.write_back.take() {
            Some(WriteBackAnswer::Done(done)) => told(&done, printer)?,
            Some(WriteBackAnswer::Error(error)) => {
                let error = Failure { is_answered: true, ..error };
                // images come first: their failure says whether another try may help
                if failure.is_some() {
                    error.print(printer);
                }
                failure = failure.or(Some(error));
            }
            None => {}
        }
        for told in self.announced {
            if !told.images.is_empty() {
                printer.note(&format!("{} was told of {}", told.receiver, told.images.join(", ")));
            }
            if !told.blocked.is_empty() {
                printer.note(&format!("{} was told of blocked updates of {}", told.receiver, told.blocked.join(", ")));
            }
            if let Some(error) = told.error {
                let error = Failure { is_answered: true, ..error };
                if failure.is_some() {
                    error.print(printer);
                }
                failure = failure.or(Some(error));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Returns one row an image.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&[
            ("image", Column::Text),
            ("digest", Column::Digest),
            ("state", Column::Text),
            ("gate", Column::Text),
            ("uploaded", Column::Number),
            ("mounted", Column::Number),
            ("there", Column::Number),
        ]);
        for PublishedImageAnswer { published, .. } in &self.images {
            let name = format!("{}:{}", published.image, published.tags.first().map_or("latest", String::as_str));
            let count = |of: fn(&crate::oci::registry::PushOutcome) -> BlobTotals| {
                published.pushed.as_ref().map_or_else(|| "-".to_owned(), |pushed| size(of(pushed).bytes))
            };
            table.row([
                name,
                published.digest.to_string(),
                state(published.state).to_owned(),
                gate(&published.gate),
                count(|pushed| pushed.uploaded),
                count(|pushed| pushed.mounted),
                count(|pushed| pushed.skipped),
            ]);
        }
        table
    }

    fn closing(&self) -> Vec<String> {
        let count = |wanted: PublishState| self.images.iter().filter(|image| image.published.state == wanted).count();
        let bytes = |of: fn(&crate::oci::registry::PushOutcome) -> u64| -> u64 {
            self.images.iter().filter_map(|image| image.published.pushed.as_ref()).map(of).sum()
        };
        let sent = bytes(|pushed| pushed.uploaded.bytes);
        let saved = bytes(|pushed| pushed.mounted.bytes + pushed.skipped.bytes);
        let time = duration(Duration::from_millis(u64::try_from(self.milliseconds).unwrap_or(u64::MAX)));
        let parts = [
            (count(PublishState::Published), "published"),
            (count(PublishState::UpToDate), "up to date"),
            (count(PublishState::WouldPublish), "would be published"),
            (count(PublishState::NewerPublished), "left alone, a newer state is published"),
            (count(PublishState::Failed), "failed"),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        let mut text = format!("{} in {time}: {}", self.target, parts.join(", "));
        if sent + saved > 0 {
            text += &format!("; {} uploaded, {} saved", size(sent), size(saved));
        }
        let mut lines = vec![text];
        let unjudged = self.images.iter().find_map(|image| match image.published.gate {
            GateResult::NotAvailable { reason } => Some(reason),
            _ => None,
        });
        if let Some(reason) = unjudged {
            lines.push(format!("not available: scan and gate, because {reason}"));
        }
        let done = |image: &&PublishedImageAnswer| {
            matches!(image.published.state, PublishState::Published | PublishState::UpToDate)
        };
        if let Some(PublishedImageAnswer { published, .. }) = self.images.iter().rfind(done)
            && !published.repository.contains("oci:")
        {
            lines.push(format!("next: FROM {}@{}", published.repository, published.digest));
        }
        lines
    }

    /// Says which images failed; each one's own failure is printed before.
    fn failure(&self) -> Option<Failure> {
        let failed =
            || self.images.iter().filter_map(|image| Some((&image.published.image, image.error.as_ref()?.kind)));
        let names: Vec<&str> = failed().map(|(name, _)| name.as_str()).collect();
        // what another try may mend comes first, then what people must mend, then what was decided
        let kind =
            [Turn::Outside, Turn::Input, Turn::Policy].into_iter().find(|kind| failed().any(|(_, k)| k == *kind))?;
        let total = self.images.len();
        let mut failure =
            Failure::new(kind, format!("cannot publish {} of {total} image(s): {}", names.len(), names.join(", ")));
        failure.is_answered = true;
        Some(failure)
    }
}

/// Says what was changed in a checkout, and what was left alone.
fn told(done: &WriteBackResult, printer: &Printer) -> Result<(), Failure> {
    if !printer.is_json() {
        for DigestChange { file, line, reference, old, new, .. } in &done.changes {
            let old = old.map_or_else(|| "no digest".to_owned(), |old| old.to_string());
            printer.data(&(shown(&format!("{file}:{line}: {reference}: {old} -> {new}")) + "\n"))?;
        }
    }
    for SkippedReference { file, line, reference, reason } in &done.left {
        printer.warn(&shown(&format!("{file}:{line}: `{reference}` is left alone: {reason}")));
    }
    let count = done.changes.len();
    printer.note(&match (&done.commit, count) {
        (Some(commit), _) => format!("{count} reference(s) changed in commit {commit}"),
        (None, 0) => "no reference to change, no commit".to_owned(),
        (None, _) => format!("{count} reference(s) would be changed"),
    });
    if done.pushed {
        printer.note("pushed");
    }
    Ok(())
}

fn state(state: PublishState) -> &'static str {
    match state {
        PublishState::UpToDate => "up to date",
        PublishState::Published => "published",
        PublishState::WouldPublish => "would be published",
        PublishState::Failed => "failed",
        PublishState::NewerPublished => "newer is published",
    }
}

fn gate(gate: &GateResult) -> String {
    match gate {
        GateResult::NotNeeded => "-".to_owned(),
        GateResult::NotAvailable { .. } => "not available".to_owned(),
        GateResult::Judged(judged) => {
            let count = |wanted| judged.iter().filter(|judged| judged.outcome == wanted).count();
            match (count(GateOutcome::NotTrusted), count(GateOutcome::Refused)) {
                (0, 0) => "passed".to_owned(),
                (0, _) => "refused".to_owned(),
                _ => "not trusted".to_owned(),
            }
        }
    }
}

/// Prints what a setup did; what it could not do is a failure.
pub(super) fn setup(steps: &[SetupStep], printer: &Printer) -> Result<(), Failure> {
    if printer.is_json() {
        printer.json(&steps)?;
    } else {
        let lines: String = steps.iter().map(|step| format!("{step}\n")).collect();
        printer.data(&lines)?;
    }
    let left = steps.iter().filter(|step| !step.state.is_fine()).count();
    if left == 0 {
        return Ok(());
    }
    let mut failure = Failure::new(Turn::Input, format!("cannot do {left} of {} steps of the setup", steps.len()));
    failure.is_answered = true;
    Err(failure)
}
