//! The projection runner: rows and offset in one transaction, fenced by owner.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::KafkaConfig;
use crate::lifecycle::Lifecycle;
use crate::{LogProducer, PipelineMetrics, Record};

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

/// What a read model does with the log. Live, backfill and rebuild are the same code with another starting point.
pub trait Projection: Send + Sync + 'static {
    /// What it remembers of one partition between batches; dropped whenever the partition is taken over.
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
    /// Bytes queued per partition before it is paused.
    pub queue_bytes: usize,
    /// How long a revoked partition may take to finish what it has begun.
    pub drain: Duration,
}

/// Runs one projection over all partitions that the group gives it.
pub struct ProjectionRunner<P> {
    _projection: Arc<P>,
}

impl<P: Projection> ProjectionRunner<P> {
    /// Runs until `stopping`; drains, then leaves the group.
    pub async fn run(
        _projection: P,
        _kafka: KafkaConfig,
        _pool: PgPool,
        _dead_letters: LogProducer,
        _options: RunnerOptions,
        _metrics: PipelineMetrics,
        _lifecycle: Lifecycle,
        _stopping: CancellationToken,
    ) -> anyhow::Result<()> {
        todo!()
    }
}
