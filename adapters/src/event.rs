//! An event that an adapter made, ready to be masked and sent.

use kulti_schemas::{AgentId, EventId, SessionId, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

/// An event as `POST /v1/events` takes it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ImportedEvent {
    /// Derived from the session and the record that it comes from (UUIDv8): the same whenever that is read.
    pub id: EventId,
    /// The session.
    pub session: SessionId,
    /// The agent.
    pub agent: AgentId,
    /// When it happened; absent where the source tells no time at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// One of the kinds of docs/events.md.
    pub kind: &'static str,
    /// The kind's data.
    pub data: Map<String, Value>,
    /// The first event of the record that this one answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<EventId>,
    /// The line, where something in it was not mapped. On the first event of its record only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}

impl ImportedEvent {
    /// The event's JSON on one line.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("names are strings, so that writing to memory cannot fail")
    }
}
