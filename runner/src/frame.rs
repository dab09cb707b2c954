//! What all events of a run have in common, and how one is written.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::spool::Place;

/// Whose events they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The session.
    pub session: String,
    /// The agent.
    pub agent: String,
    /// Names the run to the server, the same in all its generations.
    pub producer: String,
}

#[derive(Serialize)]
struct Line<'a> {
    id: Uuid,
    session: &'a str,
    agent: &'a str,
    time: String,
    kind: &'a str,
    data: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    producer: &'a str,
    generation: u32,
    seq: u64,
}

/// What one event says, besides whose it is.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The event's id.
    pub id: Uuid,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// Its kind.
    pub kind: &'a str,
    /// The kind's data: an object.
    pub data: &'a Value,
    /// The event that it answers.
    pub cause: Option<Uuid>,
    /// The line that it comes from, where something in it was not mapped.
    pub raw: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// Something that answers nothing and comes from no line.
    pub fn at(time: DateTime<Utc>, id: Uuid, kind: &'a str, data: &'a Value) -> Self {
        Said {
            id,
            time,
            kind,
            data,
            cause: None,
            raw: None,
        }
    }
}

impl Frame {
    /// The event as it is sent, on one line.
    pub fn event(&self, place: Place, said: &Said<'_>) -> String {
        let line = Line {
            id: said.id,
            session: &self.session,
            agent: &self.agent,
            time: said.time.to_rfc3339_opts(SecondsFormat::Micros, true),
            kind: said.kind,
            data: said.data,
            cause: said.cause,
            raw: said.raw,
            producer: &self.producer,
            generation: place.generation,
            seq: place.seq,
        };
        serde_json::to_string(&line).expect("texts and numbers are JSON")
    }
}
