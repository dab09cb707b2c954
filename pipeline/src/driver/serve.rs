//! The driver's thread: serves librdkafka's common queue and carries out commands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::context::DriverContext;
use super::{DriverEvent, DriverOptions, OpenError, PartitionStream};
use crate::config::KafkaConfig;

/// How long a rebalance may wait for this thread while no command comes.
const TICK: Duration = Duration::from_millis(20);
const COMMIT_EVERY: Duration = Duration::from_secs(1);

pub(super) enum Command {
    Open {
        partition: i32,
        offset: i64,
        reply: oneshot::Sender<Result<PartitionStream, OpenError>>,
    },
    Commit {
        partition: i32,
        next_offset: i64,
    },
}

pub(super) struct ServeLoop {
    topic: String,
    consumer: Arc<BaseConsumer<DriverContext>>,
    commands: Receiver<Command>,
    to_commit: BTreeMap<i32, i64>,
    committed_at: Instant,
}

impl ServeLoop {
    pub(super) fn new(
        kafka: &KafkaConfig,
        options: DriverOptions,
        events: mpsc::Sender<DriverEvent>,
        commands: Receiver<Command>,
    ) -> anyhow::Result<Self> {
        let context = DriverContext::new(&options.topic, options.drain, events);
        let consumer: BaseConsumer<DriverContext> = kafka
            .client_config()
            .set("group.id", &options.group)
            .set("partition.assignment.strategy", "cooperative-sticky")
            // What a broker allows at the least: partitions of a killed member are read again after this time.
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1500")
            .set("max.poll.interval.ms", "60000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            // A topic that was deleted and comes back minutes later is found after this time.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("statistics.interval.ms", "2000")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.max.bytes", (16 << 20).to_string())
            .set(
                "fetch.error.backoff.ms",
                options.fetch_error_backoff.as_millis().to_string(),
            )
            // After a full queue it would otherwise not look again for a second.
            .set("fetch.queue.backoff.ms", "5")
            .set(
                "queued.max.messages.kbytes",
                (options.queue_bytes / 1024).max(64).to_string(),
            )
            .create_with_context(context)?;
        consumer.subscribe(&[&options.topic])?;
        Ok(ServeLoop {
            topic: options.topic,
            consumer: Arc::new(consumer),
            commands,
            to_commit: BTreeMap::new(),
            committed_at: Instant::now(),
        })
    }

    pub(super) fn context(&self) -> Arc<DriverContext> {
        self.consumer.context().clone()
    }

    pub(super) fn run(mut self) {
        loop {
            let first = self.commands.recv_timeout(TICK);
            // Before the commands: a rebalance that waits for its callback must not take an `open` for its answer.
            self.serve_common_queue();
            match first {
                Ok(command) => self.carry_out(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Ok(command) = self.commands.try_recv() {
                self.carry_out(command);
            }
            self.commit_if_due();
        }
        self.commit();
        // Leaves the group. Streams that are still held end it where they are dropped.
        drop(self.consumer);
    }

    fn serve_common_queue(&self) {
        while let Some(result) = self.consumer.poll(Duration::ZERO) {
            match result {
                Ok(_) => tracing::debug!("a record came in no partition's queue"),
                Err(KafkaError::MessageConsumptionFatal(code)) => {
                    self.consumer
                        .context()
                        .tell(DriverEvent::Failed(code.to_string()));
                }
                Err(error) => tracing::debug!(kafka.topic = self.topic, %error, "consumer error"),
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Open {
                partition,
                offset,
                reply,
            } => {
                // The one who asked may be gone.
                drop(reply.send(self.open(partition, offset)));
            }
            Command::Commit {
                partition,
                next_offset,
            } => {
                self.to_commit.insert(partition, next_offset);
            }
        }
    }

    fn open(&self, partition: i32, offset: i64) -> Result<PartitionStream, OpenError> {
        let context = self.consumer.context();
        if !context.is_assigned(partition) {
            return Err(OpenError::NotAssigned);
        }
        let refused = |error: KafkaError| OpenError::Refused(error.to_string());
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        if context.note_opened(partition) {
            self.consumer.incremental_unassign(&list).map_err(refused)?;
        }
        let stream = self.split(partition).and_then(|stream| {
            list.set_partition_offset(&self.topic, partition, Offset::Offset(offset))
                .map_err(refused)?;
            self.consumer.incremental_assign(&list).map_err(refused)?;
            Ok(stream)
        });
        if stream.is_err() {
            context.note_closed(partition);
        }
        stream
    }

    /// Before the partition is assigned: what is fetched in between would go to the common queue.
    fn split(&self, partition: i32) -> Result<PartitionStream, OpenError> {
        let queue = self
            .consumer
            .split_partition_queue(&self.topic, partition)
            .ok_or_else(|| OpenError::Refused(format!("there is no queue for partition {partition}")))?;
        Ok(PartitionStream::new(queue))
    }

    fn commit_if_due(&mut self) {
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.committed_at = Instant::now();
            self.commit();
        }
    }

    fn commit(&mut self) {
        if self.to_commit.is_empty() {
            return;
        }
        if let Err(error) = self.commit_offsets() {
            tracing::debug!(%error, "offsets for lag tools were not committed");
        }
        self.to_commit.clear();
    }

    fn commit_offsets(&self) -> KafkaResult<()> {
        let mut offsets = TopicPartitionList::new();
        for (partition, next_offset) in &self.to_commit {
            if self.consumer.context().is_assigned(*partition) {
                offsets.add_partition_offset(&self.topic, *partition, Offset::Offset(*next_offset))?;
            }
        }
        if offsets.count() == 0 {
            return Ok(());
        }
        self.consumer.commit(&offsets, CommitMode::Async)
    }
}
