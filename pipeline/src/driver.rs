//! The consumer driver: one member of a consumer group, whose partitions are opened one by one where their owner
//! wants to read.
//!
//! librdkafka is served on a thread of its own, because a rebalance has to wait for the partitions' owners: the
//! callback hands partitions over as events and lets a revoke finish only after they were given up, or after the
//! drain's deadline. Records do not pass through that thread: each partition has librdkafka's own queue, bounded in
//! bytes. A full queue stops the fetching of its partition alone, and what is in it stays (`pause` would throw it
//! away and fetch it again).
//!
//! Cooperative rebalancing: a partition that stays with its member is not touched when others move, so its owner
//! keeps its caches and its transaction. The group only says who reads what; where to read is the owner's to say
//! (`Driver::open`), never the group's committed offset.

mod context;
mod serve;
mod stream;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::KafkaConfig;
use context::DriverContext;
use serve::{Command, ServeLoop};
pub use stream::{PartitionStream, StreamError};

/// Events that may wait for their reader. A rebalance waits with them.
const EVENT_QUEUE: usize = 16;
/// Commands that may wait for the driver's thread.
const COMMAND_QUEUE: usize = 1024;

/// What the driver tells the runner.
#[derive(Debug)]
pub enum DriverEvent {
    /// These partitions are ours from now on; nothing is read of them before `Driver::open`.
    Assigned(Vec<i32>),
    /// These are no longer ours once `guard` is dropped, or the drain's deadline has passed.
    Revoked {
        /// Which.
        partitions: Vec<i32>,
        /// Keeps the group waiting.
        guard: RevokeGuard,
    },
    /// The client cannot go on, ever.
    Failed(String),
}

/// Held while revoked partitions finish what they have begun.
#[derive(Debug)]
pub struct RevokeGuard {
    _finished: SyncSender<()>,
}

/// How a driver consumes.
#[derive(Debug, Clone)]
pub struct DriverOptions {
    /// The consumer group.
    pub group: String,
    /// The topic's physical name.
    pub topic: String,
    /// Bytes queued per partition before its fetching stops.
    pub queue_bytes: usize,
    /// How long a revoke waits for the partitions' owners.
    pub drain: Duration,
    /// Least time between a fetch that failed and the partition's next.
    pub fetch_error_backoff: Duration,
}

/// A running consumer. Its thread leaves the group and ends when this is dropped.
pub struct Driver {
    commands: SyncSender<Command>,
    context: Arc<DriverContext>,
    ended: Option<oneshot::Receiver<std::convert::Infallible>>,
}

/// Why a partition was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was revoked in the meantime.
    #[error("the partition is not assigned")]
    NotAssigned,
    /// librdkafka refuses.
    #[error("the consumer refuses: {0}")]
    Refused(String),
    /// The driver's thread is gone, or so busy that its queue is full.
    #[error("the consumer's thread does not answer")]
    Busy,
}

impl Driver {
    /// Joins the group. A broker that cannot be reached is no error: the client waits for it.
    ///
    /// # Errors
    /// If librdkafka refuses the configuration.
    pub fn start(
        kafka: &KafkaConfig,
        options: DriverOptions,
    ) -> anyhow::Result<(Driver, mpsc::Receiver<DriverEvent>)> {
        let (events, received) = mpsc::channel(EVENT_QUEUE);
        let (commands, queue) = sync_channel(COMMAND_QUEUE);
        let (end, ended) = oneshot::channel::<std::convert::Infallible>();
        let serving = ServeLoop::new(kafka, options, events, queue)?;
        let context = serving.context();
        std::thread::Builder::new()
            .name("kulti-driver".to_owned())
            .spawn(move || {
                serving.run();
                // `stop` waits for the sender's end, whatever it says.
                drop(end);
            })?;
        Ok((
            Driver {
                commands,
                context,
                ended: Some(ended),
            },
            received,
        ))
    }

    /// Starts reading a partition at `offset`, or starts it anew there. The stream it had before ends.
    ///
    /// # Errors
    /// If the partition is not assigned (any more), or the client refuses.
    pub async fn open(&self, partition: i32, offset: i64) -> Result<PartitionStream, OpenError> {
        let (reply, answer) = oneshot::channel();
        match self.commands.try_send(Command::Open {
            partition,
            offset,
            reply,
        }) {
            Ok(()) => answer.await.map_err(|_| OpenError::Busy)?,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(OpenError::Busy),
        }
    }

    /// Tells Kafka how far a partition is, for lag tools only. One that is lost is made up for by the next.
    pub fn commit_for_lag_tools(&self, partition: i32, next_offset: i64) {
        drop(self.commands.try_send(Command::Commit {
            partition,
            next_offset,
        }));
    }

    /// The partition's end as it was last heard of; None before that.
    pub fn log_end(&self, partition: i32) -> Option<i64> {
        self.context.log_end(partition)
    }

    /// Bytes that librdkafka holds in its queues, as they were last heard of.
    pub fn queued_bytes(&self) -> i64 {
        self.context.queued_bytes()
    }

    /// Leaves the group and waits until the thread has ended. Drop all streams first.
    pub async fn stop(mut self) {
        let ended = self.ended.take();
        drop(self);
        if let Some(ended) = ended {
            drop(ended.await);
        }
    }
}
