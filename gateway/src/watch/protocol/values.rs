//! The forms of a place and of a pace.

use std::time::Duration;

use kulti_schemas::EventId;
use serde_json::{Map, Value};

use super::{BadMessage, bad};
use crate::live::{From, Pace};
use crate::reads::at::{At, FORMS};

/// The slowest and the fastest speed beside `max`.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.1..=64.0;
/// The shortest and the longest deadline in seconds.
const DEADLINES: std::ops::RangeInclusive<f64> = 1.0..=3600.0;

/// `"live"`, `"start"`, or an object with one of position (and the id of the event there), time, marker and event.
pub(crate) fn parse_from(name: &str, value: &Value) -> Result<From, BadMessage> {
    match value {
        Value::String(text) if text == "live" => Ok(From::Live),
        Value::String(text) if text == "start" => Ok(From::Start),
        Value::Object(place) => parse_place(name, place),
        _ => Err(none_of_them(name)),
    }
}

fn none_of_them(name: &str) -> BadMessage {
    bad(format!(
        "{name} is \"live\", \"start\", {{\"position\": p}}, {{\"time\": t}}, {{\"marker\": id}} or {{\"event\": id}}"
    ))
}

fn parse_place(name: &str, place: &Map<String, Value>) -> Result<From, BadMessage> {
    let id = |field: &str, value: &Value| {
        EventId::parse(value.as_str().unwrap_or_default())
            .map_err(|error| bad(format!("{name}.{field}: {error}")))
    };
    if let Some(position) = place.get("position") {
        let position = position.as_i64().filter(|position| *position >= 0);
        let position = position.ok_or_else(|| bad(format!("{name}.position is a number from 0 on")))?;
        let there = place.get("id").filter(|id| !id.is_null());
        let there = there.map(|there| id("id", there)).transpose()?;
        return Ok(From::Position(position, there));
    }
    if let Some(time) = place.get("time") {
        let text = match time {
            Value::Number(seconds) => seconds.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        let at = At::parse_time(&text)
            .ok_or_else(|| bad(format!("{name}.time is seconds since the start (90), or {FORMS}")))?;
        return Ok(From::Moment(at));
    }
    for field in ["marker", "event"] {
        if let Some(value) = place.get(field) {
            return Ok(From::Moment(At::Event(id(field, value)?)));
        }
    }
    Err(none_of_them(name))
}

/// A number, `"max"`, or an object with `deadline_s`.
pub(crate) fn parse_pace(value: &Value) -> Result<Pace, BadMessage> {
    let wrong =
        || bad("speed is a number from 0.1 to 64, \"max\", or {\"deadline_s\": seconds from 1 to 3600}");
    let within = |value: &Value, range: std::ops::RangeInclusive<f64>| {
        value.as_f64().filter(|number| range.contains(number))
    };
    match value {
        Value::String(text) if text == "max" => Ok(Pace::Max),
        Value::Number(_) => within(value, SPEEDS).map(Pace::Speed).ok_or_else(wrong),
        Value::Object(fields) => {
            let deadline = fields
                .get("deadline_s")
                .and_then(|value| within(value, DEADLINES));
            deadline
                .map(|seconds| Pace::Deadline(Duration::from_secs_f64(seconds)))
                .ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}
