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
    producer: &'a str,
    generation: u32,
    seq: u64,
}

impl Frame {
    /// The event as it is sent, on one line.
    pub fn event(&self, id: Uuid, place: Place, time: DateTime<Utc>, kind: &str, data: &Value) -> String {
        let line = Line {
            id,
            session: &self.session,
            agent: &self.agent,
            time: time.to_rfc3339_opts(SecondsFormat::Micros, true),
            kind,
            data,
            producer: &self.producer,
            generation: place.generation,
            seq: place.seq,
        };
        serde_json::to_string(&line).expect("texts and numbers are JSON")
    }
}
