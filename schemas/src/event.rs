//! An event as Rust sees it, and its JSON as readers get it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{AgentId, EventId, Kind, SessionId, Timestamp};

/// Who an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The agent itself, its runner or its SDK.
    Agent,
    /// A person who watches.
    Viewer,
    /// Kulti: timeouts and the like.
    System,
}

/// What every event says about itself, whatever its kind. Frozen at v1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Named by the producer; UUIDv7, or v8 where it is derived.
    pub event_id: EventId,
    /// The session, which is also the record's key.
    pub session_id: SessionId,
    /// The agent whose session it is.
    pub agent_id: AgentId,
    /// The producer's clock.
    pub time: Timestamp,
    /// The gateway's clock at ingest.
    pub received: Timestamp,
    /// Who it comes from.
    pub source: Source,
    /// The producer's own name, if it gave one.
    pub producer: Option<String>,
    /// The producer's generation: a restarted producer has a higher one.
    pub generation: Option<i64>,
    /// Number of the event per producer and generation.
    pub seq: Option<i64>,
    /// The event that caused this one.
    pub cause: Option<EventId>,
    /// For what comes later.
    pub attributes: BTreeMap<String, String>,
}

/// An event before it has a position: what is written to the log and read from it.
#[derive(Debug, Clone)]
pub struct Event {
    /// What every event has.
    pub meta: Meta,
    /// Which kind it is.
    pub kind: Kind,
    /// The kind's data, a JSON object.
    pub data: Box<RawValue>,
    /// The line an adapter read, where something in it was not mapped.
    pub raw: Option<String>,
    /// The record's bytes, only for what this build cannot decode (`Kind::Unknown`, `Kind::Unreadable`).
    pub record: Option<Bytes>,
}

/// An event at its place in its session.
#[derive(Debug, Clone)]
pub struct PositionedEvent {
    /// 1, 2, 3, ... without holes.
    pub position: i64,
    /// The session's clock at this event.
    pub clock: Timestamp,
    /// The event.
    pub event: Event,
}

impl PositionedEvent {
    /// Appends the event as readers get it: one JSON object, without a line end.
    /// The one place that renders an event, for rows, live frames and replays alike.
    pub fn write_json(&self, _out: &mut Vec<u8>) {
        todo!()
    }
}
