//! One OpenTelemetry trace a command: what stages report becomes spans, sent to a collector when the command ends.
//!
//! OTLP over HTTP in its JSON encoding, through the same client as everything else: no second client, no second TLS
//! library, no dependency. Off unless the environment names a collector. A collector that does not answer costs a warning
//! and at most [`send::LIMIT`], never the command.
//!
//! Why not the OpenTelemetry SDK: `opentelemetry-otlp` 0.33 with its SDK brings 14 crates, a protobuf library among them,
//! for the 400 lines of `otlp`, `send` and `options`; `spans`, which makes spans of sockel's events, would stay. It reads
//! the environment by itself, where logins for collectors stand, and has no limit for the whole of what it sends at the end.

mod options;
mod otlp;
mod send;
mod spans;

use crate::cli::failure::Failure;
use crate::cli::failure::exit_code;
use crate::cli::printer::Printer;
use crate::cli::printer::TalkLevel;
use crate::cli::progress::otel::options::TraceOptions;
use crate::cli::progress::otel::spans::Attribute;
use crate::cli::progress::otel::spans::Span;
use crate::cli::progress::otel::spans::SpanId;
use crate::cli::progress::otel::spans::Spans;
use crate::cli::progress::otel::spans::random;
use crate::cli::settings::ProcessEnvironment;
use crate::cli::settings::Settings;
use crate::report::ProgressEvent;
use crate::report::ProgressReporter;
use crate::sys::clock;
use crate::values::cover;
use crate::values::hex;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// Names a trace; never all zero (W3C Trace Context).
pub(super) type TraceId = [u8; 16];

/// The trace of a command that runs.
pub(crate) struct CommandTrace {
    command: &'static str,
    printer: Arc<Printer>,
    options: TraceOptions,
    id: TraceId,
    root: SpanId,
    /// When the command began, since 1970: later times are measured from here, so that a clock that is set meanwhile
    /// does not matter.
    begun: Duration,
    spans: Mutex<Spans>,
}

impl CommandTrace {
    /// Begins a trace where the environment wants one; what cannot be used of it is warned about.
    pub(crate) fn begin(
        command: &'static str,
        around: &ProcessEnvironment,
        settings: &Settings,
        printer: &Arc<Printer>,
    ) -> Option<Arc<Self>> {
        let (mut options, warnings) = TraceOptions::judge(&|variable| around.get(variable));
        for warning in warnings {
            printer.warn(&warning);
        }
        if settings.offline && options.take_if(|_| true).is_some() {
            printer.talk(TalkLevel::Detail, "no trace is sent: offline");
        }
        let mut options = options?;
        options.ca_file = options.ca_file.or_else(|| settings.ca_file.clone());
        let id = options.parent.map_or_else(random, |parent| Some(parent.trace))?;
        let root = random()?;
        let begun = clock::exact().saturating_sub(printer.elapsed());
        printer.talk(TalkLevel::Detail, &format!("trace {}", hex::digits(&id)));
        let (printer, spans) = (Arc::clone(printer), Mutex::new(Spans::new(root)));
        Some(Arc::new(Self { command, printer, options, id, root, begun, spans }))
    }

    /// Ends the trace and sends it; waits [`send::LIMIT`] at most.
    pub(crate) fn end(&self, failure: Option<&Failure>) {
        let body = otlp::request(&self.id, &self.options.resource, &self.finish(failure));
        if let Err(cause) = send::send(&self.options, body) {
            self.printer.warn(&format!("cannot send the trace: {}", cover(&cause)));
        }
    }

    /// Returns all spans, the command's own first.
    fn finish(&self, failure: Option<&Failure>) -> Vec<Span> {
        let now = self.now();
        let mut root = Span::new(self.root, self.options.parent.map(|parent| parent.span), "", self.begun);
        root.name = format!("sockel {}", self.command);
        root.ended = now;
        let code = failure.map_or(0, |failure| exit_code(failure.kind));
        root.attributes.push(("process.executable.name", Attribute::Text("sockel".to_owned())));
        root.attributes.push(("process.exit.code", Attribute::Number(u64::from(code))));
        if let Some(failure) = failure {
            root.attributes.push(("error.type", Attribute::Text(format!("{:?}", failure.kind).to_lowercase())));
            root.error = Some(cover(&failure.message));
        }
        let spans = std::mem::take(&mut *self.spans.lock().unwrap_or_else(PoisonError::into_inner));
        spans.finish(root, now)
    }

    fn now(&self) -> Duration {
        self.begun + self.printer.elapsed()
    }
}

impl ProgressReporter for CommandTrace {
    fn event(&self, event: ProgressEvent) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        // asked with the lock held: times of one stage are in order
        spans.take(&event, self.now());
    }
}
