//! Bars on a terminal: one for each running stage, with rate and time left.

use crate::cli::progress::verb;
use crate::report::Event;
use crate::report::Reporter;
use crate::report::Stage;
use indicatif::MultiProgress;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// How often the terminal is painted.
const HERTZ: u8 = 10;

/// All bars.
pub(super) struct Bars {
    all: MultiProgress,
    stages: Mutex<BTreeMap<Stage, Running>>,
}

/// A stage's bar, and what it works on.
struct Running {
    bar: ProgressBar,
    open: Vec<String>,
}

impl Bars {
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(HERTZ));
        Self { all, stages: Mutex::new(BTreeMap::new()) }
    }

    fn bar(&self, stage: Stage) -> ProgressBar {
        let bar = self.all.add(ProgressBar::new(0));
        let style = ProgressStyle::with_template(
            "{prefix:>8} {wide_bar:.cyan/blue} {bytes:>10}/{total_bytes:<10} {bytes_per_sec:>12} {eta:>4} left  {msg:20!}",
        );
        bar.set_style(style.expect("the template is right").progress_chars("━╸─"));
        bar.set_prefix(verb(stage));
        bar
    }
}

impl Reporter for Bars {
    fn event(&self, event: Event) {
        let mut stages = self.stages.lock().expect("no thread panics while it holds this");
        match event {
            Event::Started { stage, total, what } => {
                let running = stages.entry(stage).or_insert_with(|| Running { bar: self.bar(stage), open: Vec::new() });
                running.bar.inc_length(total);
                running.bar.set_message(what.clone());
                running.open.push(what);
            }
            Event::Advanced { stage, by } => {
                if let Some(running) = stages.get(&stage) {
                    running.bar.inc(by);
                }
            }
            Event::Finished { stage, what } => {
                let Some(running) = stages.get_mut(&stage) else { return };
                running.open.retain(|open| *open != what);
                match running.open.last() {
                    Some(open) => running.bar.set_message(open.clone()),
                    // more of the stage may follow: the bar goes, its sums stay with the next one
                    None => {
                        running.bar.finish_and_clear();
                        stages.remove(&stage);
                    }
                }
            }
            Event::Info(text) => drop(self.all.println(text)),
            Event::Warning(text) => drop(self.all.println(format!("warning: {text}"))),
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        drop(self.all.clear());
    }
}
