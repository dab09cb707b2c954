//! What an admin decides about a session that is there: hide parts of it, or erase it. Each is an event in the log;
//! the tables and everybody who watches follow it.

pub(crate) mod erase;
pub(crate) mod redact;

use std::time::Duration;

use axum::http::request::Parts;
use kulti_schemas::{AgentId, Event, EventId, Kind, Meta, SessionId, Source, Timestamp};
use serde_json::value::RawValue;

use crate::access;
use crate::ingest;
use crate::problem::{Code, Problem};
use crate::reads::visible_session;
use crate::state::AppState;
use crate::store::SessionAccess;

const MAX_REASON_CHARACTERS: usize = 200;
/// How long an answer waits for the tables to follow.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The session, for an admin.
async fn session_for_admin(
    state: &AppState,
    parts: &Parts,
    id: &str,
) -> Result<(SessionId, SessionAccess), Problem> {
    access::admin(state, &parts.headers, &parts.extensions).await?;
    let reader = access::reader(state, &parts.headers, &parts.extensions)
        .await?
        .of_admin();
    visible_session(state, &reader, id).await
}

/// Writes the event to the log.
async fn write(
    state: &AppState,
    (session, access): (&SessionId, &SessionAccess),
    kind: &'static str,
    data: &impl serde::Serialize,
    id: EventId,
) -> Result<(), Problem> {
    let internal = |_| Problem::new(Code::Internal, "what was decided could not be written down");
    let agent_id = AgentId::parse(&access.agent)
        .map_err(|_| Problem::new(Code::Internal, "the session's agent has no valid id"))?;
    let now = Timestamp::now();
    let data: Box<RawValue> = serde_json::value::to_raw_value(data).map_err(internal)?;
    let meta = Meta {
        event_id: id,
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
    let event = Event {
        meta,
        kind: Kind::Known(kind),
        data,
        raw: None,
        record: None,
    };
    ingest::write_of_admin(state, event).await.map(drop)
}

fn check_reason(reason: Option<&str>) -> Result<(), Problem> {
    let Some(reason) = reason else { return Ok(()) };
    if reason.chars().count() > MAX_REASON_CHARACTERS || reason.chars().any(char::is_control) {
        let detail = format!("must have at most {MAX_REASON_CHARACTERS} characters, none of them control");
        return Err(Problem::field(Code::InvalidField, "reason", detail));
    }
    Ok(())
}

/// Waits until the tables have followed the log; false if that takes too long.
async fn followed<F>(has: impl Fn() -> F) -> bool
where
    F: Future<Output = Result<bool, sqlx::Error>>,
{
    let looking = async {
        while !has().await.unwrap_or(false) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(FOLLOWS_WITHIN, looking).await.is_ok()
}
