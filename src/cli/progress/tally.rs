//! How far each stage is, how fast, and how long it will take.

use crate::cli::table::size;
use crate::report::ProgressEvent;
use crate::report::ProgressStage;
use crate::report::TransferSaving;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

/// The rate is that of the last few seconds.
const WINDOW: Duration = Duration::from_secs(6);
/// Time between two samples for the rate.
const SAMPLE: Duration = Duration::from_millis(500);

/// How far all stages are.
#[derive(Debug, Default)]
pub(super) struct Tally {
    stages: BTreeMap<ProgressStage, StageWork>,
}

/// How far one stage is.
#[derive(Debug, Default)]
pub(super) struct StageWork {
    /// Bytes announced.
    pub(super) total: u64,
    /// Bytes done.
    pub(super) done: u64,
    /// Things that are worked on.
    running: Vec<String>,
    /// Time spent while something ran, without the run that goes on.
    spent: Duration,
    /// When the run that goes on began.
    begun: Duration,
    samples: VecDeque<(Duration, u64)>,
    /// What needed not to be moved.
    saved: Saved,
}

/// Things that needed not to be moved.
#[derive(Debug, Clone, Copy, Default)]
struct Saved {
    bytes: u64,
    there: usize,
    mounted: usize,
}

/// What an event meant for its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StageChange {
    /// It runs, and did not before.
    Began,
    /// It goes on.
    Moved,
    /// Nothing of it runs any more.
    Ended,
}

impl Tally {
    /// Takes an event; none of the stages may be meant.
    pub(super) fn take(&mut self, event: &ProgressEvent, now: Duration) -> Option<(ProgressStage, StageChange)> {
        match event {
            ProgressEvent::Started { stage, total, what } => {
                let work = self.stages.entry(*stage).or_default();
                let began = work.running.is_empty();
                work.total = work.total.saturating_add(*total);
                work.running.push(what.clone());
                if began {
                    work.begun = now;
                    work.samples = VecDeque::from([(now, work.done)]);
                }
                Some((*stage, if began { StageChange::Began } else { StageChange::Moved }))
            }
            ProgressEvent::Advanced { stage, by } => {
                let work = self.stages.entry(*stage).or_default();
                work.done = work.done.saturating_add(*by);
                // stages may do more than they announced, say when a download starts anew
                work.total = work.total.max(work.done);
                work.sample(now);
                Some((*stage, StageChange::Moved))
            }
            ProgressEvent::Finished { stage, what } => {
                let work = self.stages.entry(*stage).or_default();
                let position = work.running.iter().position(|running| running == what)?;
                work.running.remove(position);
                if !work.running.is_empty() {
                    return Some((*stage, StageChange::Moved));
                }
                work.spent += now.saturating_sub(work.begun);
                Some((*stage, StageChange::Ended))
            }
            ProgressEvent::Saved { stage, by, how } => {
                let work = self.stages.entry(*stage).or_default();
                work.saved.bytes = work.saved.bytes.saturating_add(*by);
                match how {
                    TransferSaving::There => work.saved.there += 1,
                    TransferSaving::Mounted => {
                        work.saved.mounted += 1;
                        work.total = work.total.saturating_sub(*by).max(work.done);
                    }
                }
                work.is_running().then_some((*stage, StageChange::Moved))
            }
            ProgressEvent::Detail(_)
            | ProgressEvent::Info(_)
            | ProgressEvent::Warning(_)
            | ProgressEvent::Problem(_)
            | ProgressEvent::LockWritten { .. } => None,
        }
    }

    /// Returns how far a stage is.
    pub(super) fn work(&self, stage: ProgressStage) -> Option<&StageWork> {
        self.stages.get(&stage)
    }

    /// Says what needed not to be moved; empty when that is nothing.
    pub(super) fn saved(&self) -> String {
        self.stages.values().map(StageWork::saved).find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// Returns the time until everything that was announced is done, where a rate is known.
    pub(super) fn left(&self, now: Duration) -> Option<Duration> {
        self.stages.values().filter(|work| work.is_running()).filter_map(|work| work.left(now)).max()
    }
}

impl StageWork {
    /// Tells whether something of this stage is worked on.
    pub(super) fn is_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Returns what is worked on: the one that began last.
    pub(super) fn what(&self) -> &str {
        self.running.last().map_or("", String::as_str)
    }

    /// Returns the time that this stage took so far.
    pub(super) fn took(&self, now: Duration) -> Duration {
        if self.is_running() { self.spent + now.saturating_sub(self.begun) } else { self.spent }
    }

    /// Returns bytes a second over the last seconds.
    pub(super) fn rate(&self, now: Duration) -> Option<u64> {
        let (then, done) = self.samples.front()?;
        per_second(self.done - done, now.saturating_sub(*then))
    }

    /// Returns bytes a second over the whole time.
    pub(super) fn average(&self, now: Duration) -> Option<u64> {
        per_second(self.done, self.took(now))
    }

    /// Returns whole percent, rounded down.
    pub(super) fn percent(&self) -> u64 {
        let percent = u128::from(self.done) * 100 / u128::from(self.total.max(1));
        u64::try_from(percent).unwrap_or(100).min(100)
    }

    /// Says what needed not to be moved; empty when that is nothing.
    pub(super) fn saved(&self) -> String {
        match self.saved {
            Saved { there: 0, mounted: 0, .. } => String::new(),
            Saved { bytes, there, mounted } => format!("{} saved: {there} there, {mounted} mounted", size(bytes)),
        }
    }

    fn left(&self, now: Duration) -> Option<Duration> {
        let rate = self.rate(now).filter(|rate| *rate > 0)?;
        Some(Duration::from_secs((self.total - self.done).div_ceil(rate)))
    }

    fn sample(&mut self, now: Duration) {
        let last = self.samples.back().map_or(Duration::ZERO, |(then, _)| *then);
        if now.saturating_sub(last) >= SAMPLE {
            self.samples.push_back((now, self.done));
        }
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(then, _)| now.saturating_sub(*then) > WINDOW)
        {
            self.samples.pop_front();
        }
    }
}

/// Too short a time gives no rate worth showing.
fn per_second(bytes: u64, time: Duration) -> Option<u64> {
    let milliseconds = time.as_millis();
    let rate = (milliseconds >= 100).then(|| u128::from(bytes) * 1000 / milliseconds)?;
    u64::try_from(rate).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOWNLOAD: ProgressStage = ProgressStage::Download;

    fn started(total: u64, what: &str) -> ProgressEvent {
        ProgressEvent::Started { stage: DOWNLOAD, total, what: what.to_owned() }
    }

    fn finished(what: &str) -> ProgressEvent {
        ProgressEvent::Finished { stage: DOWNLOAD, what: what.to_owned() }
    }

    #[test]
    fn totals_add_up() {
        let mut tally = Tally::default();
        let at = Duration::from_secs;
        assert_eq!(tally.take(&started(100, "a"), at(0)), Some((DOWNLOAD, StageChange::Began)));
        assert_eq!(tally.take(&started(300, "b"), at(1)), Some((DOWNLOAD, StageChange::Moved)));
        assert_eq!(
            tally.take(&ProgressEvent::Advanced { stage: DOWNLOAD, by: 100 }, at(2)),
            Some((DOWNLOAD, StageChange::Moved))
        );
        let work = tally.work(DOWNLOAD).expect("began");
        assert_eq!((work.total, work.done, work.percent(), work.what()), (400, 100, 25, "b"));
        assert_eq!((work.rate(at(2)), tally.left(at(2))), (Some(50), Some(at(6))));
        assert_eq!(tally.take(&finished("a"), at(3)), Some((DOWNLOAD, StageChange::Moved)));
        assert_eq!(tally.take(&finished("unknown"), at(3)), None);
        assert_eq!(tally.take(&finished("b"), at(4)), Some((DOWNLOAD, StageChange::Ended)));
        assert_eq!(tally.take(&started(600, "c"), at(10)), Some((DOWNLOAD, StageChange::Began)));
        let work = tally.work(DOWNLOAD).expect("began");
        assert_eq!((work.total, work.took(at(11))), (1000, at(5)));
        assert_eq!(tally.left(at(10)), None);
    }

    #[test]
    fn what_is_mounted_is_not_sent() {
        let mut tally = Tally::default();
        assert_eq!(tally.saved(), "");
        tally.take(&started(100, "a"), Duration::ZERO);
        tally.take(&started(300, "b"), Duration::ZERO);
        tally.take(&ProgressEvent::Saved { stage: DOWNLOAD, by: 5000, how: TransferSaving::There }, Duration::ZERO);
        tally.take(&ProgressEvent::Saved { stage: DOWNLOAD, by: 300, how: TransferSaving::Mounted }, Duration::ZERO);
        let work = tally.work(DOWNLOAD).expect("began");
        assert_eq!((work.total, work.done, tally.saved().as_str()), (100, 0, "5.3 kB saved: 1 there, 1 mounted"));
    }

    #[test]
    fn nothing_and_too_much_are_no_trouble() {
        let mut tally = Tally::default();
        assert_eq!(tally.take(&finished("x"), Duration::ZERO), None);
        tally.take(&ProgressEvent::Advanced { stage: DOWNLOAD, by: u64::MAX }, Duration::ZERO);
        tally.take(&ProgressEvent::Advanced { stage: DOWNLOAD, by: 1 }, Duration::from_secs(1));
        tally.take(&started(u64::MAX, "a"), Duration::from_secs(2));
        let work = tally.work(DOWNLOAD).expect("began");
        assert_eq!((work.percent(), work.rate(Duration::ZERO)), (100, None));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut tally = Tally::default();
        tally.take(&started(1_000_000, "a"), Duration::ZERO);
        for second in 1..=60 {
            let by = if second <= 30 { 10_000 } else { 100 };
            tally.take(&ProgressEvent::Advanced { stage: DOWNLOAD, by }, Duration::from_secs(second));
        }
        let work = tally.work(DOWNLOAD).expect("began");
        assert_eq!(work.rate(Duration::from_secs(60)), Some(100));
        assert_eq!(work.average(Duration::from_secs(60)), Some((300_000 + 3_000) / 60));
    }
}
