//! `POST /v1/hooks/claude-code`: what Claude Code posts to its http hooks, for those who run it by themselves.
//!
//! What a hook says is its adapter's to tell (kulti-adapters); here is whose it is, and what was heard of the session
//! before. Hooks are not sent again, and of calls both the beginning and the end hold all that is needed: a gateway that
//! hears of a session for the first time, also in its middle, goes on with it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use kulti_adapters::{Format, ImportedEvent, Options, Reader};
use kulti_schemas::{AgentId, EventId, Timestamp};
use moka::future::Cache;
use serde::Deserialize;
use serde_json::Value;

use super::batch::{ItemStatus, OutcomeGuard, encode, write_encoded};
use super::body::read_body;
use super::event::{ItemContext, parse_event};
use super::{refuse_early, worst_retry};
use crate::access::{self, Writer};
use crate::json::{JsonBody, require_json};
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// Sessions that are followed at once; of more, the least lately heard is heard anew.
const SESSIONS: u64 = 10_000;
/// A session that says nothing for so long is heard anew.
const IDLE: Duration = Duration::from_secs(2 * 3600);

/// What was heard of each session, by the key that tells it and its agent.
pub(crate) struct HookMemory {
    readers: Cache<(String, Option<String>, String), Arc<Mutex<Reader>>>,
}

impl Default for HookMemory {
    fn default() -> Self {
        HookMemory {
            readers: Cache::builder().max_capacity(SESSIONS).time_to_idle(IDLE).build(),
        }
    }
}

/// Whose session it is.
#[derive(Debug, Deserialize)]
pub(crate) struct HookQuery {
    agent: Option<String>,
}

/// Takes what Claude Code posts to an http hook.
///
/// The session is `claude-hooks-` and Claude Code's own id; the agent is `agent`, or named after the folder. The answer
/// is `{}`: it decides nothing.
#[utoipa::path(
    post, path = "/v1/hooks/claude-code", tag = "produce",
    params(("agent" = Option<String>, Query, description = "The agent; without it, the folder that Claude Code works in")),
    request_body(content = serde_json::Value, description = "The hook's input, with `hook_event_name` and `session_id`"),
    responses(
        (status = 200, body = serde_json::Value, description = "`{}`"),
        (status = 422, description = "No hook's input"),
        (status = 503, description = "Nothing could be written"),
    ),
)]
pub(crate) async fn hear_claude_hook(
    State(state): State<AppState>,
    Query(query): Query<HookQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let writer = access::writer(&state, &parts.headers, &parts.extensions).await?;
    require_json(&parts.headers)?;
    refuse_early(&state, &writer).await?;
    let body = read_body(&state, &parts.headers, body).await?;
    let session = session_of(&body.bytes)?;
    let agent = agent_of(&writer, query.agent.as_deref())?;
    let name = (
        writer.key_id().to_owned(),
        agent.as_ref().map(|agent| agent.as_str().to_owned()),
        session,
    );
    let reader = state
        .hooks
        .readers
        .get_with(name.clone(), async { Arc::new(Mutex::new(new_reader(agent))) })
        .await;
    let events = read(&reader, body.bytes.trim_ascii());
    let written = write(&state, &writer, &events).await;
    if written.is_err() {
        // It may have been the session's start; whoever comes next says it again, under the same id.
        state.hooks.readers.invalidate(&name).await;
    }
    written.map(|()| JsonBody(serde_json::json!({})).into_response())
}

/// Claude Code's name for its session.
fn session_of(body: &[u8]) -> Result<String, Problem> {
    let hook: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::InvalidJson, format!("not a JSON object: {error}")))?;
    let text = |name: &str| {
        let text = hook[name].as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
            .ok_or_else(|| Problem::field(Code::MissingField, name, format!("a hook's input has `{name}`")))
    };
    text("hook_event_name")?;
    text("session_id")
}

fn agent_of(writer: &Writer, asked: Option<&str>) -> Result<Option<AgentId>, Problem> {
    let parse = |agent: &str| {
        AgentId::parse(agent).map_err(|error| Problem::field(Code::InvalidId, "agent", error.to_string()))
    };
    asked.or(writer.only_agent()).map(parse).transpose()
}

fn new_reader(agent: Option<AgentId>) -> Reader {
    let options = Options {
        agent,
        reading: format!(" {}", EventId::generate().uuid()),
        ..Options::default()
    };
    Reader::new(Format::ClaudeHooks, options)
}

fn read(reader: &Mutex<Reader>, line: &[u8]) -> Vec<ImportedEvent> {
    let mut events = Vec::new();
    let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    reader.read_line(line, &mut events);
    reader.release(&mut events);
    events
}

async fn write(state: &AppState, writer: &Writer, events: &[ImportedEvent]) -> Result<(), Problem> {
    let mut outcomes = OutcomeGuard::new(&state.metrics, events.len());
    let context = ItemContext {
        received: Timestamp::now(),
        idempotency_key: None,
        only_agent: writer.only_agent(),
    };
    let mut parsed: Vec<_> = events
        .iter()
        .enumerate()
        .map(|(index, event)| parse_event(&Ok(event.to_json().as_str()), index, &context))
        .collect();
    state
        .masking
        .mask_request(parsed.iter_mut().flatten().map(|parsed| &mut parsed.event));
    let encoded = parsed.into_iter().map(|parsed| parsed.and_then(encode)).collect();
    let results = write_encoded(state, writer, encoded).await;
    outcomes.record(&results);
    if let Some(rejected) = results
        .iter()
        .find(|result| result.status == ItemStatus::Rejected)
    {
        return Err(rejected.clone().into_problem());
    }
    match results.iter().any(|result| result.status == ItemStatus::Retry) {
        true => Err(worst_retry(&results)),
        false => Ok(()),
    }
}
