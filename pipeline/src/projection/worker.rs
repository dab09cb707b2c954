//! One assigned partition's task: takes it over, verifies the log, applies batches; and again, whatever goes wrong.

mod log_check;
mod notes;
mod waits;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::batch::{Committed, Possession};
use super::classify::Failure;
use super::row::{self, Owned};
use super::status::Status;
use super::witness::Witness;
use super::{Projection, RunnerContext};
use crate::dead_letter::DeadLetterLimit;
use crate::driver::{Driver, PartitionStream, StreamError};
use crate::{DeadLetters, Record};
use log_check::cut_at_gap;

/// The log is verified before a commit if that was not done for so long. Shorter than `FETCH_ERROR_BACKOFF`.
pub(super) const VERIFY_EVERY: Duration = Duration::from_secs(1);
/// A fetch under a topic id that is gone fails before the first one under the new id, and the partition rests this
/// long after it: so no record of a recreated topic gets here within `VERIFY_EVERY` of a testimony about the old one.
pub(super) const FETCH_ERROR_BACKOFF: Duration = Duration::from_millis(1_500);
/// A replica that just became leader may lag behind for a moment: a record that is missing is looked for again.
const MISSING_AGAIN: Duration = Duration::from_secs(1);
/// A new owner's takeover is followed by the group's revoke, which a fenced worker waits for.
const AFTER_FENCE: Duration = Duration::from_secs(1);
/// How often a worker that has nothing to do says how far it is.
const NOTE_LAG_EVERY: Duration = Duration::from_secs(2);
/// The reasons in `projection_partitions.stopped`.
const LOG_TRUNCATED: &str = "log_truncated";
pub(super) const DEAD_LETTERS: &str = "dead_letters";

/// What all workers of a runner share.
pub(super) struct Shared<P> {
    pub(super) projection: Arc<P>,
    pub(super) context: RunnerContext,
    pub(super) driver: Driver,
    pub(super) witness: Witness,
    pub(super) dead_letters: DeadLetters,
    pub(super) status: Status,
}

/// One partition's task.
pub(super) struct Worker<P> {
    pub(super) shared: Arc<Shared<P>>,
    pub(super) partition: i32,
    /// Cancelled when the partition is revoked, or the runner stops.
    pub(super) given_up: CancellationToken,
}

impl<P> std::ops::Deref for Worker<P> {
    type Target = Shared<P>;
    fn deref(&self) -> &Shared<P> {
        &self.shared
    }
}

/// A partition that does not go on.
#[derive(Debug)]
struct Stopped {
    owned: Owned,
    reason: String,
}

/// Why a possession ended.
#[derive(Debug)]
enum End {
    GivenUp,
    /// Another owner has taken over.
    Fenced,
    /// The log, the database or the group cannot be used now.
    Unavailable(String),
    /// The partition's row says that it does not go on, and why.
    Stopped(Stopped),
    /// The log is not the one that was read.
    LogTruncated(Owned, &'static str),
    /// The log does not have the last applied record, which may pass.
    RecordMissing(Owned),
    /// The record that came is not the next one.
    Gap(i64),
}

/// What a worker remembers from one possession to the next.
#[derive(Default)]
struct Memory {
    backoff: Backoff,
    missing_before: bool,
    /// Nothing came at this offset before: what comes after it is believed now.
    gap_at: Option<i64>,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Fenced => End::Fenced,
            Failure::Unavailable(detail) => End::Unavailable(detail),
            Failure::Data(failure) => End::Unavailable(failure.detail),
        }
    }
}

impl<P: Projection> Worker<P> {
    /// Runs until the partition is given up. A transaction that was begun is finished before.
    pub(super) async fn run(&self) {
        let mut memory = Memory::default();
        while !self.given_up.is_cancelled() {
            let end = self.possess(&mut memory).await;
            let missing = matches!(end, End::RecordMissing(_));
            match end {
                End::GivenUp => break,
                End::Fenced => {
                    self.context
                        .metrics
                        .projection
                        .fenced
                        .with_label_values(&[self.projection.name()])
                        .inc();
                    tracing::warn!(
                        kafka.partition = self.partition,
                        "another owner has taken the partition over"
                    );
                    self.wait(AFTER_FENCE).await;
                }
                End::Unavailable(detail) => self.retry_later(&detail, &mut memory.backoff).await,
                End::Stopped(stopped) => self.park(stopped).await,
                End::RecordMissing(owned) if memory.missing_before => {
                    self.stop_truncated(&owned, "the last applied record is not in the log")
                        .await;
                }
                End::RecordMissing(_) => self.wait(MISSING_AGAIN).await,
                End::LogTruncated(owned, detail) => self.stop_truncated(&owned, detail).await,
                End::Gap(offset) => {
                    tracing::info!(
                        kafka.partition = self.partition,
                        kafka.offset = offset,
                        "no record came here"
                    );
                    memory.gap_at = Some(offset);
                }
            }
            memory.missing_before = missing;
        }
        self.note_given_up();
    }

    /// Takes over, reads and applies until it cannot go on.
    async fn possess(&self, memory: &mut Memory) -> End {
        let taken = tokio::select! {
            taken = row::take_over(&self.context.pool, self.projection.name(), self.partition) => taken,
            () = self.given_up.cancelled() => return End::GivenUp,
        };
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => return End::Unavailable(format!("database: {error}")),
        };
        self.context
            .metrics
            .projection
            .takeovers
            .with_label_values(&[self.projection.name()])
            .inc();
        let owned = taken.owned;
        if let Some(reason) = taken.stopped {
            return End::Stopped(Stopped { owned, reason });
        }
        tracing::info!(
            kafka.partition = owned.partition,
            kafka.offset = owned.next_offset,
            owner = owned.owner,
            epoch = owned.epoch,
            projection = owned.projection,
            "partition taken over"
        );
        let opened = tokio::select! {
            opened = self.open_verified(&owned) => opened,
            () = self.given_up.cancelled() => return End::GivenUp,
        };
        let (stream, rest) = match opened {
            Ok(opened) => opened,
            Err(end) => return end,
        };
        memory.backoff.reset();
        self.status.clear_problem(self.partition);
        let state = self.projection.new_state(self.partition);
        let possession = Possession {
            owned,
            state,
            limit: DeadLetterLimit::default(),
        };
        match self.apply_batches(possession, stream, rest, memory.gap_at).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn apply_batches(
        &self,
        mut possession: Possession<P::State>,
        mut stream: PartitionStream,
        mut batch: Vec<Record>,
        gap_at: Option<i64>,
    ) -> Result<Infallible, End> {
        let mut verified = Instant::now();
        let mut lag_noted = Instant::now();
        loop {
            if batch.is_empty() {
                batch = self.next_batch(&mut stream).await?;
            }
            // Around a rebalance librdkafka may hand out a record twice.
            batch.retain(|record| record.offset >= possession.owned.next_offset);
            let rest = cut_at_gap(&mut batch, possession.owned.next_offset, gap_at);
            if !batch.is_empty() {
                if verified.elapsed() >= VERIFY_EVERY {
                    let asked = Instant::now();
                    self.verify(&possession.owned).await?;
                    verified = asked;
                }
                if self.apply_all(&mut possession, &batch).await? == Committed::Stopped {
                    self.note_stop(DEAD_LETTERS);
                    let owned = possession.owned;
                    return Err(End::Stopped(Stopped {
                        owned,
                        reason: DEAD_LETTERS.to_owned(),
                    }));
                }
                self.driver
                    .commit_for_lag_tools(self.partition, possession.owned.next_offset);
            }
            if !rest.is_empty() {
                return Err(End::Gap(possession.owned.next_offset));
            }
            batch.clear();
            if lag_noted.elapsed() >= NOTE_LAG_EVERY {
                lag_noted = Instant::now();
                self.note_lag(&possession.owned);
            }
        }
    }

    /// What is queued. Nothing, from time to time, if nothing comes.
    async fn next_batch(&self, stream: &mut PartitionStream) -> Result<Vec<Record>, End> {
        let options = &self.context.options;
        let batch = tokio::select! {
            // Nothing of a batch that comes in the same moment was begun, so nothing of it is to be finished.
            biased;
            () = self.given_up.cancelled() => return Err(End::GivenUp),
            batch = stream.next_batch(options.batch_records, options.batch_bytes) => batch,
            () = tokio::time::sleep(NOTE_LAG_EVERY) => return Ok(Vec::new()),
        };
        batch.map_err(|error| match error {
            StreamError::OutOfRange => End::Unavailable("the next offset is not in the log".to_owned()),
            StreamError::Consumer(error) => End::Unavailable(format!("consumer: {error}")),
        })
    }
}
