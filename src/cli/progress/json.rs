//! One JSON object a line for every event, with the milliseconds since the command began.

use crate::cli::progress::Clock;
use crate::cli::progress::name;
use crate::report::Event;
use crate::report::Saving;
use crate::report::Stage;
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
    pending: Mutex<BTreeMap<Stage, (u64, Duration)>>,
}

impl JsonLines {
    pub(super) fn new(clock: Clock, sink: Objects) -> Self {
        Self { clock, sink, pending: Mutex::default() }
    }

    /// Takes one event. Messages are the printer's.
    pub(super) fn event(&self, event: &Event) {
        let now = (self.clock)();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { stage, total, what } => {
                pending.entry(*stage).or_insert((0, now));
                self.say("started", *stage, now, &[("bytes", json!(total)), ("what", json!(what))]);
            }
            Event::Advanced { stage, by } => {
                let (bytes, told) = pending.entry(*stage).or_insert((0, now));
                *bytes = bytes.saturating_add(*by);
                if now.saturating_sub(*told) >= PAUSE {
                    self.say("advanced", *stage, now, &[("bytes", json!(bytes))]);
                    (*bytes, *told) = (0, now);
                }
            }
            Event::Finished { stage, what } => {
                if let Some((bytes, _)) = pending.insert(*stage, (0, now)).filter(|(bytes, _)| *bytes > 0) {
                    self.say("advanced", *stage, now, &[("bytes", json!(bytes))]);
                }
                self.say("finished", *stage, now, &[("what", json!(what))]);
            }
            Event::Saved { stage, by, how } => {
                let how = match how {
                    Saving::There => "there",
                    Saving::Mounted => "mounted",
                };
                self.say("saved", *stage, now, &[("bytes", json!(by)), ("how", json!(how))]);
            }
            Event::Detail(_) | Event::Info(_) | Event::Warning(_) | Event::Problem(_) | Event::LockWritten { .. } => (),
        }
    }

    fn say(&self, event: &str, stage: Stage, now: Duration, more: &[(&str, serde_json::Value)]) {
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
        json.event(&Event::Started { stage: Stage::Index, total: 5, what: "a \"b\"".to_owned() });
        json.event(&Event::Advanced { stage: Stage::Index, by: 2 });
        json.event(&Event::Advanced { stage: Stage::Index, by: 3 });
        json.event(&Event::Saved { stage: Stage::Index, by: 7, how: Saving::Mounted });
        json.event(&Event::Finished { stage: Stage::Index, what: "a\nb".to_owned() });
        insta::assert_snapshot!(lines.lock().expect("whole").join("\n"), @r#"
        {"event":"started","elapsed-ms":1234,"stage":"index","bytes":5,"what":"a \"b\""}
        {"event":"saved","elapsed-ms":1234,"stage":"index","bytes":7,"how":"mounted"}
        {"event":"advanced","elapsed-ms":1234,"stage":"index","bytes":5}
        {"event":"finished","elapsed-ms":1234,"stage":"index","what":"a\nb"}
        "#);
    }
}
