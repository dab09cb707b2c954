//! Writes the events of one request to the log: schema, owner, quota, Kafka; one result for each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kulti_pipeline::{OutRecord, SendError};
use kulti_schemas::{EncodeError, Event, EventId, SessionId, encode_record};
use serde::Serialize;
use serde_json::value::RawValue;

use super::event::{ParsedEvent, Refusal};
use crate::access::{Viewer, Writer};
use crate::metrics::{GatewayMetrics, Outcome};
use crate::problem::{Code, Problem};
use crate::quotas::Meter;
use crate::state::AppState;

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ItemStatus {
    /// The log has it.
    Accepted,
    /// It will never be taken as it is.
    Rejected,
    /// It was not taken now; send it again with the same id.
    Retry,
}

/// The result of one event.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct ItemResult {
    /// The event's id, made here if it came without one; null if it could not be read.
    pub(crate) id: Option<String>,
    pub(crate) status: ItemStatus,
    /// From the list in docs/errors.md.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "code_as_text")]
    #[schema(value_type = Option<String>)]
    pub(crate) code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// It was accepted, but not quite as it was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<String>,
    #[serde(skip)]
    pub(crate) retry_after: Option<u64>,
}

fn code_as_text<S: serde::Serializer>(code: &Option<Code>, serializer: S) -> Result<S::Ok, S::Error> {
    code.map(Code::as_str).serialize(serializer)
}

impl ItemResult {
    fn accepted(id: EventId, warning: Option<String>) -> Self {
        ItemResult {
            id: Some(id.uuid().to_string()),
            status: ItemStatus::Accepted,
            code: None,
            detail: None,
            field: None,
            warning,
            retry_after: None,
        }
    }

    /// Whether to send it again is decided by the code alone.
    fn refused(id: Option<String>, problem: Problem) -> Self {
        let is_retryable = problem.code.status().is_server_error() || problem.code == Code::QuotaExceeded;
        ItemResult {
            id,
            status: if is_retryable {
                ItemStatus::Retry
            } else {
                ItemStatus::Rejected
            },
            code: Some(problem.code),
            detail: Some(problem.detail),
            field: problem.field,
            warning: None,
            retry_after: problem.retry_after,
        }
    }

    /// As the answer to a request that was about this event alone.
    pub(crate) fn into_problem(self) -> Problem {
        let code = self.code.unwrap_or(Code::Internal);
        Problem {
            code,
            detail: self.detail.unwrap_or_default(),
            field: self.field,
            retry_after: self.retry_after,
        }
    }
}

/// Counts each event of a request once, also when the client goes away before there is a result.
pub(crate) struct OutcomeGuard<'a> {
    metrics: &'a GatewayMetrics,
    pending: usize,
}

impl<'a> OutcomeGuard<'a> {
    pub(crate) fn new(metrics: &'a GatewayMetrics, pending: usize) -> Self {
        OutcomeGuard { metrics, pending }
    }

    pub(crate) fn record(&mut self, results: &[ItemResult]) {
        for (status, outcome) in [
            (ItemStatus::Accepted, Outcome::Accepted),
            (ItemStatus::Rejected, Outcome::Rejected),
            (ItemStatus::Retry, Outcome::Retry),
        ] {
            let count = results.iter().filter(|result| result.status == status).count();
            self.metrics.record_events(outcome, count);
        }
        self.pending = 0;
    }
}

impl Drop for OutcomeGuard<'_> {
    fn drop(&mut self) {
        self.metrics.record_events(Outcome::Abandoned, self.pending);
    }
}

/// An event with its record.
pub(crate) struct EncodedEvent {
    id: EventId,
    session: SessionId,
    warning: Option<String>,
    bytes: usize,
    record: OutRecord,
}

impl EncodedEvent {
    pub(crate) fn id(&self) -> String {
        self.id.uuid().to_string()
    }
}

/// Checks the event against its kind's schema and makes its record.
pub(crate) fn encode(parsed: ParsedEvent) -> Result<EncodedEvent, Refusal> {
    let ParsedEvent {
        event,
        warning,
        bytes,
    } = parsed;
    let (id, session) = (event.meta.event_id, event.meta.session_id.clone());
    match encode_record(&event) {
        Ok(value) => {
            let key = session.as_str().as_bytes().to_vec();
            Ok(EncodedEvent {
                id,
                session,
                warning,
                bytes,
                record: OutRecord {
                    key,
                    value,
                    headers: Vec::new(),
                },
            })
        }
        Err(error) => {
            let problem = match error {
                EncodeError::Data(error) => {
                    let is_missing = lacks_member(event.data.get(), &error.field);
                    let code = if is_missing {
                        Code::MissingField
                    } else {
                        Code::InvalidField
                    };
                    Problem::field(code, error.field, error.detail)
                }
                EncodeError::Avro(detail) => {
                    tracing::error!(
                        event.kind = event.kind.name(),
                        error = detail,
                        "an event could not be encoded"
                    );
                    Problem::new(Code::Internal, "the event could not be encoded")
                }
                EncodeError::Kind(kind) => Problem::field(
                    Code::KindNotAllowed,
                    "kind",
                    format!("{kind} does not come from producers"),
                ),
            };
            Err(Refusal {
                id: Some(id.uuid().to_string()),
                problem,
            })
        }
    }
}

/// Says whether what the schema objects to is that a member of the data is not there.
fn lacks_member(data: &str, field: &str) -> bool {
    let members: Result<BTreeMap<String, &RawValue>, _> = serde_json::from_str(data);
    match (field.strip_prefix("data."), members) {
        (Some(name), Ok(members)) => !name.contains(['.', '[']) && !members.contains_key(name),
        _ => false,
    }
}

/// Writes what can be written, in the order given; one result for each item, in the same order.
pub(crate) async fn write_encoded(
    state: &AppState,
    writer: &Writer,
    items: Vec<Result<EncodedEvent, Refusal>>,
) -> Vec<ItemResult> {
    let sessions: HashSet<&SessionId> = items.iter().flatten().map(|event| &event.session).collect();
    let refused = state.owners.refused(writer, sessions).await;
    let mut allowance = Allowance::new(state, writer).await;
    let mut results: Vec<Option<ItemResult>> = Vec::with_capacity(items.len());
    let mut sent: Vec<(usize, EventId, Option<String>)> = Vec::new();
    let mut records = Vec::new();
    for item in items {
        let result = match item {
            Err(refusal) => Some(ItemResult::refused(refusal.id, refusal.problem)),
            Ok(event) => {
                let id = event.id();
                let allowed = match refused.get(&event.session) {
                    _ if state.live.is_erased(&event.session) => Err(expired()),
                    Some(problem) => Err(problem.clone()),
                    None => allowance.take(&event.session, event.bytes).await,
                };
                match allowed {
                    Err(problem) => Some(ItemResult::refused(Some(id), problem)),
                    Ok(()) => {
                        sent.push((results.len(), event.id, event.warning));
                        records.push(event.record);
                        None
                    }
                }
            }
        };
        results.push(result);
    }
    let written = if records.is_empty() {
        Vec::new()
    } else {
        state.producer.send(&state.session_topic, records).await
    };
    for ((index, id, warning), outcome) in sent.into_iter().zip(written) {
        results[index] = Some(match outcome {
            Ok(()) => ItemResult::accepted(id, warning),
            Err(error) => ItemResult::refused(Some(id.uuid().to_string()), send_problem(error)),
        });
    }
    // What the producer gave no result for was not acknowledged.
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| ItemResult::refused(None, Problem::log_unavailable())))
        .collect()
}

/// Writes what a viewer said. Nobody comes to own the session by it.
pub(crate) async fn write_of_viewer(
    state: &AppState,
    viewer: &Viewer,
    event: Event,
) -> Result<EventId, Problem> {
    let mut outcomes = OutcomeGuard::new(&state.metrics, 1);
    let id = event.meta.event_id;
    let written = send_of_viewer(state, viewer, event).await;
    let result = match &written {
        Ok(()) => ItemResult::accepted(id, None),
        Err(problem) => ItemResult::refused(None, problem.clone()),
    };
    outcomes.record(std::slice::from_ref(&result));
    written.map(|()| id)
}

async fn send_of_viewer(state: &AppState, viewer: &Viewer, event: Event) -> Result<(), Problem> {
    let bytes = event.data.get().len();
    let encoded = encode(ParsedEvent {
        event,
        warning: None,
        bytes,
    })
    .map_err(|refusal| refusal.problem)?;
    let meters = [
        (state.quotas.viewer(&viewer.quota_name()).await, "this viewer"),
        (state.quotas.session(&encoded.session).await, "this session"),
    ];
    let now = Instant::now();
    for (meter, whose) in &meters {
        if let Some(wait) = meter.wait(now) {
            return Err(over_quota(whose, wait));
        }
    }
    for (meter, _) in &meters {
        meter.take(bytes);
    }
    send_one(state, encoded).await
}

/// Writes what an admin decided about a session: no quota stands in its way.
pub(crate) async fn write_of_admin(state: &AppState, event: Event) -> Result<EventId, Problem> {
    let id = event.meta.event_id;
    let bytes = event.data.get().len();
    let encoded = encode(ParsedEvent {
        event,
        warning: None,
        bytes,
    })
    .map_err(|refusal| refusal.problem)?;
    send_one(state, encoded).await.map(|()| id)
}

async fn send_one(state: &AppState, event: EncodedEvent) -> Result<(), Problem> {
    let mut outcomes = state
        .producer
        .send(&state.session_topic, vec![event.record])
        .await;
    match outcomes.pop() {
        Some(outcome) => outcome.map_err(send_problem),
        None => Err(Problem::log_unavailable()),
    }
}

fn expired() -> Problem {
    Problem::field(
        Code::SessionExpired,
        "session",
        "the session was erased; nothing can be added to it",
    )
}

fn over_quota(whose: &str, wait: Duration) -> Problem {
    Problem::new(Code::QuotaExceeded, format!("{whose} wrote more than its quota"))
        .retry_after(wait.as_secs() + 1)
}

fn send_problem(error: SendError) -> Problem {
    match error {
        SendError::QueueFull => {
            Problem::new(Code::Busy, "more is being written than the log takes").retry_after(1)
        }
        SendError::Unavailable(detail) => {
            tracing::debug!(error = detail, "an event was not acknowledged");
            Problem::log_unavailable()
        }
        SendError::TooLarge => Problem::new(Code::EventTooLarge, "the event is larger than the log takes"),
    }
}

/// The quotas of one request. Once a session is over its quota the rest of its events in this request wait too,
/// so that none overtakes another.
struct Allowance<'a> {
    state: &'a AppState,
    key: Arc<Meter>,
    sessions: HashMap<SessionId, SessionAllowance>,
}

struct SessionAllowance {
    meter: Arc<Meter>,
    refusal: Option<Problem>,
}

impl<'a> Allowance<'a> {
    async fn new(state: &'a AppState, writer: &Writer) -> Self {
        Allowance {
            state,
            key: state.quotas.key(writer.key_id()).await,
            sessions: HashMap::new(),
        }
    }

    async fn take(&mut self, session: &SessionId, bytes: usize) -> Result<(), Problem> {
        if !self.sessions.contains_key(session) {
            let meter = self.state.quotas.session(session).await;
            self.sessions
                .insert(session.clone(), SessionAllowance { meter, refusal: None });
        }
        let Some(allowance) = self.sessions.get_mut(session) else {
            return Ok(());
        };
        if let Some(problem) = &allowance.refusal {
            return Err(problem.clone());
        }
        let now = Instant::now();
        let (wait, whose) = match (allowance.meter.wait(now), self.key.wait(now)) {
            (None, None) => {
                allowance.meter.take(bytes);
                self.key.take(bytes);
                return Ok(());
            }
            (Some(wait), _) => (wait, "this session"),
            (None, Some(wait)) => (wait, "this key"),
        };
        let problem = over_quota(whose, wait);
        allowance.refusal = Some(problem.clone());
        Err(problem)
    }
}
