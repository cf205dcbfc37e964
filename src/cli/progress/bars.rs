//! Moving bars on a terminal: one for every stage that runs, and a line with the time that is left.

use crate::cli::progress::Clock;
use crate::cli::progress::name;
use crate::cli::progress::tally::StageChange;
use crate::cli::progress::tally::Tally;
use crate::cli::table::duration;
use crate::cli::table::rough;
use crate::cli::table::shorten;
use crate::cli::table::size;
use crate::report::ProgressEvent;
use crate::report::ProgressStage;
use crate::values::shown::shown;
use indicatif::MultiProgress;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressState;
use indicatif::ProgressStyle;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

/// How often the line at the bottom moves without news, so that people see that nothing hangs.
const TICK: Duration = Duration::from_millis(250);
/// From this width on there is room to say what is worked on.
const WIDE: usize = 100;
/// Columns for what is worked on.
const WHAT: usize = 28;

/// Draws bars on standard error.
pub(super) struct Bars {
    clock: Clock,
    width: usize,
    colors: bool,
    multi: MultiProgress,
    // never locked while indicatif is called: it locks the tally itself while it draws
    tally: Arc<Mutex<Tally>>,
    drawn: Mutex<Drawn>,
}

#[derive(Default)]
struct Drawn {
    bars: BTreeMap<ProgressStage, ProgressBar>,
    bottom: Option<ProgressBar>,
    /// These stages are done, but may go on at once with the next thing.
    ended: Vec<ProgressStage>,
}

impl Bars {
    pub(super) fn new(clock: Clock, width: usize, colors: bool) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        Self { clock, width, colors, multi, tally: Arc::default(), drawn: Mutex::default() }
    }

    /// Takes one event.
    pub(super) fn event(&self, event: &ProgressEvent) {
        let now = (self.clock)();
        let taken = lock(&self.tally).take(event, now);
        let Some((stage, change)) = taken else { return };
        let (done, total) = lock(&self.tally).work(stage).map_or((0, 0), |work| (work.done, work.total));
        let mut drawn = lock(&self.drawn);
        match change {
            StageChange::Began => {
                drawn.ended.retain(|ended| *ended != stage);
                self.clear_ended(&mut drawn);
                self.bottom(&mut drawn);
                if !drawn.bars.contains_key(&stage) {
                    let bar = self.bar(stage, &drawn);
                    drawn.bars.insert(stage, bar);
                }
            }
            StageChange::Moved => (),
            StageChange::Ended => drawn.ended.push(stage),
        }
        if let Some(bar) = drawn.bars.get(&stage) {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// Runs something that writes to the terminal, with the bars out of its way.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.multi.suspend(write);
    }

    /// Takes everything from the terminal.
    pub(super) fn close(&self) {
        let mut drawn = lock(&self.drawn);
        let Drawn { bars, bottom, .. } = std::mem::take(&mut *drawn);
        for bar in bars.into_values().chain(bottom) {
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
    }

    fn clear_ended(&self, drawn: &mut Drawn) {
        for stage in std::mem::take(&mut drawn.ended) {
            if let Some(bar) = drawn.bars.remove(&stage) {
                bar.finish_and_clear();
                self.multi.remove(&bar);
            }
        }
    }

    /// Bars stand in the order of the stages, above the bottom line.
    fn bar(&self, stage: ProgressStage, drawn: &Drawn) -> ProgressBar {
        let position = drawn.bars.range(..stage).count();
        let bar = self.multi.insert(position, ProgressBar::no_length());
        let paint = if self.colors { ".cyan/dim" } else { "" };
        let template = format!("{{prefix:>9}} {{wide_bar:{paint}}} {{numbers}}");
        let (tally, clock, wide) = (Arc::clone(&self.tally), Arc::clone(&self.clock), self.width >= WIDE);
        let numbers = move |_: &ProgressState, out: &mut dyn Write| {
            let _infallible = out.write_str(&numbers(&lock(&tally), stage, clock(), wide));
        };
        bar.set_style(style(&template).progress_chars("━━╌").with_key("numbers", numbers));
        bar.set_prefix(name(stage));
        bar
    }

    fn bottom(&self, drawn: &mut Drawn) {
        if drawn.bottom.is_some() {
            return;
        }
        let bar = self.multi.add(ProgressBar::no_length());
        let (tally, clock, wide) = (Arc::clone(&self.tally), Arc::clone(&self.clock), self.width >= WIDE);
        let total = move |_: &ProgressState, out: &mut dyn Write| {
            let _infallible = out.write_str(&total(&lock(&tally), clock(), wide));
        };
        bar.set_style(style("{prefix:>9} {spinner} {total}").with_key("total", total));
        bar.set_prefix("total");
        bar.enable_steady_tick(TICK);
        drawn.bottom = Some(bar);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Returns the text to the right of a bar, always equally wide so that the bar does not jump.
fn numbers(tally: &Tally, stage: ProgressStage, now: Duration, wide: bool) -> String {
    let Some(work) = tally.work(stage) else { return String::new() };
    let rate = work.rate(now).map(|rate| format!("{}/s", size(rate))).unwrap_or_default();
    let mut text = format!("{:>3} % {:>8} {rate:>10}", work.percent(), size(work.total));
    if wide {
        let what = shorten(&shown(work.what()), WHAT);
        let blanks = WHAT.saturating_sub(crate::cli::table::columns_of(&what));
        text.push_str(&format!("  {what}{}", " ".repeat(blanks)));
    }
    text
}

/// Returns the line at the bottom.
fn total(tally: &Tally, now: Duration, wide: bool) -> String {
    let mut text = duration(now);
    if let Some(left) = tally.left(now) {
        text.push_str(&format!(", about {} left", rough(left)));
    }
    let saved = tally.saved();
    if wide && !saved.is_empty() {
        text.push_str(&format!(", {saved}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(what: &str) -> Tally {
        let mut tally = Tally::default();
        let (stage, total) = (ProgressStage::Download, 812_000_000);
        tally.take(&ProgressEvent::Started { stage, total, what: what.to_owned() }, Duration::ZERO);
        tally.take(&ProgressEvent::Advanced { stage, by: 123_400_000 }, Duration::from_secs(10));
        tally
    }

    #[test]
    fn numbers_are_always_equally_wide() {
        let at = Duration::from_secs(10);
        let narrow = numbers(&tally("x"), ProgressStage::Download, at, false);
        assert_eq!(narrow, " 15 % 812.0 MB  12.3 MB/s");
        for what in ["", "a", "päckchen 1.2.3 amd64", &"long".repeat(30), "漢字".repeat(20).as_str()] {
            let wide = numbers(&tally(what), ProgressStage::Download, at, true);
            assert_eq!(crate::cli::table::columns_of(&wide), narrow.len() + 2 + WHAT, "{wide}");
        }
    }

    #[test]
    fn the_bottom_line_tells_the_time_left() {
        assert_eq!(total(&tally("x"), Duration::from_secs(10), true), "10.0 s, about 56 s left");
        assert_eq!(total(&Tally::default(), Duration::from_secs(100), true), "1 min 40 s");
    }

    /// Many threads at once, with warnings in between, end without a deadlock.
    #[test]
    fn threads_do_not_lock_each_other_out() {
        let bars = Bars::new(Arc::new(|| Duration::from_secs(1)), 80, false);
        std::thread::scope(|scope| {
            for stage in [ProgressStage::Index, ProgressStage::Download, ProgressStage::Unpack, ProgressStage::Compress]
            {
                let bars = &bars;
                scope.spawn(move || {
                    for round in 0..50 {
                        let what = round.to_string();
                        bars.event(&ProgressEvent::Started { stage, total: 10, what: what.clone() });
                        bars.event(&ProgressEvent::Advanced { stage, by: 10 });
                        bars.suspend(|| ());
                        bars.event(&ProgressEvent::Finished { stage, what });
                    }
                });
            }
        });
        bars.close();
    }
}
