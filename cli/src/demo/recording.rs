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
use kulti_runner::sender::OutgoingEvent;

/// Longer pauses of a demo are cut.
const IDLE_CAP: Duration = Duration::from_secs(3);

/// One session, ready to be played.
#[derive(Debug)]
pub(crate) struct Recording {
    /// The agent's id.
    pub(crate) agent: String,
    /// What happened, in order.
    pub(crate) events: Vec<RecordedEvent>,
}

/// One of its events.
#[derive(Debug)]
pub(crate) struct RecordedEvent {
    /// After the session's beginning.
    pub(crate) at: Duration,
    /// A viewer's, which only a route of viewers takes.
    pub(crate) is_viewers: bool,
    pub(crate) kind: String,
    id: Option<String>,
    cause: Option<String>,
    data: Box<RawValue>,
    /// Names of producers and their counters, the adapter's line: passed on as they are.
    others: Vec<(&'static str, Box<RawValue>)>,
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
    #[serde(default)]
    producer: Option<Box<RawValue>>,
    #[serde(default)]
    generation: Option<Box<RawValue>>,
    #[serde(default)]
    seq: Option<Box<RawValue>>,
    #[serde(default)]
    raw: Option<Box<RawValue>>,
}

impl Line {
    fn source(&self) -> &str {
        self.source.as_deref().unwrap_or("agent")
    }
}

impl Recording {
    /// Reads the agent's own events; what viewers and the server added belongs to the session that was recorded.
    pub(crate) fn read(name: &str, ndjson: &str) -> anyhow::Result<Self> {
        let lines = ndjson
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        Self::of_lines(name, lines, IDLE_CAP, |line| line.source() == "agent")
    }

    /// Reads all that happened, with its pauses.
    pub(crate) fn read_whole(name: &str, events: &[Box<RawValue>]) -> anyhow::Result<Self> {
        let lines = events.iter().map(|event| event.get()).enumerate();
        Self::of_lines(name, lines, Duration::MAX, |_| true)
    }

    fn of_lines<'l>(
        name: &str,
        lines: impl Iterator<Item = (usize, &'l str)>,
        idle_cap: Duration,
        is_wanted: impl Fn(&Line) -> bool,
    ) -> anyhow::Result<Self> {
        let (mut pacer, mut at) = (Pacer::default(), Duration::ZERO);
        let mut recording = Recording {
            agent: String::new(),
            events: Vec::new(),
        };
        for (index, line) in lines {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("{name}, line {}: not an event", index + 1))?;
            if !is_wanted(&line) {
                continue;
            }
            let moment = Moment {
                time: line.time,
                received: line.received.unwrap_or(line.time),
                is_agents: line.source() == "agent",
            };
            at += pacer.step(&moment, Speed::Times(1.0), idle_cap);
            recording.push(line, at);
        }
        anyhow::ensure!(!recording.events.is_empty(), "{name} holds no events");
        Ok(recording)
    }

    fn push(&mut self, line: Line, at: Duration) {
        let is_viewers = line.source() == "viewer";
        let others = [
            ("producer", line.producer),
            ("generation", line.generation),
            ("seq", line.seq),
            ("raw", line.raw),
        ];
        self.agent = line.agent;
        self.events.push(RecordedEvent {
            at,
            is_viewers,
            kind: line.kind,
            id: line.id,
            cause: line.cause,
            data: line.data,
            others: others
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        });
    }

    /// From its first event to its last.
    pub(crate) fn length(&self) -> Duration {
        self.events.last().map(|event| event.at).unwrap_or_default()
    }
}

/// A new session made from a recording: new ids, the same bonds between them.
pub(crate) struct Rerun<'r> {
    recording: &'r Recording,
    session: String,
    /// The new id of every recorded one: an event may name one that comes after it.
    ids: HashMap<&'r str, String>,
}

impl<'r> Rerun<'r> {
    /// Under a session id of its own.
    pub(crate) fn new(recording: &'r Recording) -> Self {
        Self::named(recording, Uuid::now_v7().to_string())
    }

    /// Under this session id.
    pub(crate) fn named(recording: &'r Recording, session: String) -> Self {
        let recorded = recording.events.iter().filter_map(|event| event.id.as_deref());
        Rerun {
            recording,
            session,
            ids: recorded.map(|id| (id, Uuid::now_v7().to_string())).collect(),
        }
    }

    /// The new session's id.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    /// The event as it happens now.
    pub(crate) fn event(&self, event: &RecordedEvent, time: DateTime<Utc>) -> OutgoingEvent {
        let id = self.id(event);
        let cause = event.cause.as_deref().and_then(|cause| self.ids.get(cause));
        let mut json = self.json(&id, &event.kind, &self.data(event), time, cause);
        if !event.others.is_empty() {
            json.pop();
            for (name, value) in &event.others {
                json.push_str(&format!(",\"{name}\":{}", value.get()));
            }
            json.push('}');
        }
        OutgoingEvent { id, json }
    }

    /// The event's new id.
    pub(crate) fn id(&self, event: &RecordedEvent) -> String {
        let known = event.id.as_deref().and_then(|id| self.ids.get(id));
        known.cloned().unwrap_or_else(|| Uuid::now_v7().to_string())
    }

    /// The event's data, byte for byte but for the ids of recorded events.
    pub(crate) fn data(&self, event: &RecordedEvent) -> String {
        /// A UUID between quotes.
        const QUOTED: usize = 38;
        let (mut rest, mut data) = (event.data.get(), String::new());
        while let Some(quote) = rest.find('"') {
            let named = rest
                .get(quote + 1..quote + QUOTED - 1)
                .filter(|_| rest.as_bytes().get(quote + QUOTED - 1) == Some(&b'"'));
            let end = match named.and_then(|id| self.ids.get(id)) {
                Some(id) => {
                    data.push_str(&rest[..=quote]);
                    data.push_str(id);
                    quote + QUOTED - 1
                }
                None => {
                    data.push_str(&rest[..=quote]);
                    quote + 1
                }
            };
            rest = &rest[end..];
        }
        data.push_str(rest);
        data
    }

    /// The end of a session that is not played to its end.
    pub(crate) fn cancelled(&self, time: DateTime<Utc>) -> anyhow::Result<OutgoingEvent> {
        let id = Uuid::now_v7().to_string();
        let data = serde_json::value::to_raw_value(&json!({"reason": "cancelled"}))?;
        let json = self.json(&id, "session.ended", data.get(), time, None);
        Ok(OutgoingEvent { id, json })
    }

    fn json(&self, id: &str, kind: &str, data: &str, time: DateTime<Utc>, cause: Option<&String>) -> String {
        let mut event = json!({"id": id, "session": self.session, "agent": self.recording.agent, "kind": kind,
            "time": time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)});
        if let Some(cause) = cause {
            event["cause"] = json!(cause);
        }
        let mut text = event.to_string();
        text.pop();
        text.push_str(",\"data\":");
        text.push_str(data);
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
            let rerun = Rerun::new(&recording);
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
    fn ids_within_data_are_those_of_the_new_session() {
        let id = "01a1fb99-70d8-7778-bc66-4c9df322dc39";
        let other = "01a1fb99-70d8-7778-bc66-4c9df322dc40";
        let lines = format!(
            r#"{{"id":"{other}","agent":"n","time":"2026-01-01T00:00:00Z","kind":"marker","data":{{"label":"\"x","at":"{id}","of":"{id}s"}}}}
{{"id":"{id}","agent":"n","time":"2026-01-01T00:00:00Z","kind":"thought","data":{{"content":"c"}}}}"#
        );
        let recording = Recording::read("x", &lines).expect("a recording");
        let rerun = Rerun::new(&recording);
        let new = rerun.id(&recording.events[1]);
        assert_ne!(new, id);
        assert_eq!(
            rerun.data(&recording.events[0]),
            format!(r#"{{"label":"\"x","at":"{new}","of":"{id}s"}}"#)
        );
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
