//! What viewers add to a session: chat, markers, clips. Each is an event in the log like any other.
//!
//! The routes are in `routes`; the watch socket calls `write` too. Who may speak is for `access::viewer` to say, who
//! may see the session for `reads::visible_session`.

mod body;
pub(crate) mod routes;

use kulti_schemas::{AgentId, Event, EventId, Kind, Meta, SessionId, Source, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::access::Viewer;
use crate::ingest;
use crate::problem::{Code, Problem};
use crate::reads::at::not_in_session;
use crate::state::AppState;
use crate::store::{self, SessionAccess, answered};

const MAX_CHAT_CHARACTERS: usize = 4_000;
const MAX_LABEL_CHARACTERS: usize = 200;
const MAX_NAME_CHARACTERS: usize = 64;
/// An id that a viewer made is taken if it names a moment this near: ids far ahead would make every later event of
/// the session one that must be looked up.
const ID_MAY_BE_AHEAD_MICROS: i64 = 5 * 60 * 1_000_000;
const ID_MAY_BE_OLD_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Something a viewer says about a session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Remark {
    /// To the agent and to everybody.
    Chat {
        text: String,
        /// What the viewer is called.
        name: Option<String>,
        /// The event that was being looked at.
        at: Option<EventId>,
        reply_to: Option<EventId>,
    },
    /// A moment with a name.
    Marker {
        label: String,
        level: Option<Value>,
        /// The moment; without it, where the session has come to.
        at: Option<EventId>,
    },
    /// A part of the session.
    Clip {
        title: Option<String>,
        from: EventId,
        to: EventId,
    },
}

/// How the event that comes of a remark gets its id.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RemarkId<'a> {
    /// A fresh one.
    New,
    /// The viewer made it.
    Given(EventId),
    /// The same for the same key, so that a request that is sent again is one event.
    Idempotent(&'a str),
}

/// Writes a remark to the log. The caller has made sure that the viewer may see the session.
///
/// # Errors
/// If something in it is not valid, an event that it names is not in the session, the viewer says too much, or the
/// log does not acknowledge.
pub(crate) async fn write(
    state: &AppState,
    viewer: &Viewer,
    (session, access): (&SessionId, &SessionAccess),
    remark: Remark,
    id: RemarkId<'_>,
) -> Result<EventId, Problem> {
    if !state.producer.is_available() {
        return Err(Problem::log_unavailable());
    }
    let now = Timestamp::now();
    let event_id = event_id(viewer, session, &remark, id, now)?;
    remark.check()?;
    check_pointers(state, session, &remark).await?;
    let agent_id = AgentId::parse(&access.agent)
        .map_err(|_| Problem::new(Code::Internal, "the session's agent has no valid id"))?;
    let meta = Meta {
        event_id,
        session_id: session.clone(),
        agent_id,
        time: now,
        received: now,
        source: Source::Viewer,
        producer: None,
        generation: None,
        seq: None,
        cause: None,
        attributes: Default::default(),
    };
    let mut event = Event {
        meta,
        kind: Kind::Known(remark.kind()),
        data: remark.data()?,
        raw: None,
        record: None,
    };
    state.masking.mask_event(&mut event);
    ingest::write_of_viewer(state, viewer, event).await
}

impl Remark {
    fn kind(&self) -> &'static str {
        match self {
            Remark::Chat { .. } => "chat",
            Remark::Marker { .. } => "marker",
            Remark::Clip { .. } => "clip",
        }
    }

    /// Lengths, and no control characters where there is one line.
    fn check(&self) -> Result<(), Problem> {
        match self {
            Remark::Chat { text, name, .. } => {
                check_text("text", text, MAX_CHAT_CHARACTERS, &['\n', '\r', '\t'])?;
                let name = name.as_deref();
                name.map_or(Ok(()), |name| check_text("name", name, MAX_NAME_CHARACTERS, &[]))
            }
            Remark::Marker { label, level, .. } => {
                check_text("label", label, MAX_LABEL_CHARACTERS, &[])?;
                match level {
                    None | Some(Value::Number(_)) => Ok(()),
                    Some(Value::String(level)) => check_text("level", level, MAX_NAME_CHARACTERS, &[]),
                    Some(_) => Err(invalid("level", "must be a number or a word")),
                }
            }
            Remark::Clip { title, .. } => {
                let title = title.as_deref();
                title.map_or(Ok(()), |title| {
                    check_text("title", title, MAX_LABEL_CHARACTERS, &[])
                })
            }
        }
    }

    fn data(&self) -> Result<Box<RawValue>, Problem> {
        let mut data = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                data.insert(name.to_owned(), value);
            }
        };
        let id = |id: &EventId| Value::from(id.to_string());
        match self {
            Remark::Chat {
                text,
                name,
                at,
                reply_to,
            } => {
                put("text", Some(text.as_str().into()));
                put("name", name.as_deref().map(Value::from));
                put("at", at.as_ref().map(id));
                put("reply_to", reply_to.as_ref().map(id));
            }
            Remark::Marker { label, level, at } => {
                put("label", Some(label.as_str().into()));
                put("level", level.clone());
                put("at", at.as_ref().map(id));
            }
            Remark::Clip { title, from, to } => {
                put("title", title.as_deref().map(Value::from));
                put("from", Some(id(from)));
                put("to", Some(id(to)));
            }
        }
        serde_json::value::to_raw_value(&data)
            .map_err(|_| Problem::new(Code::Internal, "what was said could not be written down"))
    }
}

fn event_id(
    viewer: &Viewer,
    session: &SessionId,
    remark: &Remark,
    id: RemarkId<'_>,
    now: Timestamp,
) -> Result<EventId, Problem> {
    match id {
        RemarkId::New => Ok(EventId::generate()),
        RemarkId::Idempotent(key) => Ok(EventId::derive(&[
            b"viewer",
            viewer.quota_name().as_bytes(),
            remark.kind().as_bytes(),
            key.as_bytes(),
            session.as_str().as_bytes(),
        ])),
        RemarkId::Given(id) => {
            let (seconds, nanos) = id
                .uuid()
                .get_timestamp()
                .map_or((0, 0), |timestamp| timestamp.to_unix());
            let micros = i64::try_from(seconds).unwrap_or(0) * 1_000_000 + i64::from(nanos) / 1_000;
            let near = now.0 - ID_MAY_BE_OLD_MICROS..now.0 + ID_MAY_BE_AHEAD_MICROS;
            if near.contains(&micros) {
                return Ok(id);
            }
            Err(Problem::field(
                Code::InvalidId,
                "id",
                "must be a UUIDv7 that was made today, by a clock that is right",
            ))
        }
    }
}

/// Events that were shown to viewers a moment ago may not be rows yet.
async fn check_pointers(state: &AppState, session: &SessionId, remark: &Remark) -> Result<(), Problem> {
    let pointers = match remark {
        Remark::Chat { at, reply_to, .. } => [("at", *at), ("reply_to", *reply_to)],
        Remark::Marker { at, .. } => [("at", *at), ("", None)],
        Remark::Clip { from, to, .. } => [("from", Some(*from)), ("to", Some(*to))],
    };
    let mut pending = Vec::new();
    for (field, id) in pointers {
        let Some(id) = id else { continue };
        if !state.live.holds_event(session, id) {
            pending.push((field, id));
        }
    }
    if pending.is_empty() {
        return Ok(());
    }
    let ids: Vec<EventId> = pending.iter().map(|(_, id)| *id).collect();
    let known = answered(store::positions_of(&state.pool, session, &ids)).await?;
    match pending.iter().find(|(_, id)| !known.contains_key(id)) {
        None => Ok(()),
        Some((field, _)) => Err(Problem {
            code: Code::InvalidField,
            ..not_in_session(field)
        }),
    }
}

fn check_text(field: &str, text: &str, most: usize, allowed: &[char]) -> Result<(), Problem> {
    if text.trim().is_empty() {
        return Err(invalid(field, "must not be empty"));
    }
    if text.chars().count() > most {
        return Err(invalid(field, &format!("must have at most {most} characters")));
    }
    if text
        .chars()
        .any(|character| character.is_control() && !allowed.contains(&character))
    {
        return Err(invalid(field, "must not hold control characters"));
    }
    Ok(())
}

fn invalid(field: &str, rule: &str) -> Problem {
    Problem::field(Code::InvalidField, field, format!("`{field}` {rule}"))
}
