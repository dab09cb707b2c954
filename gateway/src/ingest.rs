//! The way in: `POST /v1/events`; the simple API and Claude Code's hooks beside it.
//!
//! The path of a request: who writes (access) -> bytes (body) -> items (split) -> events (event) -> owner, quota,
//! log (batch) -> one result for each item, in the order sent. Success is said only after the broker has it.

mod batch;
mod body;
pub(crate) mod claude_hooks;
mod event;
mod in_order;
mod owners;
pub(crate) mod simple;
mod split;

pub(crate) use batch::{write_of_admin, write_of_viewer};
pub(crate) use body::{HeldBody, IngestMemory, announced_bytes, decoded, read_away, read_body};
pub(crate) use claude_hooks::HookMemory;
pub(crate) use event::{ItemContext, ParsedEvent, parse_event};
pub(crate) use in_order::write_in_order;
pub(crate) use owners::Owners;
pub(crate) use simple::SimpleMemory;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use kulti_schemas::Timestamp;
use serde::Serialize;

use crate::access::{self, Writer};
use crate::json::JsonBody;
use crate::problem::{Code, Problem};
use crate::state::AppState;
use batch::{ItemResult, ItemStatus, OutcomeGuard, encode, write_encoded};
use split::{Format, split_items};

const MAX_IDEMPOTENCY_KEY: usize = 255;
/// A large request lets viewers' frames pass between so many of its items.
const ITEMS_PER_TURN: usize = 64;

/// What became of each event, in the order sent.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IngestAnswer {
    /// How many the log has.
    accepted: usize,
    /// How many will never be taken as they are.
    rejected: usize,
    /// How many to send again, with the same ids.
    retry: usize,
    /// One for each event.
    results: Vec<ItemResult>,
}

/// Writes one event, an array of events, or NDJSON.
///
/// Each event has its own result; a rejected one never holds up the others. 200 is said only after Kafka has
/// acknowledged what is `accepted`.
#[utoipa::path(
    post, path = "/v1/events", tag = "produce",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Events without an id get one that is derived from this, their session and their index")),
    request_body(content((serde_json::Value = "application/json"), (String = "application/x-ndjson")),
        description = "At most 8 MiB after decompression (gzip, zstd) and 10,000 events; one event at most 1 MiB"),
    responses(
        (status = 200, body = IngestAnswer),
        (status = 400, description = "Unreadable as a whole"),
        (status = 403, description = "`writes_closed`: there is no key yet"),
        (status = 413, description = "Too much at once"),
        (status = 415, description = "Neither JSON nor NDJSON"),
        (status = 422, description = "The body was one event, and it is rejected"),
        (status = 429, description = "The quota is used up"),
        (status = 503, description = "Nothing could be written; send it again"),
    ),
)]
pub(crate) async fn ingest_events(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let writer = access::writer(&state, &parts.headers, &parts.extensions).await?;
    let format = Format::of(parts.headers.get(CONTENT_TYPE))?;
    let idempotency_key = idempotency_key(&parts.headers)?;
    refuse_early(&state, &writer).await?;
    let body = read_body(&state, &parts.headers, body).await?;
    let items = split_items(&body.bytes, format)?;
    let mut outcomes = OutcomeGuard::new(&state.metrics, items.texts.len());

    let context = ItemContext {
        received: Timestamp::now(),
        idempotency_key,
        only_agent: writer.only_agent(),
    };
    let mut parsed = Vec::with_capacity(items.texts.len());
    for (index, text) in items.texts.iter().enumerate() {
        take_turns(index).await;
        parsed.push(parse_event(text, index, &context));
    }
    state
        .masking
        .mask_request(parsed.iter_mut().flatten().map(|parsed| &mut parsed.event));
    let mut encoded = Vec::with_capacity(parsed.len());
    for (index, parsed) in parsed.into_iter().enumerate() {
        take_turns(index).await;
        encoded.push(parsed.and_then(encode));
    }
    let results = write_encoded(&state, &writer, encoded).await;
    outcomes.record(&results);
    answer(results, items.is_single)
}

async fn take_turns(index: usize) {
    if index % ITEMS_PER_TURN == ITEMS_PER_TURN - 1 {
        tokio::task::yield_now().await;
    }
}

/// Refuses before the body is read what cannot end well: nothing is buffered for it.
pub(crate) async fn refuse_early(state: &AppState, writer: &Writer) -> Result<(), Problem> {
    if !state.producer.is_available() {
        return Err(Problem::log_unavailable());
    }
    match state
        .quotas
        .key(writer.key_id())
        .await
        .wait(std::time::Instant::now())
    {
        None => Ok(()),
        Some(wait) => {
            let detail = "this key wrote more than its quota";
            Err(Problem::new(Code::QuotaExceeded, detail).retry_after(wait.as_secs() + 1))
        }
    }
}

/// The `Idempotency-Key`, if there is one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_IDEMPOTENCY_KEY => Ok(Some(key)),
        _ => Err(Problem::field(
            Code::InvalidParameter,
            "Idempotency-Key",
            format!("must be 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters"),
        )),
    }
}

fn answer(mut results: Vec<ItemResult>, is_single: bool) -> Result<Response, Problem> {
    let count = |status| results.iter().filter(|result| result.status == status).count();
    let (accepted, rejected, retry) = (
        count(ItemStatus::Accepted),
        count(ItemStatus::Rejected),
        count(ItemStatus::Retry),
    );
    if retry > 0 && retry == results.len() {
        return Err(worst_retry(&results));
    }
    if is_single && rejected == 1 {
        return Err(results.remove(0).into_problem());
    }
    Ok(JsonBody(IngestAnswer {
        accepted,
        rejected,
        retry,
        results,
    })
    .into_response())
}

/// The problem of a request of which nothing was taken: an outage is told before a quota, and the longest wait
/// counts.
pub(crate) fn worst_retry(results: &[ItemResult]) -> Problem {
    let worst = results.iter().max_by_key(|result| {
        let is_outage = result.code.is_some_and(|code| code.status().is_server_error());
        (is_outage, result.retry_after)
    });
    worst.map_or_else(Problem::log_unavailable, |result| result.clone().into_problem())
}
