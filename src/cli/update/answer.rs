//! What `update` answers: one entry an image, as text, Markdown or JSON; failures are printed and decide the exit code.

use crate::advisory::Explained;
use crate::advisory::Urgency;
use crate::announce::metrics;
use crate::announce::webhook::Reason;
use crate::build::Built;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::failure::Kind;
use crate::cli::publish;
use crate::cli::update::is_markdown;
use crate::cli::update::markdown;
use crate::cli::update::text;
use crate::lock::file::Lock;
use crate::publish::Published;
use crate::publish::State::Failed;
use crate::publish::State::Published as Done;
use crate::publish::State::UpToDate;
use crate::update::ImageUpdate;
use crate::update::State;
use crate::update::memory::Found;
use crate::update::repull;
use crate::values::shown;
use serde::Serialize;
use std::collections::BTreeMap;

/// The result of an update.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Answer {
    pub(super) images: Vec<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<publish::Answer>,
}

/// One image.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Image {
    #[serde(flatten)]
    pub(super) update: ImageUpdate,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
    /// Layers that were found, and that were made.
    #[serde(skip)]
    layers: [usize; 2],
}

impl Answer {
    /// Begins the answer with what is new.
    pub(super) fn new(updates: Vec<ImageUpdate>) -> Self {
        let image = |mut update: ImageUpdate| {
            let error = update.failure.take().map(Failure::from);
            Image { update, error, layers: [0; 2] }
        };
        Self { images: updates.into_iter().map(image).collect(), published: None }
    }

    /// Returns what is new for every image.
    pub(super) fn updates(&self) -> impl Iterator<Item = &ImageUpdate> {
        self.images.iter().map(|image| &image.update)
    }

    /// Adds what an image's upgrades fix.
    pub(super) fn explain(&mut self, image: &str, fixes: Vec<Explained>) {
        if let Some(image) = self.images.iter_mut().find(|other| other.update.image == image) {
            image.update.explain(fixes);
        }
    }

    /// Adds what building showed: failures, and exact figures in place of estimates.
    pub(super) fn built(
        &mut self,
        before: &BTreeMap<String, Built>,
        built: &BTreeMap<String, Built>,
        mut failed: BTreeMap<String, Failure>,
    ) {
        for image in &mut self.images {
            let name = &image.update.image;
            if let (Some(old), Some(new), State::Changed) = (before.get(name), built.get(name), image.update.state) {
                image.update.repull = repull::measure(old, new);
            }
            for platform in built.get(name).into_iter().flat_map(|built| &built.platforms) {
                image.layers[0] += platform.reused;
                image.layers[1] += platform.layers.len() - platform.reused;
            }
            if image.error.is_none() {
                image.error = failed.remove(name);
            }
        }
    }

    /// Adds what publishing showed.
    pub(super) fn published(&mut self, published: publish::Answer) {
        self.published = Some(published);
    }

    /// Says why an image is published anew, as far as that is known.
    pub(super) fn reason(&self, image: &str) -> Reason {
        let update = self.updates().find(|update| update.image == image);
        let fixes = update.iter().flat_map(|update| update.cves()).map(str::to_owned).collect();
        Reason { urgency: update.and_then(|update| update.urgency), fixes }
    }

    fn published_image(&self, name: &str) -> Option<&Published> {
        self.published.iter().flat_map(publish::Answer::published).find(|published| published.image == name)
    }

    /// Tells whether anything failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failure().is_some() || self.published.as_ref().is_some_and(publish::Answer::has_failed)
    }

    /// Returns what a run found out about the images whose archives it could read, and did about them.
    pub(super) fn found(&self, writes: bool, publishes: bool) -> Vec<(String, Found)> {
        let found = |image: &Image| {
            let urgent = image.update.urgency == Some(Urgency::Urgent);
            let stands = |published: &Published| matches!(published.state, Done | UpToDate);
            match (writes, publishes) {
                (false, _) => Found::Looked { urgent },
                (true, true) if !self.published_image(&image.update.image).is_some_and(stands) => {
                    Found::Stuck { urgent }
                }
                (true, _) => Found::Taken,
            }
        };
        let read = self.images.iter().filter(|image| image.update.state != State::Failed);
        read.map(|image| (image.update.image.clone(), found(image))).collect()
    }

    /// Returns the figures of the images.
    pub(super) fn metrics(&self, locks: &BTreeMap<String, Lock>, writes: bool) -> Vec<metrics::Image> {
        let image = |image: &Image| {
            let update = &image.update;
            let levels = update.difference.iter().flat_map(|difference| &difference.levels);
            let published = self.published_image(&update.image);
            let failed = image.error.is_some() || published.is_some_and(|published| published.state == Failed);
            let changed = levels.map(|level| level.packages.len()).sum();
            let pushed = published.and_then(|published| published.pushed.as_ref());
            metrics::Image {
                name: update.image.clone(),
                locked: locks.get(&update.image).map(|lock| lock.epoch),
                failed,
                changed,
                behind: if writes && !failed { 0 } else { changed },
                layers: image.layers,
                fixed: update.cves().len(),
                bytes: pushed.map_or([0; 3], |p| [p.uploaded.bytes, p.mounted.bytes, p.skipped.bytes]),
            }
        };
        self.images.iter().map(image).collect()
    }

    /// Returns the answer as JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let text = serde_json::to_string_pretty(self).expect("names are strings and nothing in it can fail");
        (shown::json(&text) + "\n").into_bytes()
    }

    /// Prints everything; what failed is returned.
    pub(super) fn print(mut self, context: &Context, wrote: bool, limit: Option<Urgency>) -> Result<(), Failure> {
        let printer = &context.printer;
        if printer.is_json() {
            printer.json(&self)?;
        } else if is_markdown(context) {
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
        let changed = self.updates().filter(|update| matches!(update.state, State::Changed | State::New)).count();
        let published = self.published.take().map_or(Ok(()), |published| published.close(printer));
        match (changed, wrote) {
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
        failure.map_or(published, Err)?;
        self.judge(limit)
    }

    /// Says no when something is as urgent as the caller asked about.
    fn judge(&self, limit: Option<Urgency>) -> Result<(), Failure> {
        let is_over = |update: &&ImageUpdate| limit.is_some_and(|limit| update.urgency >= Some(limit));
        let names: Vec<&str> = self.updates().filter(is_over).map(|update| update.image.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let message = format!("updates as urgent as `--fail-on` says are there for {}", names.join(", "));
        let mut failure = Failure::new(Kind::Policy, message);
        failure.is_answered = true;
        Err(failure)
    }

    /// Says which images failed; each one's own failure is printed before.
    fn failure(&self) -> Option<Failure> {
        let failed = || self.images.iter().filter_map(|image| Some((&image.update.image, image.error.as_ref()?.kind)));
        let names: Vec<&str> = failed().map(|(name, _)| name.as_str()).collect();
        // what another try may mend comes first, then what people must mend
        let order = [Kind::Outside, Kind::Input, Kind::Policy, Kind::Internal];
        let kind = order.into_iter().find(|kind| failed().any(|(_, k)| k == *kind))?;
        let total = self.images.len();
        let message = format!("cannot update {} of {total} image(s): {}", names.len(), names.join(", "));
        let mut failure = Failure::new(kind, message);
        failure.is_answered = true;
        Some(failure)
    }
}
