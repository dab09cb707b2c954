//! `at=`: every way to name a moment of a session, and the position that it is.
//!
//! A moment is the last event at or before it by the session's clock; position 0 is before the first event.
//! Whatever the form and however long the session, the answer costs a handful of look-ups by key.

use chrono::TimeDelta;
use kulti_schemas::{EventId, SessionId, Timestamp};
use serde::Deserialize;
use sqlx::PgPool;

use super::parameters::Parameters;
use crate::problem::{Code, Problem};
use crate::store::{self, FoundEvent, answered};

/// What a moment may be called, for those who called it otherwise.
pub(crate) const FORMS: &str = "a position (1234), a time since the start (90s, 12m30s, 1:02:03), a time of day \
     (2026-01-31T12:00:00Z), the id of an event, marker or clip, or live";

/// A moment as somebody named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// As far as the session has come.
    Live,
    /// After this event.
    Position(i64),
    /// So long after the session's first event.
    Since(TimeDelta),
    /// By the session's clock.
    Time(Timestamp),
    /// At an event; at what a marker points to; at the beginning of a clip.
    Event(EventId),
}

/// A moment as a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The last event at or before it; 0 if there is none.
    pub(crate) position: i64,
    /// Where it ends, if it is a clip.
    pub(crate) until: Option<i64>,
}

impl At {
    /// Reads any form; `None` for what is none of them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "live" {
            return Some(At::Live);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number that is too large for a position is after the last one all the same.
            return Some(At::Position(text.parse().unwrap_or(i64::MAX)));
        }
        if let Some(since) = parse_since(text) {
            return Some(At::Since(since));
        }
        if let Ok(id) = EventId::parse(text) {
            return Some(At::Event(id));
        }
        parse_time(text).map(At::Time)
    }

    /// The moment that a query names with `at`, or with `t`, for which bare digits are seconds; live if neither
    /// is there.
    pub(crate) fn of(parameters: &Parameters) -> Result<Self, Problem> {
        match At::named(parameters, "at")? {
            Some(at) => Ok(at),
            None => match parameters.text("t") {
                None => Ok(At::Live),
                Some(text) => At::parse_time(text).ok_or_else(|| not_a_moment("t")),
            },
        }
    }

    /// Reads any form, where bare digits are seconds since the start.
    pub(crate) fn parse_time(text: &str) -> Option<Self> {
        let since = parse_since(text).or_else(|| parse_seconds(text));
        since.map(At::Since).or_else(|| At::parse(text))
    }

    /// The moment that a query names with this parameter.
    pub(crate) fn named(parameters: &Parameters, name: &str) -> Result<Option<Self>, Problem> {
        let parse = |text: &str| At::parse(text).ok_or_else(|| not_a_moment(name));
        parameters.text(name).map(parse).transpose()
    }
}

/// The problem of a parameter that should name a moment and does not.
pub(crate) fn not_a_moment(name: &str) -> Problem {
    Problem::field(Code::InvalidParameter, name, format!("`{name}` must be {FORMS}"))
}

/// Finds the position. The caller has made sure that the reader may see the session.
///
/// # Errors
/// 404 for an id that is not in this session.
pub(crate) async fn resolve(pool: &PgPool, session: &SessionId, at: At) -> Result<Moment, Problem> {
    let position = match at {
        At::Live => answered(store::last_position(pool, session)).await?,
        At::Position(position) => answered(store::last_position(pool, session))
            .await?
            .map(|last| position.min(last)),
        At::Time(time) => answered(store::position_at_clock(pool, session, time)).await?,
        At::Since(since) => answered(store::position_since_start(pool, session, since)).await?,
        At::Event(id) => return resolve_event(pool, session, id).await,
    };
    match position {
        Some(position) => Ok(Moment {
            position,
            until: None,
        }),
        None => Err(Problem::not_found()),
    }
}

/// What a marker, a clip or a message points to; each may be anything in data that an older build wrote.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Pointers {
    at: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

async fn resolve_event(pool: &PgPool, session: &SessionId, id: EventId) -> Result<Moment, Problem> {
    let found = answered(store::find_event(pool, session, id))
        .await?
        .ok_or_else(|| not_in_session("at"))?;
    let FoundEvent { position, kind, data } = found;
    let pointers = match kind.as_str() {
        "marker" | "clip" => serde_json::from_str(&data).unwrap_or_default(),
        _ => Pointers::default(),
    };
    let id_of = |text: Option<String>| text.and_then(|text| EventId::parse(&text).ok());
    let (from, to) = match kind.as_str() {
        "clip" => (id_of(pointers.from), id_of(pointers.to)),
        _ => (id_of(pointers.at), None),
    };
    let named: Vec<EventId> = [from, to].into_iter().flatten().collect();
    if named.is_empty() {
        return Ok(Moment {
            position,
            until: None,
        });
    }
    let positions = answered(store::positions_of(pool, session, &named)).await?;
    let position_of = |id: Option<EventId>| id.and_then(|id| positions.get(&id).copied());
    // What it points to may be gone with a log that was cut; what is left is the event itself.
    let from = position_of(from).unwrap_or(position);
    Ok(Moment {
        position: from,
        until: (kind == "clip").then(|| position_of(to).unwrap_or(position).max(from)),
    })
}

/// The problem of an id that names nothing here.
pub(crate) fn not_in_session(name: &str) -> Problem {
    Problem::field(
        Code::NotFound,
        name,
        format!("`{name}` names an event that is not in this session"),
    )
}

/// `90s`, `12m30s`, `1h`, `2m1.5s`, `1:02:03`, `02:03.5`.
fn parse_since(text: &str) -> Option<TimeDelta> {
    if text.contains(':') {
        return parse_clock_face(text);
    }
    let mut rest = text;
    let mut total = TimeDelta::zero();
    for (unit, seconds) in [('h', 3600.0), ('m', 60.0), ('s', 1.0)] {
        if let Some((number, after)) = rest.split_once(unit) {
            total = total.checked_add(&duration(number, seconds)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

fn parse_clock_face(text: &str) -> Option<TimeDelta> {
    let parts: Vec<&str> = text.split(':').collect();
    let (seconds, larger) = parts.split_last()?;
    let mut total = duration(seconds, 1.0)?;
    let is_short = |part: &str| part.split('.').next().is_some_and(|whole| whole.len() <= 2);
    if !is_short(seconds) || larger.is_empty() || larger.len() > 2 {
        return None;
    }
    for (part, unit) in larger.iter().rev().zip([60.0, 3600.0]) {
        if part.contains('.') {
            return None;
        }
        total = total.checked_add(&duration(part, unit)?)?;
    }
    Some(total)
}

fn parse_seconds(text: &str) -> Option<TimeDelta> {
    duration(text, 1.0)
}

/// A plain decimal number of a unit of so many seconds.
fn duration(number: &str, unit_seconds: f64) -> Option<TimeDelta> {
    let is_decimal = number.bytes().any(|byte| byte.is_ascii_digit())
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let micros = is_decimal.then(|| number.parse::<f64>().ok()).flatten()? * unit_seconds * 1e6;
    // A century is longer than any session; beyond it Postgres' intervals and ours part ways.
    const CENTURY_MICROS: f64 = 100.0 * 366.0 * 86_400.0 * 1e6;
    Some(TimeDelta::microseconds(micros.min(CENTURY_MICROS).round() as i64))
}

/// RFC 3339. In a query a `+` that was not escaped arrives as a space.
fn parse_time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| {
        let (before, zone) = text.rsplit_once(' ')?;
        Timestamp::parse(&format!("{before}+{zone}"))
    })
}

#[cfg(test)]
mod tests;
