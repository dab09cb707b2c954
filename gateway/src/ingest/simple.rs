//! The simple API: `POST`, `PATCH` and `DELETE /api/agent/stream`, and `POST /`.
//!
//! A request says what an agent does; `mapping` says which events that is. The agent's session is a pointer in
//! `control`, so it does not matter which gateway hears of the agent.

mod mapping;

use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kulti_schemas::{AgentId, Event, Kind, Meta, SessionId, Source, Timestamp};
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use self::mapping::{MappedEvent, SessionView, SimpleRequest};
use super::batch::{EncodedEvent, ItemStatus, OutcomeGuard, encode, write_encoded};
use super::body::read_body;
use super::event::{ItemContext, MAX_EVENT_BYTES, ParsedEvent, Refusal, new_event_id};
use super::{idempotency_key, refuse_early, worst_retry};
use crate::access::{self, Writer};
use crate::control::{self, AgentSession};
use crate::json::{JsonBody, require_json};
use crate::links::{base_url, watch_url};
use crate::masking::mask_secrets;
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store::{self, answered};

const REMEMBERED_PATHS: u64 = 100_000;

/// Which files a session has written, as far as this gateway knows: `write` is `create` or `edit` by that.
///
/// What it does not know it asks Postgres, which may be some milliseconds behind another gateway: then a second
/// write of a file is called `create` once more, with the same content as `edit` would carry.
pub(crate) struct SimpleMemory {
    paths: Cache<(SessionId, String), bool>,
}

impl Default for SimpleMemory {
    fn default() -> Self {
        SimpleMemory {
            paths: Cache::builder().max_capacity(REMEMBERED_PATHS).build(),
        }
    }
}

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

/// Why a request was not written, or not wholly.
struct WriteFailure {
    problem: Problem,
    is_nothing_written: bool,
}

impl From<Problem> for WriteFailure {
    fn from(problem: Problem) -> Self {
        WriteFailure {
            problem,
            is_nothing_written: true,
        }
    }
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

/// Writes all events of the request or, if one of them is not valid, none.
async fn write_request(
    state: &AppState,
    writer: &Writer,
    request: &SimpleRequest,
    (taken, context): (&AgentSession, &ItemContext<'_>),
) -> Result<(), WriteFailure> {
    let session = pointed_session(taken)?;
    let view = session_view(state, request, &session, taken.is_new).await?;
    let mapped = request.to_events(&view);
    let encoded = encode_all(&mapped, &request.agent, &session, context)?;
    write_all(state, writer, encoded).await?;
    if let Some((path, exists)) = request.path_afterwards() {
        state
            .simple
            .paths
            .insert((session, path.to_owned()), exists)
            .await;
    }
    Ok(())
}

/// What the mapping must know of the session.
async fn session_view(
    state: &AppState,
    request: &SimpleRequest,
    session: &SessionId,
    is_new: bool,
) -> Result<SessionView, Problem> {
    if is_new {
        return Ok(SessionView {
            is_new,
            ..SessionView::default()
        });
    }
    let profile = if request.has_profile() {
        answered(store::session_row(&state.pool, session))
            .await?
            .map(mapping::profile_of_row)
    } else {
        None
    };
    let path_exists = match request.written_path() {
        None => false,
        Some(path) => match state.simple.paths.get(&(session.clone(), path.to_owned())).await {
            Some(exists) => exists,
            None => answered(store::path_exists(&state.pool, session, path))
                .await?
                .unwrap_or(false),
        },
    };
    Ok(SessionView {
        is_new,
        profile: profile.unwrap_or_default(),
        path_exists,
    })
}

fn encode_all(
    mapped: &[MappedEvent],
    agent: &AgentId,
    session: &SessionId,
    context: &ItemContext<'_>,
) -> Result<Vec<EncodedEvent>, Problem> {
    let encode_one = |(index, event): (usize, &MappedEvent)| {
        let parsed = parsed_event(event, index, (agent, session), context)?;
        encode(parsed).map_err(|refusal| event.locate(refusal.problem))
    };
    mapped.iter().enumerate().map(encode_one).collect()
}

fn parsed_event(
    mapped: &MappedEvent,
    index: usize,
    (agent, session): (&AgentId, &SessionId),
    context: &ItemContext<'_>,
) -> Result<ParsedEvent, Problem> {
    let bytes = mapped.data.get().len();
    if bytes > MAX_EVENT_BYTES {
        let detail = format!("one event may have at most {MAX_EVENT_BYTES} bytes; this would have {bytes}");
        return Err(Problem::field(Code::EventTooLarge, mapped.field, detail));
    }
    let kind = Kind::known(mapped.kind)
        .ok_or_else(|| Problem::new(Code::Internal, "the simple API maps to a kind that is not there"))?;
    let meta = Meta {
        event_id: new_event_id(context, index, session),
        session_id: session.clone(),
        agent_id: agent.clone(),
        time: context.received,
        received: context.received,
        source: Source::Agent,
        producer: None,
        generation: None,
        seq: None,
        cause: None,
        attributes: Default::default(),
    };
    let data: Box<RawValue> = mask_secrets(mapped.data.clone());
    Ok(ParsedEvent {
        event: Event {
            meta,
            kind,
            data,
            raw: None,
            record: None,
        },
        warning: None,
        bytes,
    })
}

/// Writes events that are valid. What an earlier attempt wrote comes again unless the client sends an
/// `Idempotency-Key`.
async fn write_all(
    state: &AppState,
    writer: &Writer,
    encoded: Vec<EncodedEvent>,
) -> Result<(), WriteFailure> {
    let mut outcomes = OutcomeGuard::new(&state.metrics, encoded.len());
    let items: Vec<Result<EncodedEvent, Refusal>> = encoded.into_iter().map(Ok).collect();
    let results = write_encoded(state, writer, items).await;
    outcomes.record(&results);
    let is_nothing_written = results.iter().all(|result| result.status != ItemStatus::Accepted);
    let rejected = results
        .iter()
        .find(|result| result.status == ItemStatus::Rejected);
    if let Some(rejected) = rejected {
        return Err(WriteFailure {
            problem: rejected.clone().into_problem(),
            is_nothing_written,
        });
    }
    if results.iter().any(|result| result.status == ItemStatus::Retry) {
        return Err(WriteFailure {
            problem: worst_retry(&results),
            is_nothing_written,
        });
    }
    Ok(())
}

fn pointed_session(taken: &AgentSession) -> Result<SessionId, Problem> {
    SessionId::parse(&taken.session)
        .map_err(|_| Problem::new(Code::Internal, "the agent's session has an id that is not valid"))
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

async fn write_end(
    state: &AppState,
    writer: &Writer,
    agent: &AgentId,
    (taken, context): (&AgentSession, &ItemContext<'_>),
) -> Result<(), WriteFailure> {
    let session = pointed_session(taken)?;
    let encoded = encode_all(&[mapping::ended_event()], agent, &session, context)?;
    write_all(state, writer, encoded).await
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
