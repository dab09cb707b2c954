//! Events in a few words.

use std::collections::BTreeMap;

use kulti_schemas::{AgentId, Event, EventId, Kind, Meta, SessionId, Source, Timestamp};
use serde_json::{Value, json};

/// An event of this session: `event("s1").thought("hm")`.
///
/// # Panics
/// If `session` is not an id.
pub fn event(session: &str) -> EventBuilder {
    let now = Timestamp::now();
    EventBuilder {
        meta: Meta {
            event_id: EventId::generate(),
            session_id: SessionId::parse(session).expect("a session id"),
            agent_id: AgentId::parse("test-agent").expect("an agent id"),
            time: now,
            received: now,
            source: Source::Agent,
            producer: None,
            generation: None,
            seq: None,
            cause: None,
            attributes: BTreeMap::new(),
        },
    }
}

/// What an event says about itself, before its kind and data make it one.
#[derive(Debug, Clone)]
pub struct EventBuilder {
    meta: Meta,
}

impl EventBuilder {
    /// With this id instead of a fresh one.
    pub fn id(mut self, id: EventId) -> Self {
        self.meta.event_id = id;
        self
    }
    /// From this agent.
    ///
    /// # Panics
    /// If `agent` is not an id.
    pub fn agent(mut self, agent: &str) -> Self {
        self.meta.agent_id = AgentId::parse(agent).expect("an agent id");
        self
    }
    /// At this time, by the producer's clock and the gateway's.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.meta.time = time;
        self.meta.received = time;
        self
    }
    /// From a viewer or the system.
    pub fn source(mut self, source: Source) -> Self {
        self.meta.source = source;
        self
    }
    /// From a named producer.
    pub fn producer(mut self, name: &str, generation: i64, seq: i64) -> Self {
        self.meta.producer = Some(name.to_owned());
        self.meta.generation = Some(generation);
        self.meta.seq = Some(seq);
        self
    }
    /// Anything else in meta.
    pub fn meta(mut self, change: impl FnOnce(&mut Meta)) -> Self {
        change(&mut self.meta);
        self
    }
    /// Of any kind; one that this build does not know becomes `Kind::Unknown`.
    ///
    /// # Panics
    /// If `data` has no JSON text.
    pub fn kind(self, kind: &str, data: Value) -> Event {
        Event {
            meta: self.meta,
            kind: Kind::known(kind).unwrap_or_else(|| Kind::Unknown(kind.to_owned())),
            data: serde_json::value::to_raw_value(&data).expect("JSON"),
            raw: None,
            record: None,
        }
    }
    /// `session.started`.
    pub fn started(self, task: &str) -> Event {
        self.kind("session.started", json!({ "task": task }))
    }
    /// `session.ended`.
    pub fn ended(self, reason: &str) -> Event {
        self.kind("session.ended", json!({ "reason": reason }))
    }
    /// `thought`.
    pub fn thought(self, content: &str) -> Event {
        self.kind("thought", json!({ "content": content }))
    }
    /// `terminal.command`.
    pub fn command(self, command: &str) -> Event {
        self.kind("terminal.command", json!({ "command": command }))
    }
    /// `terminal.output`.
    pub fn output(self, text: &str) -> Event {
        self.kind("terminal.output", json!({ "text": text }))
    }
}
