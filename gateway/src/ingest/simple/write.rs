//! Writes what a request of the simple API maps to into the agent's session.

use kulti_schemas::{AgentId, Event, Kind, Meta, SessionId, Source};
use moka::future::Cache;

use super::mapping::{self, MappedEvent, SessionView, SimpleRequest};
use crate::access::Writer;
use crate::control::AgentSession;
use crate::ingest::batch::{EncodedEvent, ItemStatus, OutcomeGuard, encode, write_encoded};
use crate::ingest::event::{ItemContext, MAX_EVENT_BYTES, ParsedEvent, Refusal, new_event_id};
use crate::ingest::worst_retry;
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

/// Why a request was not written, or not wholly.
pub(super) struct WriteFailure {
    pub(super) problem: Problem,
    pub(super) is_nothing_written: bool,
}

impl From<Problem> for WriteFailure {
    fn from(problem: Problem) -> Self {
        WriteFailure {
            problem,
            is_nothing_written: true,
        }
    }
}

/// Writes all events of the request or, if one of them is not valid, none.
pub(super) async fn write_request(
    state: &AppState,
    writer: &Writer,
    request: &SimpleRequest,
    (taken, context): (&AgentSession, &ItemContext<'_>),
) -> Result<(), WriteFailure> {
    let session = pointed_session(taken)?;
    let view = session_view(state, request, &session, taken.is_new).await?;
    let mapped = request.to_events(&view);
    let encoded = encode_all(state, &mapped, (&request.agent, &session), context)?;
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
    state: &AppState,
    mapped: &[MappedEvent],
    whose: (&AgentId, &SessionId),
    context: &ItemContext<'_>,
) -> Result<Vec<EncodedEvent>, Problem> {
    let mut parsed: Vec<ParsedEvent> = mapped
        .iter()
        .enumerate()
        .map(|(index, event)| parsed_event(event, index, whose, context))
        .collect::<Result<_, _>>()?;
    state
        .masking
        .mask_request(parsed.iter_mut().map(|parsed| &mut parsed.event));
    let encode_one = |(event, parsed): (&MappedEvent, ParsedEvent)| {
        encode(parsed).map_err(|refusal| event.locate(refusal.problem))
    };
    mapped.iter().zip(parsed).map(encode_one).collect()
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
    Ok(ParsedEvent {
        event: Event {
            meta,
            kind,
            data: mapped.data.clone(),
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

/// Writes the event that ends a session.
pub(super) async fn write_end(
    state: &AppState,
    writer: &Writer,
    agent: &AgentId,
    (taken, context): (&AgentSession, &ItemContext<'_>),
) -> Result<(), WriteFailure> {
    let session = pointed_session(taken)?;
    let encoded = encode_all(state, &[mapping::ended_event()], (agent, &session), context)?;
    write_all(state, writer, encoded).await
}
