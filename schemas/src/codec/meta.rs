//! `meta` between Rust and Avro. Frozen: every build writes and reads these eleven fields in this order.

use std::collections::BTreeMap;

use serde::ser::{SerializeMap, SerializeTuple};
use serde::{Deserialize, Serialize, Serializer};

use crate::{AgentId, DataError, EventId, Meta, SessionId, Source, Timestamp};

/// The attribute under which kinds newer than the first release say their name.
pub(super) const KIND_ATTRIBUTE: &str = "kind";

pub(super) struct MetaToWrite<'a> {
    pub meta: &'a Meta,
    /// The kind's name, if readers of the first release do not know it.
    pub newer_kind: Option<&'static str>,
}

impl Serialize for MetaToWrite<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let meta = self.meta;
        let mut tuple = serializer.serialize_tuple(11)?;
        tuple.serialize_element(&meta.event_id)?;
        tuple.serialize_element(&meta.session_id)?;
        tuple.serialize_element(&meta.agent_id)?;
        tuple.serialize_element(&meta.time.0)?;
        tuple.serialize_element(&meta.received.0)?;
        tuple.serialize_element(&meta.source)?;
        tuple.serialize_element(&meta.producer)?;
        tuple.serialize_element(&meta.generation)?;
        tuple.serialize_element(&meta.seq)?;
        tuple.serialize_element(&meta.cause)?;
        tuple.serialize_element(&Attributes {
            own: &meta.attributes,
            newer_kind: self.newer_kind,
        })?;
        tuple.end()
    }
}

struct Attributes<'a> {
    own: &'a BTreeMap<String, String>,
    newer_kind: Option<&'static str>,
}

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = || {
            self.own
                .iter()
                .filter(|(name, _)| self.newer_kind.is_none() || *name != KIND_ATTRIBUTE)
        };
        let mut map =
            serializer.serialize_map(Some(own().count() + usize::from(self.newer_kind.is_some())))?;
        for (name, value) in own() {
            map.serialize_entry(name, value)?;
        }
        if let Some(kind) = self.newer_kind {
            map.serialize_entry(KIND_ATTRIBUTE, kind)?;
        }
        map.end()
    }
}

/// What a writer of our own must not put into `meta`, because no reader would take it.
pub(super) fn check(meta: &Meta) -> Result<(), DataError> {
    let wrong = |field: &str, detail: &str| DataError {
        field: field.into(),
        detail: detail.into(),
    };
    if has_nul(meta) {
        return Err(wrong("producer", "may not hold NUL"));
    }
    for (field, moment) in [("time", meta.time), ("received", meta.received)] {
        if !moment.is_in_range() {
            return Err(wrong(field, "is outside the years 1 to 9999"));
        }
    }
    Ok(())
}

fn has_nul(meta: &Meta) -> bool {
    let attributes = meta.attributes.iter().flat_map(|(name, value)| [name, value]);
    // Session and agent ids have no control characters in their form.
    meta.producer
        .iter()
        .chain(attributes)
        .any(|text| text.contains('\0'))
}

/// As it is in the record: nothing checked yet.
#[derive(Deserialize)]
#[serde(rename = "Meta")]
pub(super) struct MetaRead {
    event_id: String,
    session_id: String,
    agent_id: String,
    time: i64,
    received: i64,
    source: String,
    producer: Option<String>,
    generation: Option<i64>,
    seq: Option<i64>,
    cause: Option<String>,
    attributes: BTreeMap<String, String>,
}

impl MetaRead {
    /// Foreign producers write to the log too, so every form is checked again.
    pub(super) fn checked(self) -> Result<Meta, String> {
        let moment = |name, micros| match Timestamp(micros) {
            moment if moment.is_in_range() => Ok(moment),
            _ => Err(format!("{name} is outside the years 1 to 9999")),
        };
        let meta = Meta {
            event_id: EventId::parse(&self.event_id).map_err(|e| e.0)?,
            session_id: SessionId::parse(&self.session_id).map_err(|e| e.0)?,
            agent_id: AgentId::parse(&self.agent_id).map_err(|e| e.0)?,
            time: moment("time", self.time)?,
            received: moment("received", self.received)?,
            source: Source::parse(&self.source).ok_or("source is not agent, viewer or system")?,
            producer: self.producer,
            generation: self.generation,
            seq: self.seq,
            cause: self
                .cause
                .map(|id| EventId::parse(&id))
                .transpose()
                .map_err(|e| e.0)?,
            attributes: self.attributes,
        };
        match has_nul(&meta) {
            true => Err("a string holds NUL".into()),
            false => Ok(meta),
        }
    }
}
