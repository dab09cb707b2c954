//! The trace of terminal output that a full spool let go: one `error` event, code `spool_full`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::record::{Place, Record, Weight};
use crate::frame::{Frame, Said};

/// The code of the `error` event.
const CODE: &str = "spool_full";

/// Which output went: whole events, of one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Loss {
    #[serde(skip)]
    generation: u32,
    /// When the first of it was printed: a later time would move the session's clock for all that follows.
    #[serde(skip)]
    time: DateTime<Utc>,
    first_seq: u64,
    last_seq: u64,
    events: u64,
    bytes: u64,
}

impl Loss {
    /// Of this one event.
    pub(super) fn of(output: &Record) -> Self {
        Loss {
            generation: output.place.generation,
            time: time_of(output.id),
            first_seq: output.place.seq,
            last_seq: output.place.seq,
            events: 1,
            bytes: u64::from(output.output_bytes),
        }
    }

    /// What an earlier trace says.
    pub(super) fn read(record: &Record) -> Option<Self> {
        let event: Value = serde_json::from_str(&record.json).ok()?;
        let loss: Loss = serde_json::from_value(event.get("data")?.clone()).ok()?;
        Some(Loss {
            generation: record.place.generation,
            time: event.get("time")?.as_str()?.parse().ok()?,
            ..loss
        })
    }

    /// Both, of which `later` comes later, unless it is in here already. Two generations do not mix.
    pub(super) fn with(self, later: Loss) -> Option<Loss> {
        if self.generation != later.generation {
            return None;
        }
        if later.first_seq <= self.last_seq {
            return Some(self);
        }
        Some(Loss {
            last_seq: later.last_seq,
            events: self.events + later.events,
            bytes: self.bytes + later.bytes,
            ..self
        })
    }

    /// The event, at the place of the first that it stands for.
    ///
    /// Its id is new each time it is written: an earlier trace may have been sent by a process that was killed
    /// before it noted that, and under the same id a longer one would be taken for a copy.
    pub(super) fn record(&self, frame: &Frame) -> Record {
        let place = Place {
            generation: self.generation,
            seq: self.first_seq,
        };
        let mut data = json!({
            "message": format!(
                "the spool was full: {} bytes of terminal output are missing here ({} events, sequence {} to {})",
                self.bytes, self.events, self.first_seq, self.last_seq
            ),
            "code": CODE,
        });
        if let (Some(data), Ok(Value::Object(loss))) = (data.as_object_mut(), serde_json::to_value(self)) {
            data.extend(loss);
        }
        let id = Uuid::now_v7();
        Record {
            place,
            weight: Weight::Loss,
            output_bytes: u32::try_from(self.bytes).unwrap_or(u32::MAX),
            id,
            json: frame.event(place, &Said::at(self.time, id, "error", &data)),
        }
    }
}

/// When an event was made, as its id (a UUIDv7) has it.
fn time_of(id: Uuid) -> DateTime<Utc> {
    let made = id.get_timestamp().map(|timestamp| timestamp.to_unix());
    let (seconds, nanos) = made.unwrap_or_default();
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, nanos))
        .unwrap_or_else(Utc::now)
}
