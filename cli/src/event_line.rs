//! An event as readers get it: its exact bytes, and the few fields that a client must understand.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::pacing::Moment;

/// One event's JSON, exactly as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventLine {
    /// The session.
    pub(crate) session: String,
    /// Its number in the session.
    pub(crate) position: i64,
    /// Its id.
    pub(crate) id: String,
    /// The bytes.
    pub(crate) json: String,
}

/// The fields of an event that is shown.
#[derive(Debug, Deserialize)]
pub(crate) struct EventView<'a> {
    pub(crate) time: DateTime<Utc>,
    pub(crate) received: DateTime<Utc>,
    #[serde(borrow)]
    pub(crate) source: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) data: &'a RawValue,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow)]
    session: Cow<'a, str>,
    position: i64,
    #[serde(borrow)]
    id: Cow<'a, str>,
}

impl EventLine {
    /// Reads what must be known of an event; the rest stays as it came.
    pub(crate) fn read(json: &RawValue) -> serde_json::Result<Self> {
        let place: Place<'_> = serde_json::from_str(json.get())?;
        Ok(EventLine {
            session: place.session.into_owned(),
            position: place.position,
            id: place.id.into_owned(),
            json: json.get().to_owned(),
        })
    }

    /// The fields for showing it.
    pub(crate) fn view(&self) -> serde_json::Result<EventView<'_>> {
        serde_json::from_str(&self.json)
    }
}

impl EventView<'_> {
    /// What pacing must know.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            time: self.time,
            received: self.received,
            is_agents: self.source == "agent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_stay_exactly_as_they_came() {
        let json = r#"{"position":2,"id":"0190","session":"s","agent":"a","time":"2026-01-02T03:04:05.000006Z","received":"2026-01-02T03:04:05.1Z","source":"agent","kind":"thought","data":{"n":1.0,"content":"\u0041"}}"#;
        let raw: Box<RawValue> = serde_json::from_str(json).expect("JSON");
        let line = EventLine::read(&raw).expect("an event");
        assert_eq!(
            (line.json.as_str(), line.position, line.id.as_str()),
            (json, 2, "0190")
        );
        let view = line.view().expect("an event");
        assert_eq!(view.data.get(), r#"{"n":1.0,"content":"\u0041"}"#);
        assert!(view.moment().is_agents);
    }
}
