//! What `update` answers: one entry an image, as text, Markdown or JSON; failures are printed and decide the exit code.

use crate::advisory::UpgradeUrgency;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::publish;
use crate::cli::settings::Format;
use crate::cli::update::markdown;
use crate::cli::update::text;
use crate::fault::Turn;
use crate::jobs;
use crate::jobs::update::UpdateOutcome;
use crate::jobs::update::UpdatedImage;
use crate::update::ImageUpdate;
use crate::update::UpdateState;
use crate::values::shown;
use serde::Serialize;
use std::time::Duration;

/// The result of an update.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct UpdateAnswer {
    pub(super) images: Vec<UpdatedImageAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<publish::PublishAnswer>,
    /// Why nothing is known about what updates fix.
    #[serde(skip_serializing_if = "Option::is_none")]
    advisories_error: Option<Failure>,
    #[serde(skip)]
    wrote: bool,
}

/// One image.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct UpdatedImageAnswer {
    #[serde(flatten)]
    pub(super) update: ImageUpdate,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
}

impl UpdateAnswer {
    /// Answers with what came of an update; `time` is what the command took.
    pub(super) fn new(outcome: UpdateOutcome, time: Duration) -> Self {
        let mut images = Vec::new();
        for UpdatedImage { update, error, .. } in outcome.images {
            images.push(UpdatedImageAnswer { update, error: error.map(Failure::from) });
        }
        Self {
            images,
            published: outcome.published.map(|published| publish::PublishAnswer::new(published, time)),
            advisories_error: outcome.advisories.map(|error| jobs::Error::from(error).into()),
            wrote: outcome.wrote,
        }
    }

    /// Returns the answer as JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let text = serde_json::to_string_pretty(self).expect("names are strings and nothing in it can fail");
        (shown::json(&text) + "\n").into_bytes()
    }

    /// Prints everything; what failed is returned.
    pub(super) fn print(mut self, context: &Context, limit: Option<UpgradeUrgency>) -> Result<(), Failure> {
        let printer = &context.printer;
        if printer.is_json() {
            printer.json(&self)?;
        } else if context.settings.format == Format::Md {
            printer.data(&markdown::render(&self.images))?;
        } else {
            printer.data(&text::render(&self.images))?;
            if let Some(published) = &self.published {
                printer.data(&format!("\n{}", published.table().render(printer.width())))?;
            }
        }
        let failure = self.failure();
        for image in &mut self.images {
            if let Some(mut error) = image.error.take() {
                error.is_answered = true;
                error.print(printer);
            }
        }
        let changed = self.changed();
        let published = self.published.take().map_or(Ok(()), |published| published.close(printer));
        match (changed, self.wrote) {
            (0, _) => printer.note("nothing new"),
            (_, false) => {
                printer.note("nothing was written");
                printer.note("next: sockel update --write, or sockel update --publish");
            }
            (_, true) => printer.note(&format!("{changed} lock file(s) written; next: review and commit them")),
        }
        if let (Some(_), Err(error)) = (&failure, &published) {
            error.print(printer);
        }
        if let Some(mut error) = self.advisories_error.take() {
            error.is_answered = true;
            if failure.is_some() || published.is_err() {
                error.print(printer);
            } else {
                return Err(error);
            }
        }
        failure.map_or(published, Err)?;
        self.judge(limit)
    }

    /// Returns how many images have news.
    fn changed(&self) -> usize {
        let has_news =
            |image: &&UpdatedImageAnswer| matches!(image.update.state, UpdateState::Changed | UpdateState::New);
        self.images.iter().filter(has_news).count()
    }

    /// Says no when something is as urgent as the caller asked about.
    fn judge(&self, limit: Option<UpgradeUrgency>) -> Result<(), Failure> {
        let Some(limit) = limit else { return Ok(()) };
        let urgent = self.images.iter().filter(|image| image.update.urgency >= Some(limit));
        let names: Vec<&str> = urgent.map(|image| image.update.image.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let message = format!("updates as urgent as `--fail-on` says are there for {}", names.join(", "));
        let mut failure = Failure::new(Turn::Policy, message);
        failure.is_answered = true;
        Err(failure)
    }

    /// Says which images failed; each one's own failure is printed before.
    fn failure(&self) -> Option<Failure> {
        let failed = || self.images.iter().filter_map(|image| Some((&image.update.image, image.error.as_ref()?.kind)));
        let names: Vec<&str> = failed().map(|(name, _)| name.as_str()).collect();
        // what another try may mend comes first, then what people must mend
        let order = [Turn::Outside, Turn::Input, Turn::Policy, Turn::Internal];
        let kind = order.into_iter().find(|kind| failed().any(|(_, k)| k == *kind))?;
        let total = self.images.len();
        let message = format!("cannot update {} of {total} image(s): {}", names.len(), names.join(", "));
        let mut failure = Failure::new(kind, message);
        failure.is_answered = true;
        Some(failure)
    }
}
