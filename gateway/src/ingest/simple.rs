//! The simple API: `POST`, `PATCH` and `DELETE /api/agent/stream`, and `POST /`.
//!
//! A request says what an agent does; `mapping` says which events that is. The agent's session is a pointer in
//! `control`, so it does not matter which gateway hears of the agent.

mod mapping;
mod write;

pub(crate) use self::write::SimpleMemory;

use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kulti_schemas::{AgentId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use self::mapping::SimpleRequest;
use self::write::{write_end, write_request};
use super::body::read_body;
use super::event::ItemContext;
use super::{idempotency_key, refuse_early};
use crate::access::{self, Writer};
use crate::control::{self, AgentSession};
use crate::json::{JsonBody, require_json};
use crate::links::{base_url, watch_url};
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store::answered;

/// What the simple API answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SimpleAnswer {
    success: bool,
    session_id: String,
    watch_url: String,
    /// What was sent and not understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// Whose session to end.
#[derive(Debug, Default, Deserialize)]
struct EndTarget {
    #[serde(rename = "agentId")]
    agent_id: Option<String>,
}

/// Starts the agent's session, or updates the live one.
#[utoipa::path(
    post, path = "/api/agent/stream", tag = "simple",
    request_body(content = serde_json::Value, description = "`agentId`, and whatever is to be shown"),
    responses((status = 200, body = SimpleAnswer), (status = 201, body = SimpleAnswer, description = "A new session")),
)]
pub(crate) async fn start_stream(State(state): State<AppState>, request: Request) -> Response {
    respond(write_stream(&state, request).await)
}

/// Adds what the agent does to its live session, and starts one if there is none.
#[utoipa::path(
    patch, path = "/api/agent/stream", tag = "simple",
    request_body(content = serde_json::Value, description = "`agentId`, and whatever is to be shown"),
    responses((status = 200, body = SimpleAnswer), (status = 201, body = SimpleAnswer, description = "A new session")),
)]
pub(crate) async fn update_stream(State(state): State<AppState>, request: Request) -> Response {
    respond(write_stream(&state, request).await)
}

/// Ends the agent's live session.
#[utoipa::path(
    delete, path = "/api/agent/stream", tag = "simple",
    params(("agentId" = Option<String>, Query, description = "Here, or in a JSON body")),
    responses((status = 200, body = SimpleAnswer), (status = 404, description = "The agent has no live session")),
)]
pub(crate) async fn end_stream(State(state): State<AppState>, request: Request) -> Response {
    respond(end_session(&state, request).await)
}

fn respond(result: Result<(StatusCode, SimpleAnswer), Problem>) -> Response {
    match result {
        Ok((status, answer)) => (status, JsonBody(answer)).into_response(),
        Err(problem) => problem.into_simple_response(),
    }
}

async fn write_stream(state: &AppState, request: Request) -> Result<(StatusCode, SimpleAnswer), Problem> {
    let (parts, body) = request.into_parts();
    let writer = access::writer(state, &parts.headers, &parts.extensions).await?;
    require_json(&parts.headers)?;
    let idempotency_key = idempotency_key(&parts.headers)?;
    refuse_early(state, &writer).await?;
    let body = read_body(state, &parts.headers, body).await?;
    let request = SimpleRequest::parse(&body.bytes)?;
    check_agent(&writer, &request.agent)?;

    let fresh = SessionId::generate();
    let taken = answered(control::take_session(
        &state.pool,
        &request.agent,
        writer.key_id(),
        &fresh,
    ))
    .await?;
    let context = ItemContext {
        received: Timestamp::now(),
        idempotency_key,
        only_agent: writer.only_agent(),
    };
    let written = write_request(state, &writer, &request, (&taken, &context)).await;
    if let Err(failure) = written {
        if taken.is_new && failure.is_nothing_written {
            // The next request starts the session properly.
            forget(state, &request.agent, &writer, &taken).await;
        }
        return Err(failure.problem);
    }
    let status = if taken.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((
        status,
        answer(
            state,
            &parts.headers,
            &request.agent,
            (taken.session, request.warnings),
        ),
    ))
}

async fn end_session(state: &AppState, request: Request) -> Result<(StatusCode, SimpleAnswer), Problem> {
    let (parts, body) = request.into_parts();
    let writer = access::writer(state, &parts.headers, &parts.extensions).await?;
    refuse_early(state, &writer).await?;
    let body = read_body(state, &parts.headers, body).await?;
    let agent = end_target(&parts, &body.bytes)?;
    check_agent(&writer, &agent)?;
    let no_session = || Problem::new(Code::NotFound, format!("{} has no live session", agent.as_str()));
    let key_id = writer.key_id();
    let session = answered(control::current_session(&state.pool, &agent, key_id))
        .await?
        .ok_or_else(no_session)?;
    let taken = AgentSession {
        session,
        is_new: false,
    };
    // Of several who end it at the same moment one writes the event.
    if answered(control::drop_session(&state.pool, &agent, key_id, &taken.session)).await? {
        let context = ItemContext {
            received: Timestamp::now(),
            idempotency_key: idempotency_key(&parts.headers)?,
            only_agent: writer.only_agent(),
        };
        if let Err(failure) = write_end(state, &writer, &agent, (&taken, &context)).await {
            answered(control::restore_session(
                &state.pool,
                &agent,
                key_id,
                &taken.session,
            ))
            .await?;
            return Err(failure.problem);
        }
    }
    Ok((
        StatusCode::OK,
        answer(state, &parts.headers, &agent, (taken.session, Vec::new())),
    ))
}

fn end_target(parts: &Parts, body: &[u8]) -> Result<AgentId, Problem> {
    let invalid = |error: &dyn std::fmt::Display| Problem::new(Code::InvalidJson, error.to_string());
    let in_query = Query::<EndTarget>::try_from_uri(&parts.uri).map(|Query(target)| target.agent_id);
    let agent = match in_query.map_err(|error| Problem::new(Code::InvalidParameter, error.to_string()))? {
        Some(agent) => Some(agent),
        None if body.is_empty() => None,
        None => {
            require_json(&parts.headers)?;
            serde_json::from_slice::<EndTarget>(body)
                .map_err(|error| invalid(&error))?
                .agent_id
        }
    };
    let agent = agent.ok_or_else(|| {
        Problem::field(
            Code::MissingField,
            "agentId",
            "`agentId` is needed, in the query or in a JSON body",
        )
    })?;
    AgentId::parse(&agent).map_err(|error| Problem::field(Code::InvalidId, "agentId", error.to_string()))
}

fn check_agent(writer: &Writer, agent: &AgentId) -> Result<(), Problem> {
    match writer.only_agent() {
        Some(only) if only != agent.as_str() => Err(Problem::field(
            Code::AgentNotAllowed,
            "agentId",
            "this key may produce for its own agent only",
        )),
        _ => Ok(()),
    }
}

async fn forget(state: &AppState, agent: &AgentId, writer: &Writer, taken: &AgentSession) {
    let dropping = control::drop_session(&state.pool, agent, writer.key_id(), &taken.session);
    if let Err(problem) = answered(dropping).await {
        tracing::warn!(session.id = taken.session, %problem, "session {} could not be forgotten", taken.session);
    }
}

fn answer(
    state: &AppState,
    headers: &HeaderMap,
    agent: &AgentId,
    (session_id, warnings): (String, Vec<String>),
) -> SimpleAnswer {
    let watch_url = watch_url(&base_url(state, headers), agent.as_str());
    SimpleAnswer {
        success: true,
        session_id,
        watch_url,
        warnings,
    }
}
