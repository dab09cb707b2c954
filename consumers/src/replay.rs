//! The replay projection: `events` and `sessions`.
//!
//! A batch of one partition goes: decode, look up what is not in memory (one query for sessions that are not
//! cached, one for ids that only the rows can tell), decide and number in order, then one binary COPY into `events`
//! and one insert and one update of `sessions`. Copies are dropped before anything is written, so there is no staging
//! table; a unique key that objects says that what was remembered is wrong, and the runner has it read anew.

mod copy_binary;
mod erasure;
mod events;
mod metrics;
mod partition;
pub mod rebuild;
mod redaction;
mod sessions;
mod store;

use kulti_pipeline::{ApplyError, Projection, ProjectionRunner, Record, RunnerContext};
use kulti_schemas::{Event, Kind, decode_record};

pub use metrics::ReplayMetrics;
pub use partition::PartitionState;

/// Bytes of sessions' states that each partition keeps in memory.
const DEFAULT_STATE_BYTES: usize = 4 << 20;

/// What replay needs from its process.
#[derive(Clone)]
pub struct ReplayContext {
    /// Log, database, life cycle.
    pub runner: RunnerContext,
    /// What it counts.
    pub metrics: ReplayMetrics,
}

/// Runs the projection until the context's `stopping`.
///
/// # Errors
/// If the log's client cannot be made, or fails for good.
pub async fn run(context: ReplayContext) -> anyhow::Result<()> {
    let replay = Replay::new(context.metrics);
    ProjectionRunner::run(replay, context.runner).await
}

/// The projection.
pub struct Replay {
    metrics: ReplayMetrics,
    state_bytes: usize,
}

impl Replay {
    /// With the default bound of its memory.
    pub fn new(metrics: ReplayMetrics) -> Self {
        Replay {
            metrics,
            state_bytes: DEFAULT_STATE_BYTES,
        }
    }

    /// With so many bytes of sessions' states per partition.
    pub fn with_state_bytes(self, state_bytes: usize) -> Self {
        Replay { state_bytes, ..self }
    }
}

impl Projection for Replay {
    type State = PartitionState;

    fn name(&self) -> &'static str {
        "replay"
    }

    fn new_state(&self, partition: i32) -> PartitionState {
        PartitionState::new(partition, self.state_bytes)
    }

    async fn apply(
        &self,
        state: &mut PartitionState,
        records: &[Record],
        transaction: &mut sqlx::PgConnection,
    ) -> Result<Vec<(i64, &'static str)>, ApplyError> {
        let mut events = Vec::with_capacity(records.len());
        let mut letters = Vec::new();
        for record in records {
            match decode_record(record.key.as_deref(), record.value.as_ref()) {
                Ok(event) => events.push(event),
                Err(error) => letters.push((record.offset, error.reason())),
            }
        }
        state.apply(events, transaction, &self.metrics).await?;
        Ok(letters)
    }

    async fn apply_unreadable(
        &self,
        state: &mut PartitionState,
        record: &Record,
        reason: &'static str,
        transaction: &mut sqlx::PgConnection,
    ) -> Result<(), ApplyError> {
        let not_ours = |detail: String| ApplyError::Record {
            offset: record.offset,
            reason: "decode",
            detail,
        };
        let event = decode_record(record.key.as_deref(), record.value.as_ref())
            .map_err(|error| not_ours(error.to_string()))?;
        let event = unreadable(event, record, reason).map_err(|error| not_ours(error.to_string()))?;
        state.apply(vec![event], transaction, &self.metrics).await?;
        Ok(())
    }
}

/// The same event with its body as bytes only.
fn unreadable(event: Event, record: &Record, reason: &'static str) -> serde_json::Result<Event> {
    use base64::Engine as _;
    let value = record.value.clone().unwrap_or_default();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&value);
    let data = serde_json::value::to_raw_value(&serde_json::json!({ "base64": base64, "code": reason }))?;
    Ok(Event {
        kind: Kind::Unreadable,
        data,
        raw: None,
        record: Some(value),
        ..event
    })
}
