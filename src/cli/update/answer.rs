//! What `update` answers: one entry an image, as text, Markdown or JSON; failures are printed and decide the exit code.

use crate::advisory::UpgradeUrgency;
use crate::cli::Context;
use crate::cli::blocked;
use crate::cli::blocked::BlockedImage;
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
        let blocked = self.blocked();
        match (changed, self.wrote) {
            (0, _) if blocked.is_some() => printer.note("nothing new can be taken"),
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
                blocked.iter().for_each(|blocked| blocked.print(printer));
                return Err(error);
            }
        }

        // what is waiting for a decision is said whatever else there is; its exit code counts where nothing failed
        let judged = failure.map_or(published, Err).and_then(|()| self.judge(limit));
        match (judged, blocked) {
            (Err(error), Some(blocked)) => {
                blocked.print(printer);
                Err(error)
            }
            (Ok(()), Some(blocked)) => Err(blocked),
            (judged, None) => judged,
        }
    }

    /// Says what could not be taken.
    fn blocked(&self) -> Option<Failure> {
        let mut images = Vec::new();
        for UpdatedImageAnswer { update, .. } in &self.images {
            let ImageUpdate { image, blocked, broken_pockets, .. } = update;
            images.push(BlockedImage { image, packages: blocked, pockets: broken_pockets });
        }
        blocked::failure(&images)
    }

    /// Returns how many images have news.
    fn changed(&self) -> usize {
        let has_news =
            |image: &&UpdatedImageAnswer| matches!(image.update.state, UpdateState::Changed | UpdateState::New);
        self.images.iter().filter(has_news).count()
    }

    /// Says no when something is as urgent as the caller asked about, whether it is taken or held back.
    fn judge(&self, limit: Option<UpgradeUrgency>) -> Result<(), Failure> {
        let Some(limit) = limit else { return Ok(()) };
        let is_urgent = |update: &ImageUpdate| update.urgency.max(update.held_back_urgency) >= Some(limit);
        let urgent = self.images.iter().filter(|image| is_urgent(&image.update));
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
