//! Spans of a command: one for each stage, and below it one for each thing that the stage worked on.

use crate::cli::progress::name;
use crate::report::ProgressEvent;
use crate::report::ProgressStage;
use crate::values::cover;
use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

/// Most spans of things; an update of a thousand images must not become a request of many megabytes.
const MOST: usize = 4096;
/// Most warnings that are kept.
const WARNINGS: usize = 64;

/// Names a span within its trace; never all zero (W3C Trace Context).
pub(super) type SpanId = [u8; 8];

/// Returns random bytes that are not all zero; none when the machine has none.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    bytes.iter().any(|byte| *byte != 0).then_some(bytes)
}

/// What is known about a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Attribute {
    Text(String),
    Number(u64),
    Flag(bool),
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    /// One of few names: what differs is in the attributes, so that collectors can count.
    pub(super) name: String,
    /// Since 1970.
    pub(super) begun: Duration,
    /// Since 1970.
    pub(super) ended: Duration,
    pub(super) attributes: Vec<(&'static str, Attribute)>,
    /// Warnings with their times.
    pub(super) warnings: Vec<(Duration, String)>,
    /// Why it failed.
    pub(super) error: Option<String>,
}

impl Span {
    pub(super) fn new(id: SpanId, parent: Option<SpanId>, name: &str, begun: Duration) -> Self {
        let (attributes, warnings) = (Vec::new(), Vec::new());
        Self { id, parent, name: name.to_owned(), begun, ended: begun, attributes, warnings, error: None }
    }

    /// Ends it before it was done; that is an error only where the command failed.
    fn cut(&mut self, now: Duration, failed: bool) {
        self.ended = now;
        self.attributes.push(("sockel.unfinished", Attribute::Flag(true)));
        self.error = failed.then(|| "not finished".to_owned());
    }
}

/// A stage, from its first event to its last.
#[derive(Debug)]
struct SpanWork {
    span: Span,
    total: u64,
    done: u64,
    /// What runs, by its text; two things may have the same.
    open: BTreeMap<String, VecDeque<Span>>,
    /// Things that run, also those that have no span.
    running: usize,
}

/// The spans of a command, all below one.
#[derive(Debug, Default)]
pub(super) struct Spans {
    root: SpanId,
    stages: BTreeMap<ProgressStage, SpanWork>,
    finished: Vec<Span>,
    warnings: Vec<(Duration, String)>,
    /// Things that have a span.
    count: usize,
    /// Things that have none.
    left_out: u64,
}

impl Spans {
    pub(super) fn new(root: SpanId) -> Self {
        Self { root, ..Self::default() }
    }

    /// Takes one event; information is for people alone.
    pub(super) fn take(&mut self, event: &ProgressEvent, now: Duration) {
        match event {
            ProgressEvent::Started { stage, total, what } => self.start(*stage, *total, what, now),
            ProgressEvent::Advanced { stage, by } => {
                if let Some(work) = self.stages.get_mut(stage) {
                    work.done = work.done.saturating_add(*by);
                    work.span.ended = now;
                }
            }
            ProgressEvent::Finished { stage, what } => self.end(*stage, what, now),
            ProgressEvent::Warning(text) if self.warnings.len() < WARNINGS => self.warnings.push((now, cover(text))),
            ProgressEvent::Saved { .. }
            | ProgressEvent::Warning(_)
            | ProgressEvent::Detail(_)
            | ProgressEvent::Info(_)
            | ProgressEvent::Problem(_)
            | ProgressEvent::LockWritten { .. } => (),
        }
    }

    fn start(&mut self, stage: ProgressStage, total: u64, what: &str, now: Duration) {
        if !self.stages.contains_key(&stage) {
            let Some(id) = random() else { return };
            let span = Span::new(id, Some(self.root), name(stage), now);
            self.stages.insert(stage, SpanWork { span, total: 0, done: 0, open: BTreeMap::new(), running: 0 });
        }
        let Some(work) = self.stages.get_mut(&stage) else { return };
        work.total = work.total.saturating_add(total);
        work.running += 1;
        work.span.ended = now;
        let Some(id) = random().filter(|_| self.count < MOST) else {
            self.left_out += 1;
            return;
        };
        self.count += 1;
        let mut span = Span::new(id, Some(work.span.id), thing(stage), now);
        span.attributes.push(("sockel.what", Attribute::Text(cover(what))));
        span.attributes.push(("sockel.bytes", Attribute::Number(total)));
        work.open.entry(what.to_owned()).or_default().push_back(span);
    }

    fn end(&mut self, stage: ProgressStage, what: &str, now: Duration) {
        let Some(work) = self.stages.get_mut(&stage) else { return };
        work.running = work.running.saturating_sub(1);
        work.span.ended = now;
        let Some(same) = work.open.get_mut(what) else { return };
        if let Some(mut span) = same.pop_front() {
            span.ended = now;
            self.finished.push(span);
        }
        if same.is_empty() {
            work.open.remove(what);
        }
    }

    /// Returns all spans: the command's, the stages', the things' in the order of their ends.
    pub(super) fn finish(self, mut root: Span, now: Duration) -> Vec<Span> {
        let failed = root.error.is_some();
        root.warnings = self.warnings;
        if self.left_out > 0 {
            root.attributes.push(("sockel.spans.left-out", Attribute::Number(self.left_out)));
        }
        let (mut spans, mut things) = (vec![root], self.finished);
        for mut work in self.stages.into_values() {
            work.span.attributes.push(("sockel.bytes", Attribute::Number(work.total)));
            work.span.attributes.push(("sockel.bytes.done", Attribute::Number(work.done)));
            if work.running > 0 {
                work.span.cut(now, failed);
            }
            spans.push(work.span);
            for mut span in work.open.into_values().flatten() {
                span.cut(now, failed);
                things.push(span);
            }
        }
        spans.append(&mut things);
        spans
    }
}

/// Returns the name of the work on one thing of a stage.
fn thing(stage: ProgressStage) -> &'static str {
    match stage {
        ProgressStage::Index => "read index",
        ProgressStage::Download => "download file",
        ProgressStage::Unpack => "unpack packages",
        ProgressStage::Compress => "write layer",
        ProgressStage::Upload => "send blob",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: SpanId = [1; 8];

    fn started(stage: ProgressStage, total: u64, what: &str) -> ProgressEvent {
        ProgressEvent::Started { stage, total, what: what.to_owned() }
    }

    fn finished(stage: ProgressStage, what: &str) -> ProgressEvent {
        ProgressEvent::Finished { stage, what: what.to_owned() }
    }

    /// Takes one event a second, and ends a second after the last.
    fn spans(events: &[ProgressEvent], error: Option<&str>) -> Vec<Span> {
        let mut spans = Spans::new(ROOT);
        for (second, event) in (1..).zip(events) {
            spans.take(event, Duration::from_secs(second));
        }
        let mut root = Span::new(ROOT, None, "sockel test", Duration::ZERO);
        root.error = error.map(str::to_owned);
        spans.finish(root, Duration::from_secs(events.len() as u64 + 1))
    }

    /// Returns name, name of the parent, begin, end and error.
    fn short(spans: &[Span]) -> Vec<String> {
        let parent = |span: &Span| spans.iter().find(|other| Some(other.id) == span.parent);
        let line = |span: &Span| {
            let parent = parent(span).map_or("-", |parent| parent.name.as_str());
            let (begun, ended) = (span.begun.as_secs(), span.ended.as_secs());
            format!("{} < {parent} {begun}..{ended} {}", span.name, span.error.as_deref().unwrap_or("good"))
        };
        spans.iter().map(line).collect()
    }

    #[test]
    fn stages_and_things_nest() {
        let all = spans(
            &[
                started(ProgressStage::Download, 10, "a"),
                started(ProgressStage::Download, 20, "a"),
                ProgressEvent::Advanced { stage: ProgressStage::Download, by: 30 },
                finished(ProgressStage::Download, "a"),
                finished(ProgressStage::Download, "a"),
                started(ProgressStage::Compress, 5, "l"),
                ProgressEvent::Warning("see https://u:secret@h/x".to_owned()),
                finished(ProgressStage::Compress, "l"),
            ],
            None,
        );
        let expected = [
            "sockel test < - 0..0 good",
            "download < sockel test 1..5 good",
            "compress < sockel test 6..8 good",
            "download file < download 1..4 good",
            "download file < download 2..5 good",
            "write layer < compress 6..8 good",
        ];
        assert_eq!(short(&all), expected);
        assert_eq!(all[1].attributes[1], ("sockel.bytes.done", Attribute::Number(30)));
        assert_eq!(all[0].warnings, [(Duration::from_secs(7), "see https://********@h/x".to_owned())]);
        let ids: std::collections::BTreeSet<SpanId> = all.iter().map(|span| span.id).collect();
        assert_eq!(ids.len(), all.len());
    }

    #[test]
    fn what_a_failure_cuts_off_is_failed() {
        let events = [
            started(ProgressStage::Upload, 1, "a"),
            started(ProgressStage::Upload, 1, "b"),
            finished(ProgressStage::Upload, "b"),
        ];
        let lines = short(&spans(&events, Some("cannot")));
        let expected = [
            "sockel test < - 0..0 cannot",
            "upload < sockel test 1..4 not finished",
            "send blob < upload 2..3 good",
            "send blob < upload 1..4 not finished",
        ];
        assert_eq!(lines, expected);
        assert!(short(&spans(&events, None)).iter().all(|line| line.ends_with("good")));
    }

    #[test]
    fn unknown_ends_and_crowds_are_no_trouble() {
        let stage = ProgressStage::Index;
        let stray =
            [finished(stage, "x"), ProgressEvent::Advanced { stage, by: 1 }, ProgressEvent::Info("x".to_owned())];
        assert_eq!(spans(&stray, None).len(), 1);
        let crowd: Vec<ProgressEvent> =
            (0..MOST + 5).map(|number| started(stage, u64::MAX, &number.to_string())).collect();
        let all = spans(&crowd, None);
        assert_eq!(all.len(), MOST + 2);
        assert_eq!(all[0].attributes, [("sockel.spans.left-out", Attribute::Number(5))]);
    }
}
