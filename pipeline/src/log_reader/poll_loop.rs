//! The polling thread: drains the partitions that have something, in turn, into bounded batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::signals::{Seek, Signals};
use super::witness::Witness;
use super::{Batch, LogReaderEvent};
use crate::Record;
use crate::client_watch::ClientWatch;
use crate::config::{KafkaConfig, set_unless_configured};

const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 1 << 20;
/// librdkafka's own queue, over all partitions; one fetch more can be on its way.
const QUEUED_KBYTES: usize = 16 * 1024;
/// How long logs and errors of an idle client may wait to be looked at.
const IDLE: Duration = Duration::from_millis(100);

pub(super) struct PollLoop {
    topic: String,
    /// One queue per partition, because librdkafka's errors name no partition. Dropped before the consumer.
    queues: BTreeMap<i32, PartitionQueue<ClientWatch>>,
    consumer: Arc<BaseConsumer<ClientWatch>>,
    signals: Arc<Signals>,
    batches: mpsc::Sender<Batch>,
    seeks_done: u64,
    /// Partitions whose queue may hold something.
    ready: BTreeSet<i32>,
    /// Told as truncated: nothing more of them until a seek.
    resting: BTreeSet<i32>,
    /// Where the last batch ended, so that every partition gets its turn.
    last_served: i32,
    batch: Vec<Record>,
    batch_bytes: usize,
    witness: Witness,
}

/// The owner is gone.
struct Stopped;

impl PollLoop {
    pub(super) fn new(
        config: &KafkaConfig,
        topic: &str,
        from: &[(i32, i64)],
        signals: Arc<Signals>,
        batches: mpsc::Sender<Batch>,
    ) -> anyhow::Result<Self> {
        let consumer = Arc::new(create_consumer(config, topic, from.len())?);
        let mut poll_loop = PollLoop {
            topic: topic.to_owned(),
            queues: BTreeMap::new(),
            consumer,
            signals,
            batches,
            seeks_done: 0,
            ready: BTreeSet::new(),
            resting: BTreeSet::new(),
            last_served: -1,
            batch: Vec::new(),
            batch_bytes: 0,
            witness: Witness::new(config, topic),
        };
        let mut assignment = TopicPartitionList::new();
        for (partition, offset) in from {
            // Before the assignment: what is fetched in between would go to the common queue.
            poll_loop.split_queue(*partition)?;
            assignment.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        poll_loop.consumer.assign(&assignment)?;
        Ok(poll_loop)
    }

    pub(super) fn run(mut self) {
        while self.turn().is_ok() {}
    }

    fn turn(&mut self) -> Result<(), Stopped> {
        let limit = if self.ready.is_empty() {
            IDLE
        } else {
            Duration::ZERO
        };
        let work = self.signals.wait(limit);
        if work.stopped {
            return Err(Stopped);
        }
        for seek in work.seeks {
            self.start_anew(seek)?;
        }
        self.ready.extend(work.ready);
        let failed = self.drain_ready();
        // After the records were taken and before they are given away: see client_watch.
        self.serve_common_queue();
        if self.consumer.context().take_topic_recreated() {
            return self.give_up_old_log();
        }
        if self.consumer.context().take_contact_lost() {
            self.witness.doubt_all();
        }
        self.tell_batch()?;
        for (partition, error) in failed {
            self.tell_partition_error(partition, &error)?;
        }
        Ok(())
    }

    fn tell_batch(&mut self) -> Result<(), Stopped> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.consumer.context().note_contact();
        let others = loop {
            match self.witness.find_other_logs(&self.batch) {
                Ok(others) => break others,
                Err(error) => tracing::warn!(%error, "log reader: the last records cannot be read again yet"),
            }
            // An error at once must not turn into a busy loop.
            std::thread::park_timeout(IDLE);
            if self.batches.is_closed() {
                return Err(Stopped);
            }
        };
        for partition in others {
            self.batch.retain(|record| record.partition != partition);
            self.stop_partition(
                partition,
                "the log was replaced by another while no broker could be reached",
            )?;
        }
        self.batch_bytes = 0;
        let records = std::mem::take(&mut self.batch);
        if records.is_empty() {
            return Ok(());
        }
        self.witness.remember(&records);
        self.tell(LogReaderEvent::Records(records))
    }

    /// It rests until a seek.
    fn stop_partition(&mut self, partition: i32, detail: &str) -> Result<(), Stopped> {
        if !self.resting.insert(partition) {
            return Ok(());
        }
        if let Err(error) = self.unassign(partition) {
            tracing::error!(%error, partition, "log reader: a partition cannot be unassigned");
        }
        self.witness.forget(partition);
        self.tell(LogReaderEvent::PartitionError {
            partition,
            detail: detail.to_owned(),
            truncated: true,
        })
    }

    /// Takes what is ready until the batch is full, beginning after the partition that was served last.
    fn drain_ready(&mut self) -> Vec<(i32, KafkaError)> {
        let mut failed = Vec::new();
        let turn_order: Vec<i32> = self
            .ready
            .range(self.last_served.saturating_add(1)..)
            .chain(self.ready.range(..=self.last_served))
            .copied()
            .collect();
        for partition in turn_order {
            let Some(queue) = self.queues.get(&partition) else {
                continue;
            };
            self.last_served = partition;
            loop {
                if self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
                    return failed;
                }
                match queue.poll(Duration::ZERO) {
                    None => break,
                    // What librdkafka had found before it was told to stop.
                    Some(_) if self.resting.contains(&partition) => {}
                    Some(Ok(message)) => {
                        self.batch_bytes += message.payload_len() + message.key_len();
                        self.batch.push(copy_record(&message));
                    }
                    Some(Err(error)) => failed.push((partition, error)),
                }
            }
            self.ready.remove(&partition);
        }
        failed
    }

    /// Logs and errors that belong to no partition; the context looks at them. Until the queue is empty.
    fn serve_common_queue(&mut self) {
        loop {
            let served = self.consumer.context().served();
            match self.consumer.poll(Duration::ZERO) {
                None if self.consumer.context().served() == served => return,
                None => {}
                Some(Ok(message)) => {
                    self.batch_bytes += message.payload_len() + message.key_len();
                    self.batch.push(copy_record(&message));
                }
                Some(Err(error)) => tracing::debug!(%error, "log reader: client error"),
            }
        }
    }

    /// What was taken may be of the new log, so all of it goes.
    fn give_up_old_log(&mut self) -> Result<(), Stopped> {
        self.batch.clear();
        self.batch_bytes = 0;
        let detail = format!("the topic {} was deleted and made anew", self.topic);
        for partition in self.queues.keys().copied().collect::<Vec<_>>() {
            self.stop_partition(partition, &detail)?;
        }
        Ok(())
    }

    fn tell_partition_error(&mut self, partition: i32, error: &KafkaError) -> Result<(), Stopped> {
        if let Some(
            RDKafkaErrorCode::AutoOffsetReset
            | RDKafkaErrorCode::OffsetOutOfRange
            | RDKafkaErrorCode::LogTruncation,
        ) = error.rdkafka_error_code()
        {
            return self.stop_partition(partition, &error.to_string());
        }
        self.tell(LogReaderEvent::PartitionError {
            partition,
            detail: error.to_string(),
            truncated: false,
        })
    }

    fn start_anew(&mut self, seek: Seek) -> Result<(), Stopped> {
        self.seeks_done = seek.number;
        self.witness.forget(seek.partition);
        if let Err(error) = self.assign_anew(seek) {
            let detail = format!("cannot start anew at offset {}: {error}", seek.offset);
            let partition = seek.partition;
            return self.tell(LogReaderEvent::PartitionError {
                partition,
                detail,
                truncated: false,
            });
        }
        Ok(())
    }

    fn assign_anew(&mut self, seek: Seek) -> anyhow::Result<()> {
        self.unassign(seek.partition)?;
        self.empty_queue(seek.partition)?;
        self.resting.remove(&seek.partition);
        self.split_queue(seek.partition)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, seek.partition, Offset::Offset(seek.offset))?;
        self.consumer.incremental_assign(&list)?;
        Ok(())
    }

    fn unassign(&self, partition: i32) -> anyhow::Result<()> {
        if self
            .consumer
            .assignment()?
            .find_partition(&self.topic, partition)
            .is_some()
        {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.topic, partition);
            self.consumer.incremental_unassign(&list)?;
        }
        Ok(())
    }

    /// librdkafka drops the records of an earlier assignment by itself, but not its errors.
    fn empty_queue(&self, partition: i32) -> anyhow::Result<()> {
        // The thread that answers this has stopped fetching by then, and puts no error of before into the queue.
        self.consumer.assignment()?;
        if let Some(queue) = self.queues.get(&partition) {
            while queue.poll(Duration::ZERO).is_some() {}
        }
        Ok(())
    }

    fn split_queue(&mut self, partition: i32) -> anyhow::Result<()> {
        self.queues.remove(&partition);
        let mut queue = self
            .consumer
            .split_partition_queue(&self.topic, partition)
            .ok_or_else(|| anyhow::anyhow!("no queue for partition {partition} of {}", self.topic))?;
        let signals = self.signals.clone();
        queue.set_nonempty_callback(move || signals.mark_ready(partition));
        self.queues.insert(partition, queue);
        // The callback tells only of what comes from now on.
        self.signals.mark_ready(partition);
        Ok(())
    }

    fn tell(&self, event: LogReaderEvent) -> Result<(), Stopped> {
        self.batches
            .blocking_send(Batch {
                event,
                seeks_done: self.seeks_done,
            })
            .map_err(|_| Stopped)
    }
}

fn create_consumer(
    config: &KafkaConfig,
    topic: &str,
    partitions: usize,
) -> anyhow::Result<BaseConsumer<ClientWatch>> {
    // The limit holds for each partition's queue.
    let queued_kbytes = (QUEUED_KBYTES / partitions.max(1)).max(128);
    let mut client = config.client_config();
    set_unless_configured(
        &mut client,
        &[
            // A record is there at once all the same. This is how often an idle reader asks, and how long a
            // partition that was full, or is sought, may wait for the fetch that it is in again.
            ("fetch.wait.max.ms", "50"),
            ("fetch.error.backoff.ms", "50"),
            ("fetch.max.bytes", "8388608"),
            // After a full queue it would otherwise not look again for a second.
            ("fetch.queue.backoff.ms", "5"),
            ("queued.max.messages.kbytes", &queued_kbytes.to_string()),
        ],
    );
    client
        // librdkafka wants a name even where no group is joined and nothing is committed.
        .set("group.id", format!("{}log-reader", config.topic_prefix))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error");
    ClientWatch::prepare(&mut client);
    Ok(client.create_with_context(ClientWatch::new(topic))?)
}

/// One allocation for key and value together.
pub(super) fn copy_record(message: &BorrowedMessage<'_>) -> Record {
    let mut bytes = BytesMut::with_capacity(message.key_len() + message.payload_len());
    let key = message.key().map(|key| {
        bytes.extend_from_slice(key);
        bytes.split().freeze()
    });
    let value = message.payload().map(|payload| {
        bytes.extend_from_slice(payload);
        bytes.split().freeze()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key,
        value,
    }
}
