//! The projection runner: rows and offset in one transaction, fenced by owner (design: invariant 5).
//!
//! Who owns a partition is decided by its row in `projection_partitions`, not by Kafka: taking over counts `owner`
//! up, every commit names the owner and the offset it goes on from, and one that matches no row rolls back. Each
//! assigned partition has one task (`worker`); whatever goes wrong, the task drops what it has in memory and takes
//! the partition over again, which reads everything anew from its row.
//!
//! It knows nothing of what records mean: that is the `Projection`'s.

mod backoff;
mod batch;
mod classify;
mod row;
mod runner;
mod status;
mod witness;
mod worker;

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::KafkaConfig;
use crate::lifecycle::Lifecycle;
use crate::{LogProducer, PipelineMetrics, Record};

pub use runner::ProjectionRunner;

/// Why a batch could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The database; the runner decides by its code whether to retry or to look for the one record it objects to.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// This one record cannot be applied, ever; `reason` is from a closed set.
    #[error("record at offset {offset} cannot be applied: {detail}")]
    Record {
        /// Which.
        offset: i64,
        /// For metrics and headers.
        reason: &'static str,
        /// For people.
        detail: String,
    },
}

/// Why this one record cannot be applied, ever; else what stands in the way now.
///
/// # Errors
/// The database, or the way to it: the same may work later.
pub fn fault_of_record(error: ApplyError) -> Result<&'static str, String> {
    match classify::Failure::from(error) {
        classify::Failure::Data(failure) => Ok(failure.reason),
        classify::Failure::Unavailable(detail) => Err(detail),
        classify::Failure::Fenced => Err("another owner has taken the partition over".to_owned()),
    }
}

/// What a read model does with the log. Live, backfill and rebuild are the same code with another starting point.
pub trait Projection: Send + Sync + 'static {
    /// What it remembers of one partition between batches; dropped whenever the partition is taken over, and after
    /// every transaction that was not committed.
    type State: Send;

    /// `replay`, `search`, ...: the key of its offsets in Postgres.
    fn name(&self) -> &'static str;

    /// Fresh state for a partition that was just taken over.
    fn new_state(&self, partition: i32) -> Self::State;

    /// Applies records of one partition, in order, inside the runner's transaction.
    /// Returns the records that are not ours at all, with the reason: they go to the dead letters.
    fn apply(
        &self,
        state: &mut Self::State,
        records: &[Record],
        transaction: &mut sqlx::PgConnection,
    ) -> impl Future<Output = Result<Vec<(i64, &'static str)>, ApplyError>> + Send;

    /// Applies one record that `apply` failed on with a data error: keeps its bytes at its place (`unreadable`).
    fn apply_unreadable(
        &self,
        state: &mut Self::State,
        record: &Record,
        reason: &'static str,
        transaction: &mut sqlx::PgConnection,
    ) -> impl Future<Output = Result<(), ApplyError>> + Send;
}

/// How a runner runs.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    /// Records per transaction at the most.
    pub batch_records: usize,
    /// Bytes per transaction at the most.
    pub batch_bytes: usize,
    /// Bytes queued per partition before its fetching stops.
    pub queue_bytes: usize,
    /// How long a revoked partition may take to finish what it has begun.
    pub drain: Duration,
    /// How long one transaction may take before it is given up and tried again.
    pub transaction: Duration,
}

impl Default for RunnerOptions {
    fn default() -> Self {
        RunnerOptions {
            batch_records: 5_000,
            batch_bytes: 8 << 20,
            queue_bytes: 4 << 20,
            drain: Duration::from_secs(5),
            transaction: Duration::from_secs(60),
        }
    }
}

/// What a runner needs from its process.
#[derive(Clone)]
pub struct RunnerContext {
    /// How to reach the log.
    pub kafka: KafkaConfig,
    /// Where the rows go.
    pub pool: PgPool,
    /// Writes the dead letters.
    pub producer: LogProducer,
    /// How it runs.
    pub options: RunnerOptions,
    /// What it counts.
    pub metrics: PipelineMetrics,
    /// Where it says whether it works.
    pub lifecycle: Lifecycle,
    /// Ends it.
    pub stopping: CancellationToken,
}
