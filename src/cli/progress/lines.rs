//! Plain lines for pipelines: when a stage begins, now and then while it runs, and when it is done.

use crate::cli::progress::Clock;
use crate::cli::progress::Sink;
use crate::cli::progress::name;
use crate::cli::progress::tally::StageChange;
use crate::cli::progress::tally::Tally;
use crate::cli::table::duration;
use crate::cli::table::rough;
use crate::cli::table::size;
use crate::report::ProgressEvent;
use crate::report::ProgressStage;
use crate::values::shown::shown;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// A stage says nothing new before this time is over, but for its end.
const PAUSE: Duration = Duration::from_secs(5);

/// Writes lines.
pub(super) struct ProgressLines {
    clock: Clock,
    sink: Sink,
    state: Mutex<LinesState>,
}

#[derive(Default)]
struct LinesState {
    tally: Tally,
    /// When a stage said something last.
    said: BTreeMap<ProgressStage, Duration>,
    /// The end of these stages is not said yet: they may go on at once with the next thing.
    held: Vec<ProgressStage>,
    /// When the end of a stage was said last.
    ended: BTreeMap<ProgressStage, Duration>,
}

impl ProgressLines {
    pub(super) fn new(clock: Clock, sink: Sink) -> Self {
        Self { clock, sink, state: Mutex::default() }
    }

    /// Takes one event.
    pub(super) fn event(&self, event: &ProgressEvent) {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((stage, change)) = state.tally.take(event, now) else { return };
        let rested = state.said.get(&stage).is_none_or(|then| now.saturating_sub(*then) >= PAUSE);
        match change {
            StageChange::Began => {
                state.held.retain(|held| *held != stage);
                self.ends(&mut state, now, false);
                let first = !state.said.contains_key(&stage);
                if rested {
                    self.say(&mut state, stage, now, if first { begun } else { moving });
                }
            }
            StageChange::Moved if rested => self.say(&mut state, stage, now, moving),
            StageChange::Moved => (),
            StageChange::Ended => state.held.push(stage),
        }
    }

    /// Says the ends that were held back.
    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.ends(&mut state, (self.clock)(), true);
    }

    fn ends(&self, state: &mut LinesState, now: Duration, all: bool) {
        for stage in std::mem::take(&mut state.held) {
            let last = state.ended.get(&stage).copied();
            let rested = last.is_none_or(|then| now.saturating_sub(then) >= PAUSE);
            if all || rested {
                self.say(state, stage, now, ended);
                state.ended.insert(stage, now);
            } else {
                state.held.push(stage);
            }
        }
    }

    fn say(
        &self,
        state: &mut LinesState,
        stage: ProgressStage,
        now: Duration,
        text: fn(&Tally, ProgressStage, Duration) -> String,
    ) {
        (self.sink)(&format!("[{:>7}] {}", duration(now), text(&state.tally, stage, now)));
        state.said.insert(stage, now);
    }
}

fn begun(tally: &Tally, stage: ProgressStage, _: Duration) -> String {
    let Some(work) = tally.work(stage) else { return String::new() };
    format!("{:<8} {}, {}", name(stage), shown(work.what()), size(work.total))
}

fn moving(tally: &Tally, stage: ProgressStage, now: Duration) -> String {
    let Some(work) = tally.work(stage) else { return String::new() };
    let mut text = format!("{:<8} {} % of {}", name(stage), work.percent(), size(work.total));
    if let Some(rate) = work.rate(now) {
        text.push_str(&format!(", {}/s", size(rate)));
    }
    if let Some(left) = tally.left(now) {
        text.push_str(&format!(", about {} left", rough(left)));
    }
    text
}

fn ended(tally: &Tally, stage: ProgressStage, now: Duration) -> String {
    let Some(work) = tally.work(stage) else { return String::new() };
    let mut text = format!("{:<8} done, {} in {}", name(stage), size(work.done), duration(work.took(now)));
    if let Some(rate) = work.average(now) {
        text.push_str(&format!(" ({}/s)", size(rate)));
    }
    let saved = work.saved();
    if !saved.is_empty() {
        text.push_str(&format!(", {saved}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::sync::atomic::Ordering;

    /// A clock that only the test moves, and everything that was said.
    struct Stand {
        lines: ProgressLines,
        time: Arc<AtomicU64>,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl Stand {
        fn new() -> Self {
            let (time, said) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
            let (read, kept) = (Arc::clone(&time), Arc::clone(&said));
            let clock: Clock = Arc::new(move || Duration::from_millis(read.load(Ordering::Relaxed)));
            let sink: Sink = Arc::new(move |line| kept.lock().expect("whole").push(line.to_owned()));
            Self { lines: ProgressLines::new(clock, sink), time, said }
        }

        fn at(&self, milliseconds: u64, event: &ProgressEvent) {
            self.time.store(milliseconds, Ordering::Relaxed);
            self.lines.event(event);
        }

        fn text(&self) -> String {
            self.lines.close();
            self.said.lock().expect("whole").join("\n")
        }
    }

    fn started(stage: ProgressStage, total: u64, what: &str) -> ProgressEvent {
        ProgressEvent::Started { stage, total, what: what.to_owned() }
    }

    fn finished(stage: ProgressStage, what: &str) -> ProgressEvent {
        ProgressEvent::Finished { stage, what: what.to_owned() }
    }

    #[test]
    fn a_long_download_speaks_now_and_then() {
        let stand = Stand::new();
        stand.at(100, &started(ProgressStage::Download, 120_000_000, "92 packages"));
        for step in 1..=120 {
            stand.at(100 + step * 100, &ProgressEvent::Advanced { stage: ProgressStage::Download, by: 1_000_000 });
        }
        stand.at(12_200, &finished(ProgressStage::Download, "92 packages"));
        stand.at(12_300, &started(ProgressStage::Unpack, 120_000_000, "92 packages"));
        stand.at(12_900, &ProgressEvent::Advanced { stage: ProgressStage::Unpack, by: 120_000_000 });
        stand.at(13_000, &finished(ProgressStage::Unpack, "92 packages"));
        insta::assert_snapshot!(stand.text(), @r#"
        [  0.1 s] download 92 packages, 120.0 MB
        [  5.1 s] download 41 % of 120.0 MB, 10.0 MB/s, about 7 s left
        [ 10.1 s] download 83 % of 120.0 MB, 10.0 MB/s, about 2 s left
        [ 12.3 s] download done, 120.0 MB in 12.1 s (9.9 MB/s)
        [ 12.3 s] unpack   92 packages, 120.0 MB
        [ 13.0 s] unpack   done, 120.0 MB in 0.7 s (171.4 MB/s)
        "#);
    }

    #[test]
    fn many_short_layers_are_one_stage() {
        let stand = Stand::new();
        for layer in 0..40 {
            let what = format!("layer {layer}");
            stand.at(layer * 200, &started(ProgressStage::Compress, 1_000_000, &what));
            stand.at(layer * 200 + 150, &ProgressEvent::Advanced { stage: ProgressStage::Compress, by: 1_000_000 });
            stand.at(layer * 200 + 150, &finished(ProgressStage::Compress, &what));
        }
        insta::assert_snapshot!(stand.text(), @r#"
        [  0.0 s] compress layer 0, 1.0 MB
        [  5.0 s] compress 96 % of 26.0 MB
        [  8.0 s] compress done, 40.0 MB in 6.0 s (6.7 MB/s)
        "#);
    }
}
