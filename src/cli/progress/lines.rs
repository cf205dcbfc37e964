//! Plain lines with times for pipelines, or one JSON object a line.
#![allow(clippy::print_stderr, reason = "progress goes to stderr")]

use crate::cli::progress::verb;
use crate::cli::table::human_size;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

/// Between two lines about the same stage.
const PACE: Duration = Duration::from_secs(5);

/// Text or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `[  1.2 s] download 12 packages: 3.4 MB of 91.0 MB`
    Text,
    /// `{"elapsed_ms":1200,"event":"progress",…}`
    Json,
}

/// Writes a line when something begins or ends, and at most every five seconds between.
pub(super) struct Lines {
    form: Form,
    start: Instant,
    stages: Mutex<BTreeMap<Stage, Progress>>,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    total: u64,
    done: u64,
    begun: Instant,
    said: Instant,
}

impl Lines {
    pub(super) fn new(form: Form) -> Self {
        Self { form, start: Instant::now(), stages: Mutex::new(BTreeMap::new()) }
    }

    fn write(&self, kind: &str, stage: Option<Stage>, what: &str, progress: Option<(u64, u64)>) {
        let elapsed = self.start.elapsed();
        match self.form {
            Form::Json => {
                let mut line = json!({ "elapsed_ms": elapsed.as_millis() as u64, "event": kind });
                if let Some(stage) = stage {
                    line["stage"] = json!(verb(stage));
                }
                if !what.is_empty() {
                    line["what"] = json!(what);
                }
                if let Some((done, total)) = progress {
                    line["done"] = json!(done);
                    line["total"] = json!(total);
                }
                say(&line.to_string());
            }
            Form::Text => {
                let amount = progress.map(|(done, total)| format!(" {} of {}", human_size(done), human_size(total)));
                let stage = stage.map_or_else(|| kind.to_owned(), |stage| verb(stage).to_owned());
                let amount = amount.unwrap_or_default();
                let what = if what.is_empty() { String::new() } else { format!(" {what}") };
                say(&format!("[{:>6.1} s] {stage}{what}{amount}", elapsed.as_secs_f64()));
            }
        }
    }
}

impl Reporter for Lines {
    fn event(&self, event: Event) {
        let now = Instant::now();
        let mut stages = self.stages.lock().expect("no thread panics while it holds this");
        match event {
            Event::Started { stage, total, what } => {
                let progress = stages.entry(stage).or_insert(Progress { total: 0, done: 0, begun: now, said: now });
                progress.total += total;
                if self.form == Form::Json || stage != Stage::Compress {
                    self.write("started", Some(stage), &what, Some((progress.done, progress.total)));
                }
            }
            Event::Advanced { stage, by } => {
                let Some(progress) = stages.get_mut(&stage) else { return };
                progress.done += by;
                if now.duration_since(progress.said) >= PACE {
                    progress.said = now;
                    self.write("progress", Some(stage), "", Some((progress.done, progress.total)));
                }
            }
            Event::Finished { stage, what } => {
                let Some(progress) = stages.get(&stage) else { return };
                let seconds = now.duration_since(progress.begun).as_secs_f64();
                let rate = format!("{}/s", human_size((progress.done as f64 / seconds.max(0.001)) as u64));
                let what = if self.form == Form::Text { format!("{what} done, {rate},") } else { what };
                self.write("finished", Some(stage), &what, Some((progress.done, progress.total)));
            }
            Event::Info(text) => self.write("info", None, &text, None),
            Event::Warning(text) => self.write("warning", None, &text, None),
        }
    }
}

/// Writes one line to stderr.
pub(super) fn say(line: &str) {
    // a closed stderr is no reason to stop working
    let _closed = writeln!(io::stderr(), "{line}");
}
