//! librdkafka's callbacks: rebalances become events, and statistics say where the log ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tokio::sync::mpsc;

use super::{DriverEvent, RevokeGuard};
use crate::client_watch::forward_log;

/// Runs on the driver's thread only, but for `log_end`.
pub(super) struct DriverContext {
    topic: String,
    drain: Duration,
    events: mpsc::Sender<DriverEvent>,
    /// Locked for moments, never while waiting or calling librdkafka.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the group gave us.
    assigned: BTreeSet<i32>,
    /// The part of it that is being read.
    opened: BTreeSet<i32>,
    log_ends: BTreeMap<i32, i64>,
    queued_bytes: i64,
}

impl DriverContext {
    pub(super) fn new(topic: &str, drain: Duration, events: mpsc::Sender<DriverEvent>) -> Self {
        DriverContext {
            topic: topic.to_owned(),
            drain,
            events,
            state: Mutex::default(),
        }
    }

    pub(super) fn log_end(&self, partition: i32) -> Option<i64> {
        self.state().log_ends.get(&partition).copied()
    }

    pub(super) fn queued_bytes(&self) -> i64 {
        self.state().queued_bytes
    }

    pub(super) fn is_assigned(&self, partition: i32) -> bool {
        self.state().assigned.contains(&partition)
    }

    /// Notes that a partition is read; true if it already was.
    pub(super) fn note_opened(&self, partition: i32) -> bool {
        !self.state().opened.insert(partition)
    }

    pub(super) fn note_closed(&self, partition: i32) {
        self.state().opened.remove(&partition);
    }

    /// Tells the runner; false if there is none any more.
    pub(super) fn tell(&self, event: DriverEvent) -> bool {
        self.events.blocking_send(event).is_ok()
    }

    fn take_over(&self, consumer: &BaseConsumer<Self>, partitions: Vec<i32>) {
        // Nothing is read before its owner says where, so nothing is assigned to the client yet.
        if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
            tracing::warn!(%error, "an assignment could not be acknowledged");
        }
        self.state().assigned.extend(&partitions);
        self.tell(DriverEvent::Assigned(partitions));
    }

    fn give_up(&self, consumer: &BaseConsumer<Self>, partitions: Vec<i32>) {
        let (finished, wait) = sync_channel(0);
        let event = DriverEvent::Revoked {
            partitions: partitions.clone(),
            guard: RevokeGuard { _finished: finished },
        };
        // Ends with an error at the deadline, and as soon as the guard is dropped: both are the end of the wait.
        if self.tell(event)
            && wait.recv_timeout(self.drain) == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            tracing::warn!(?partitions, "revoked partitions were not given up in time");
        }
        let mut opened = TopicPartitionList::new();
        let mut state = self.state();
        for partition in &partitions {
            state.assigned.remove(partition);
            if state.opened.remove(partition) {
                opened.add_partition(&self.topic, *partition);
            }
        }
        drop(state);
        if let Err(error) = consumer.incremental_unassign(&opened) {
            tracing::warn!(%error, "a revoke could not be acknowledged");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for DriverContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(kafka.topic = self.topic, %error, reason, "kafka client error");
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else {
            return;
        };
        let mut state = self.state();
        let queued: u64 = topic
            .partitions
            .values()
            .map(|partition| partition.fetchq_size)
            .sum();
        state.queued_bytes = i64::try_from(queued).unwrap_or(i64::MAX);
        for partition in topic.partitions.values() {
            if partition.hi_offset >= 0 {
                state.log_ends.insert(partition.partition, partition.hi_offset);
            }
        }
    }
}

impl ConsumerContext for DriverContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, moved: &mut TopicPartitionList) {
        let partitions: Vec<i32> = moved
            .elements()
            .iter()
            .map(|element| element.partition())
            .collect();
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.take_over(consumer, partitions),
            _ => self.give_up(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offsets for lag tools were not committed");
        }
    }
}
