//! An event as Rust sees it, and its JSON as readers get it.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

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

impl Source {
    /// `agent`, `viewer` or `system`.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Agent => "agent",
            Source::Viewer => "viewer",
            Source::System => "system",
        }
    }

    /// The source of that name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "agent" => Some(Source::Agent),
            "viewer" => Some(Source::Viewer),
            "system" => Some(Source::System),
            _ => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
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
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let Event {
            meta,
            kind,
            data,
            raw,
            ..
        } = &self.event;
        let data = data.get().as_bytes();
        out.reserve(data.len() + raw.as_ref().map_or(0, String::len) + 400);
        out.extend_from_slice(b"{\"position\":");
        write_integer(out, self.position);
        out.extend_from_slice(b",\"id\":\"");
        write_id(out, meta.event_id);
        // The alphabet of a session id needs no escapes in JSON.
        out.extend_from_slice(b"\",\"session\":\"");
        out.extend_from_slice(meta.session_id.as_str().as_bytes());
        out.extend_from_slice(b"\",\"agent\":");
        write_string(out, meta.agent_id.as_str());
        out.extend_from_slice(b",\"time\":\"");
        out.extend_from_slice(&meta.time.format());
        out.extend_from_slice(b"\",\"received\":\"");
        out.extend_from_slice(&meta.received.format());
        out.extend_from_slice(b"\",\"source\":\"");
        out.extend_from_slice(meta.source.as_str().as_bytes());
        out.extend_from_slice(b"\",\"kind\":");
        write_string(out, kind.name());
        out.extend_from_slice(b",\"data\":");
        write_on_one_line(out, data);
        if let Some(cause) = meta.cause {
            out.extend_from_slice(b",\"cause\":\"");
            write_id(out, cause);
            out.push(b'"');
        }
        if let Some(producer) = &meta.producer {
            out.extend_from_slice(b",\"producer\":");
            write_string(out, producer);
        }
        if let Some(generation) = meta.generation {
            out.extend_from_slice(b",\"generation\":");
            write_integer(out, generation);
        }
        if let Some(seq) = meta.seq {
            out.extend_from_slice(b",\"seq\":");
            write_integer(out, seq);
        }
        if let Some(raw) = raw {
            out.extend_from_slice(b",\"raw\":");
            write_string(out, raw);
        }
        out.push(b'}');
    }
}

fn write_id(out: &mut Vec<u8>, id: EventId) {
    out.extend_from_slice(
        id.uuid()
            .hyphenated()
            .encode_lower(&mut Uuid::encode_buffer())
            .as_bytes(),
    );
}

fn write_integer(out: &mut Vec<u8>, number: i64) {
    serde_json::to_writer(out, &number).expect("writing a number to memory cannot fail");
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
}

/// NDJSON and SSE frame by lines. Within JSON a raw line end can only be white space between tokens.
fn write_on_one_line(out: &mut Vec<u8>, json: &[u8]) {
    let start = out.len();
    out.extend_from_slice(json);
    for byte in &mut out[start..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests;
