//! `POST /v1/sessions/{id}/redactions`.

use std::collections::HashSet;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kulti_schemas::{EventId, SessionId};
use serde::{Deserialize, Serialize};

use super::{check_reason, followed, session_for_admin, write};
use crate::ingest::{idempotency_key, read_body};
use crate::json::{JsonBody, require_json};
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::reads::at::not_in_session;
use crate::state::AppState;
use crate::store::{self, answered};

const MAX_TARGETS: usize = 10_000;

/// What is to be hidden. It never holds the secret itself.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedactionBody {
    /// 1 to 10,000.
    events: Vec<RedactionTarget>,
    /// At most 200 characters, for everybody to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// A part of an event.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedactionTarget {
    /// An event of the session.
    event: uuid::Uuid,
    /// A JSON pointer into its data; without it all of the event is hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// `[start, end)` in characters of the field's text (in bytes for base64); without them all of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    spans: Option<Vec<(u64, u64)>>,
}

/// A redaction that is in the log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RedactionAnswer {
    session: String,
    /// The redaction's own event.
    event: String,
    /// How many events it names.
    redacted: usize,
    /// The tables have followed; if not, they will.
    applied: bool,
}

/// Hides parts of events, for everybody and for good. Their positions stay.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/redactions", tag = "admin", request_body = RedactionBody,
    params(("id" = String, Path, description = "The session's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again with it, the redaction is there once")),
    responses(
        (status = 201, body = RedactionAnswer),
        (status = 401), (status = 403),
        (status = 404, description = "Not there"),
        (status = 422, description = "Something in it is not valid, or an event is not in the session"),
    ),
)]
pub(crate) async fn redact_session(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let (session, access) = session_for_admin(&state, &parts, &id).await?;
    require_json(&parts.headers)?;
    let key = idempotency_key(&parts.headers)?;
    let body = read_body(&state, &parts.headers, body).await?;
    // What is wrong with it is told without repeating it: it may be the secret.
    let redaction: RedactionBody = serde_json::from_slice(&body.bytes).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Problem::new(Code::InvalidJson, format!("the body is not a redaction: {place}"))
    })?;
    check(&state, &session, &redaction).await?;
    let event = match key {
        Some(key) => EventId::derive(&[b"redaction", key.as_bytes(), session.as_str().as_bytes()]),
        None => EventId::generate(),
    };
    write(&state, (&session, &access), "redaction", &redaction, event).await?;
    tracing::info!(session.id = session.as_str(), event.id = %event, events = redaction.events.len(), "redacted");
    let applied = followed(|| store::has_event(&state.pool, &session, event)).await;
    state.replays.ask_again();
    let answer = RedactionAnswer {
        session: session.to_string(),
        event: event.to_string(),
        redacted: redaction.events.len(),
        applied,
    };
    Ok((StatusCode::CREATED, JsonBody(answer)).into_response())
}

async fn check(state: &AppState, session: &SessionId, redaction: &RedactionBody) -> Result<(), Problem> {
    check_reason(redaction.reason.as_deref())?;
    if redaction.events.is_empty() || redaction.events.len() > MAX_TARGETS {
        let detail = format!("must name 1 to {MAX_TARGETS} events");
        return Err(Problem::field(Code::InvalidField, "events", detail));
    }
    let mut ids = HashSet::new();
    for (index, target) in redaction.events.iter().enumerate() {
        let invalid = |name: &str, rule: &str| {
            Problem::field(Code::InvalidField, format!("events[{index}].{name}"), rule)
        };
        let id = EventId::from_uuid(target.event).map_err(|_| invalid("event", "is not an event's id"))?;
        ids.insert(id);
        match (&target.field, &target.spans) {
            (Some(field), _) if !field.starts_with('/') => {
                return Err(invalid("field", "must be a JSON pointer: it begins with /"));
            }
            (None, Some(_)) => return Err(invalid("spans", "need a field")),
            (_, Some(spans)) if spans.is_empty() || spans.iter().any(|(start, end)| start >= end) => {
                return Err(invalid("spans", "must be pairs of start and a greater end"));
            }
            _ => {}
        }
    }
    let ids: Vec<EventId> = ids
        .into_iter()
        .filter(|id| !state.live.holds_event(session, *id))
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let known = answered(store::positions_of(&state.pool, session, &ids)).await?;
    if ids.iter().any(|id| !known.contains_key(id)) {
        return Err(Problem {
            code: Code::InvalidField,
            ..not_in_session("events")
        });
    }
    Ok(())
}
