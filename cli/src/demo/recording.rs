//! A recorded session, as `GET /v1/sessions/{id}/events` and `kulti replay --json` give it, one event per line.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::pacing::{Moment, Pacer, Speed};
use crate::sender::OutgoingEvent;

/// Longer pauses are cut.
const IDLE_CAP: Duration = Duration::from_secs(3);

/// One session, ready to be played.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The agent's id.
    pub(crate) agent: String,
    /// What the agent did, in order.
    pub(crate) events: Vec<RecordedEvent>,
}

/// One of its events.
#[derive(Debug)]
pub(crate) struct RecordedEvent {
    /// After the session's beginning.
    pub(crate) at: Duration,
    id: Option<String>,
    cause: Option<String>,
    kind: String,
    data: Box<RawValue>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    id: Option<String>,
    agent: String,
    time: DateTime<Utc>,
    #[serde(default)]
    received: Option<DateTime<Utc>>,
    #[serde(default)]
    source: Option<String>,
    kind: String,
    data: Box<RawValue>,
    #[serde(default)]
    cause: Option<String>,
}

impl Recording {
    /// Reads the agent's own events; what viewers and the server added belongs to the session that was recorded.
    pub(crate) fn read(name: &str, ndjson: &str) -> anyhow::Result<Self> {
        let (mut pacer, mut at) = (Pacer::default(), Duration::ZERO);
        let mut recording = Recording {
            agent: String::new(),
            events: Vec::new(),
        };
        for (index, line) in ndjson
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("{name}, line {}: not an event", index + 1))?;
            if line.source.as_deref().is_some_and(|source| source != "agent") {
                continue;
            }
            let received = line.received.unwrap_or(line.time);
            let moment = Moment {
                time: line.time,
                received,
                is_agents: true,
            };
            at += pacer.step(&moment, Speed::Times(1.0), IDLE_CAP);
            let Line {
                id,
                agent,
                kind,
                data,
                cause,
                ..
            } = line;
            recording.agent = agent;
            recording.events.push(RecordedEvent {
                at,
                id,
                cause,
                kind,
                data,
            });
        }
        anyhow::ensure!(!recording.events.is_empty(), "{name} holds no events");
        Ok(recording)
    }
}

/// A new session made from a recording: new ids, the same bonds between them.
pub(crate) struct Rerun<'r> {
    recording: &'r Recording,
    session: String,
    ids: HashMap<&'r str, String>,
}

impl<'r> Rerun<'r> {
    /// Under a session id of its own.
    pub(crate) fn new(recording: &'r Recording) -> Self {
        Rerun {
            recording,
            session: Uuid::now_v7().to_string(),
            ids: HashMap::new(),
        }
    }

    /// The new session's id.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    /// The event as it happens now.
    pub(crate) fn event(&mut self, event: &'r RecordedEvent, time: DateTime<Utc>) -> OutgoingEvent {
        let id = Uuid::now_v7().to_string();
        let cause = event.cause.as_deref().and_then(|cause| self.ids.get(cause));
        let json = self.json(&id, &event.kind, &event.data, time, cause);
        if let Some(recorded) = &event.id {
            self.ids.insert(recorded, id.clone());
        }
        OutgoingEvent { id, json }
    }

    /// The end of a session that is not played to its end.
    pub(crate) fn cancelled(&self, time: DateTime<Utc>) -> anyhow::Result<OutgoingEvent> {
        let id = Uuid::now_v7().to_string();
        let data = serde_json::value::to_raw_value(&json!({"reason": "cancelled"}))?;
        let json = self.json(&id, "session.ended", &data, time, None);
        Ok(OutgoingEvent { id, json })
    }

    /// `data` is passed on byte for byte.
    fn json(
        &self,
        id: &str,
        kind: &str,
        data: &RawValue,
        time: DateTime<Utc>,
        cause: Option<&String>,
    ) -> String {
        let mut event = json!({"id": id, "session": self.session, "agent": self.recording.agent, "kind": kind,
            "time": time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)});
        if let Some(cause) = cause {
            event["cause"] = json!(cause);
        }
        let mut text = event.to_string();
        text.pop();
        text.push_str(",\"data\":");
        text.push_str(data.get());
        text.push('}');
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const LINES: &str = r#"{"position":1,"id":"a","session":"s","agent":"nex","time":"2026-01-01T00:00:00Z","received":"2026-01-01T00:00:00Z","source":"agent","kind":"session.started","data":{"task":"t"}}
{"position":2,"id":"b","session":"s","agent":"nex","time":"2026-01-01T00:00:01Z","received":"2026-01-01T00:00:01Z","source":"viewer","kind":"chat","data":{"text":"hi"}}

{"position":3,"id":"c","session":"s","agent":"nex","time":"2026-01-01T00:01:00Z","received":"2026-01-01T00:01:00Z","source":"agent","kind":"thought","data":{"content":"n","n":1.0},"cause":"a"}
"#;

    #[test]
    fn the_agents_events_keep_their_pace_and_idle_time_is_cut() {
        let recording = Recording::read("x", LINES).expect("a recording");
        let at: Vec<u64> = recording.events.iter().map(|event| event.at.as_secs()).collect();
        assert_eq!((recording.agent.as_str(), at), ("nex", vec![0, 3]));
    }

    #[test]
    fn every_run_is_a_new_session_with_new_ids_and_the_same_bonds() {
        let recording = Recording::read("x", LINES).expect("a recording");
        let run = || {
            let mut rerun = Rerun::new(&recording);
            let events: Vec<Value> = recording
                .events
                .iter()
                .map(|event| serde_json::from_str(&rerun.event(event, Utc::now()).json).expect("JSON"))
                .collect();
            assert_eq!(events[0]["session"], *rerun.session());
            assert_eq!(events[1]["cause"], events[0]["id"]);
            assert_ne!(events[1]["id"], "c");
            events[0]["session"].clone()
        };
        assert_ne!(run(), run());
    }

    #[test]
    fn data_is_passed_on_byte_for_byte() {
        let recording = Recording::read("x", LINES).expect("a recording");
        let json = Rerun::new(&recording)
            .event(&recording.events[1], Utc::now())
            .json;
        assert!(json.ends_with(r#","data":{"content":"n","n":1.0}}"#), "{json}");
    }

    #[test]
    fn a_broken_recording_is_named_with_its_line() {
        let error = Recording::read("mine", "\n{}").expect_err("broken");
        assert!(error.to_string().starts_with("mine, line 2"), "{error}");
        assert!(Recording::read("mine", "").is_err());
    }

    #[test]
    fn the_examples_can_be_played() {
        for (name, ndjson) in super::super::EXAMPLES {
            let recording = Recording::read(name, ndjson).expect("a recording");
            assert_eq!(recording.events[0].kind, "session.started", "{name}");
            assert_eq!(
                recording.events.last().expect("an end").kind,
                "session.ended",
                "{name}"
            );
        }
    }
}
