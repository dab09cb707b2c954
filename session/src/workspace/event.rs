//! What the fold reads: an event at its position, as readers get it.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An event as `GET /v1/sessions/{id}/events` gives it, a line of a segment, or an item of an `events` frame. What it
/// holds besides is ignored. Borrows from the text it is read from.
#[derive(Debug, Clone, Deserialize)]
pub struct FoldEvent<'a> {
    /// Its place: 1, 2, 3, ... without holes.
    pub position: i64,
    /// The event's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// The session.
    #[serde(borrow)]
    pub session: Cow<'a, str>,
    /// Whose session it is.
    #[serde(borrow)]
    pub agent: Cow<'a, str>,
    /// The producer's clock, in microseconds since 1970.
    #[serde(deserialize_with = "micros")]
    pub time: i64,
    /// The gateway's clock at ingest, in microseconds since 1970.
    #[serde(deserialize_with = "micros")]
    pub received: i64,
    /// agent, viewer or system.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
    /// What it is.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// The kind's data, a JSON object.
    #[serde(borrow)]
    pub data: &'a RawValue,
    /// The event that caused it.
    #[serde(borrow, default)]
    pub cause: Option<Cow<'a, str>>,
    /// The producer's own name.
    #[serde(borrow, default)]
    pub producer: Option<Cow<'a, str>>,
    /// The producer's generation.
    #[serde(default)]
    pub generation: Option<i64>,
}

impl<'a> FoldEvent<'a> {
    /// Reads one event from its JSON text.
    ///
    /// # Errors
    /// When the text is not an event as readers get it; the message names the field.
    pub fn parse(json: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    pub(super) fn is_agents(&self) -> bool {
        self.source == "agent"
    }
}

/// A moment as text: RFC 3339 in UTC with microseconds.
pub(super) fn moment(micros: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(micros)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads what [`moment`] wrote, or any other RFC 3339.
pub(super) fn micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    DateTime::parse_from_rfc3339(&text)
        .map(|moment| moment.timestamp_micros())
        .map_err(serde::de::Error::custom)
}

#[cfg(feature = "log")]
mod of_log {
    use kulti_schemas::PositionedEvent;

    use super::{Cow, FoldEvent};

    /// Texts that have to be written out before an event of the log can be borrowed by the fold.
    pub struct EventTexts {
        id: String,
        cause: Option<String>,
    }

    impl EventTexts {
        /// Writes them.
        pub fn of(event: &PositionedEvent) -> Self {
            EventTexts {
                id: event.event.meta.event_id.to_string(),
                cause: event.event.meta.cause.map(|cause| cause.to_string()),
            }
        }

        /// The event for the fold, without a detour over JSON.
        pub fn event<'a>(&'a self, event: &'a PositionedEvent) -> FoldEvent<'a> {
            let meta = &event.event.meta;
            FoldEvent {
                position: event.position,
                id: Cow::Borrowed(&self.id),
                session: Cow::Borrowed(meta.session_id.as_str()),
                agent: Cow::Borrowed(meta.agent_id.as_str()),
                time: meta.time.0,
                received: meta.received.0,
                source: Cow::Borrowed(meta.source.as_str()),
                kind: Cow::Borrowed(event.event.kind.name()),
                data: &event.event.data,
                cause: self.cause.as_deref().map(Cow::Borrowed),
                producer: meta.producer.as_deref().map(Cow::Borrowed),
                generation: meta.generation,
            }
        }
    }
}

#[cfg(feature = "log")]
pub use of_log::EventTexts;
