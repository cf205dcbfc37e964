//! One JSON object a line for every event, with the milliseconds since the command began.

use crate::cli::progress::Clock;
use crate::cli::progress::name;
use crate::report::ProgressEvent;
use crate::report::ProgressStage;
use crate::report::TransferSaving;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// Bytes done are added up over this time: downloads report every few kilobytes.
const PAUSE: Duration = Duration::from_millis(500);

/// Takes one object.
pub(super) type Objects = Box<dyn Fn(&serde_json::Value) + Send + Sync>;

/// Writes events as JSON lines.
pub(super) struct JsonLines {
    clock: Clock,
    sink: Objects,
    /// Bytes not told yet, and when some were told last.
    pending: Mutex<BTreeMap<ProgressStage, (u64, Duration)>>,
}

impl JsonLines {
    pub(super) fn new(clock: Clock, sink: Objects) -> Self {
        Self { clock, sink, pending: Mutex::default() }
    }

    /// Takes one event. Messages are the printer's.
    pub(super) fn event(&self, event: &ProgressEvent) {
        let now = (self.clock)();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            ProgressEvent::Started { stage, total, what } => {
                pending.entry(*stage).or_insert((0, now));
                self.say("started", *stage, now, &[("bytes", json!(total)), ("what", json!(what))]);
            }
            ProgressEvent::Advanced { stage, by } => {
                let (bytes, told) = pending.entry(*stage).or_insert((0, now));
                *bytes = bytes.saturating_add(*by);
                if now.saturating_sub(*told) >= PAUSE {
                    self.say("advanced", *stage, now, &[("bytes", json!(bytes))]);
                    (*bytes, *told) = (0, now);
                }
            }
            ProgressEvent::Finished { stage, what } => {
                if let Some((bytes, _)) = pending.insert(*stage, (0, now)).filter(|(bytes, _)| *bytes > 0) {
                    self.say("advanced", *stage, now, &[("bytes", json!(bytes))]);
                }
                self.say("finished", *stage, now, &[("what", json!(what))]);
            }
            ProgressEvent::Saved { stage, by, how } => {
                let how = match how {
                    TransferSaving::There => "there",
                    TransferSaving::Mounted => "mounted",
                };
                self.say("saved", *stage, now, &[("bytes", json!(by)), ("how", json!(how))]);
            }
            ProgressEvent::Detail(_)
            | ProgressEvent::Info(_)
            | ProgressEvent::Warning(_)
            | ProgressEvent::Problem(_)
            | ProgressEvent::LockWritten { .. } => (),
        }
    }

    fn say(&self, event: &str, stage: ProgressStage, now: Duration, more: &[(&str, serde_json::Value)]) {
        let elapsed = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let mut object = json!({ "event": event, "elapsed-ms": elapsed, "stage": name(stage) });
        for (key, value) in more {
            object[*key] = value.clone();
        }
        (self.sink)(&object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn one_object_an_event() {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let sink: Objects = Box::new(move |object| kept.lock().expect("whole").push(object.to_string()));
        let json = JsonLines::new(Arc::new(|| Duration::from_millis(1234)), sink);
        json.event(&ProgressEvent::Started { stage: ProgressStage::Index, total: 5, what: "a \"b\"".to_owned() });
        json.event(&ProgressEvent::Advanced { stage: ProgressStage::Index, by: 2 });
        json.event(&ProgressEvent::Advanced { stage: ProgressStage::Index, by: 3 });
        json.event(&ProgressEvent::Saved { stage: ProgressStage::Index, by: 7, how: TransferSaving::Mounted });
        json.event(&ProgressEvent::Finished { stage: ProgressStage::Index, what: "a\nb".to_owned() });
        insta::assert_snapshot!(lines.lock().expect("whole").join("\n"), @r#"
        {"event":"started","elapsed-ms":1234,"stage":"index","bytes":5,"what":"a \"b\""}
        {"event":"saved","elapsed-ms":1234,"stage":"index","bytes":7,"how":"mounted"}
        {"event":"advanced","elapsed-ms":1234,"stage":"index","bytes":5}
        {"event":"finished","elapsed-ms":1234,"stage":"index","what":"a\nb"}
        "#);
    }
}
