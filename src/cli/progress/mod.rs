//! Shows what stages report: moving bars, lines now and then, JSON lines, or nothing but warnings.

mod bars;
mod json;
mod lines;
#[cfg(any(feature = "otel", test))]
#[cfg_attr(not(feature = "otel"), allow(dead_code, reason = "only its tests use all of it"))]
pub(crate) mod otel;
mod tally;

use crate::cli::printer::Level;
use crate::cli::printer::Printer;
use crate::cli::progress::bars::Bars;
use crate::cli::progress::json::JsonLines;
use crate::cli::progress::lines::Lines;
use crate::cli::settings::ProgressStyle;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use std::sync::Arc;
use std::time::Duration;

/// Returns the time since the command began; a fixed one in tests.
type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Takes one line of talk without its end.
type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// The reporter of a command.
pub(crate) struct Progress {
    printer: Arc<Printer>,
    kind: Kind,
    listener: Option<Arc<dyn Reporter>>,
}

enum Kind {
    Bars(Bars),
    Lines(Lines),
    Json(JsonLines),
    Quiet,
}

impl Progress {
    /// Returns a reporter that shows its events in this style until it is dropped or closed, and tells them all to
    /// `listener` as well.
    pub(crate) fn new(style: ProgressStyle, printer: &Arc<Printer>, listener: Option<Arc<dyn Reporter>>) -> Self {
        let clock: Clock = {
            let printer = Arc::clone(printer);
            Arc::new(move || printer.elapsed())
        };
        let sink: Sink = {
            let printer = Arc::clone(printer);
            Arc::new(move |line| printer.line(line))
        };
        let kind = match style {
            ProgressStyle::Bars => Kind::Bars(Bars::new(clock, printer.width(), printer.colors())),
            ProgressStyle::Lines => Kind::Lines(Lines::new(clock, sink)),
            ProgressStyle::Json => {
                let printer = Arc::clone(printer);
                Kind::Json(JsonLines::new(clock, Box::new(move |object| printer.object(object))))
            }
            ProgressStyle::Quiet => Kind::Quiet,
        };
        Self { printer: Arc::clone(printer), kind, listener }
    }

    /// Says what is still to be said about finished stages, and clears the bars.
    pub(crate) fn close(&self) {
        match &self.kind {
            Kind::Bars(bars) => bars.close(),
            Kind::Lines(lines) => lines.close(),
            Kind::Json(_) | Kind::Quiet => (),
        }
    }

    fn talk(&self, level: Level, text: &str, below: &[String]) {
        self.apart(|| self.printer.talk_of(level, text, below));
    }

    /// Writes something with the bars out of its way.
    fn apart(&self, write: impl FnOnce()) {
        match &self.kind {
            Kind::Bars(bars) => bars.suspend(write),
            Kind::Lines(_) | Kind::Json(_) | Kind::Quiet => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.close();
    }
}

impl Reporter for Progress {
    fn event(&self, event: Event) {
        if let Some(listener) = &self.listener {
            listener.event(event.clone());
        }
        match (event, &self.kind) {
            (Event::Detail(text), _) => self.talk(Level::Detail, &text, &[]),
            (Event::Info(text), _) => self.talk(Level::Info, &text, &[]),
            (Event::Warning(text), _) => self.talk(Level::Warning, &text, &[]),
            (Event::LockWritten { image, changes }, _) => {
                let text = format!("wrote a new lock for {image}, to be reviewed and committed");
                self.talk(Level::Warning, &text, &changes);
            }
            (Event::Problem(diagnostic), _) if self.printer.logs_json() => self.printer.object(&diagnostic),
            (Event::Problem(diagnostic), _) => self.apart(|| self.printer.diagnostic(&diagnostic)),
            (event, Kind::Bars(bars)) => bars.event(&event),
            (event, Kind::Lines(lines)) => lines.event(&event),
            (event, Kind::Json(json)) => json.event(&event),
            (_, Kind::Quiet) => (),
        }
    }
}

/// Returns a stage's name for people.
fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Index => "index",
        Stage::Download => "download",
        Stage::Unpack => "unpack",
        Stage::Compress => "compress",
        Stage::Upload => "upload",
    }
}
