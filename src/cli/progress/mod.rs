//! Shows what stages report: moving bars, lines now and then, JSON lines, or nothing but warnings.

mod bars;
mod json;
mod lines;
#[cfg(any(feature = "otel", test))]
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "only its tests use all of it"))]
pub(crate) mod otel;
mod tally;

use crate::cli::printer::Printer;
use crate::cli::printer::TalkLevel;
use crate::cli::progress::bars::Bars;
use crate::cli::progress::json::JsonLines;
use crate::cli::progress::lines::ProgressLines;
use crate::cli::settings::ProgressStyle;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::report::ProgressStage;
use std::sync::Arc;
use std::time::Duration;

/// Returns the time since the command began; a fixed one in tests.
type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Takes one line of talk without its end.
type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// The reporter of a command.
pub(crate) struct Progress {
    printer: Arc<Printer>,
    kind: ProgressKind,
    listener: Option<Arc<dyn ProgressReporter>>,
}

enum ProgressKind {
    Bars(Bars),
    Lines(ProgressLines),
    Json(JsonLines),
    Quiet,
}

impl Progress {
    /// Returns a reporter that shows its events in this style until it is dropped or closed, and tells them all to
    /// `listener` as well.
    pub(crate) fn new(
        style: ProgressStyle,
        printer: &Arc<Printer>,
        listener: Option<Arc<dyn ProgressReporter>>,
    ) -> Self {
        let clock: Clock = {
            let printer = Arc::clone(printer);
            Arc::new(move || printer.elapsed())
        };
        let sink: Sink = {
            let printer = Arc::clone(printer);
            Arc::new(move |line| printer.line(line))
        };
        let kind = match style {
            ProgressStyle::Bars => ProgressKind::Bars(Bars::new(clock, printer.width(), printer.colors())),
            ProgressStyle::Lines => ProgressKind::Lines(ProgressLines::new(clock, sink)),
            ProgressStyle::Json => {
                let printer = Arc::clone(printer);
                ProgressKind::Json(JsonLines::new(clock, Box::new(move |object| printer.object(object))))
            }
            ProgressStyle::Quiet => ProgressKind::Quiet,
        };
        Self { printer: Arc::clone(printer), kind, listener }
    }

    /// Says what is still to be said about finished stages, and clears the bars.
    pub(crate) fn close(&self) {
        match &self.kind {
            ProgressKind::Bars(bars) => bars.close(),
            ProgressKind::Lines(lines) => lines.close(),
            ProgressKind::Json(_) | ProgressKind::Quiet => (),
        }
    }

    fn talk(&self, level: TalkLevel, text: &str, below: &[String]) {
        self.apart(|| self.printer.talk_of(level, text, below));
    }

    /// Writes something with the bars out of its way.
    fn apart(&self, write: impl FnOnce()) {
        match &self.kind {
            ProgressKind::Bars(bars) => bars.suspend(write),
            ProgressKind::Lines(_) | ProgressKind::Json(_) | ProgressKind::Quiet => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.close();
    }
}

impl ProgressReporter for Progress {
    fn event(&self, event: ProgressEvent) {
        if let Some(listener) = &self.listener {
            listener.event(event.clone());
        }
        match (event, &self.kind) {
            (ProgressEvent::Detail(text), _) => self.talk(TalkLevel::Detail, &text, &[]),
            (ProgressEvent::Info(text), _) => self.talk(TalkLevel::Info, &text, &[]),
            (ProgressEvent::Warning(text), _) => self.talk(TalkLevel::Warning, &text, &[]),
            (ProgressEvent::LockWritten { image, changes }, _) => {
                let text = format!("wrote a new lock for {image}, to be reviewed and committed");
                self.talk(TalkLevel::Warning, &text, &changes);
            }
            (ProgressEvent::Problem(diagnostic), _) if self.printer.logs_json() => self.printer.object(&diagnostic),
            (ProgressEvent::Problem(diagnostic), _) => self.apart(|| self.printer.diagnostic(&diagnostic)),
            (event, ProgressKind::Bars(bars)) => bars.event(&event),
            (event, ProgressKind::Lines(lines)) => lines.event(&event),
            (event, ProgressKind::Json(json)) => json.event(&event),
            (_, ProgressKind::Quiet) => (),
        }
    }
}

/// Returns a stage's name for people.
fn name(stage: ProgressStage) -> &'static str {
    match stage {
        ProgressStage::Index => "index",
        ProgressStage::Download => "download",
        ProgressStage::Unpack => "unpack",
        ProgressStage::Compress => "compress",
        ProgressStage::Upload => "upload",
    }
}
