//! Single questions to the log: watermarks, and one record read again. Blocking: never on an async thread.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::poll_loop::copy_record;
use crate::Record;
use crate::config::KafkaConfig;

const LIMIT: Duration = Duration::from_secs(10);

/// A client of its own for questions about one topic.
pub(crate) struct LogProbe {
    topic: String,
    consumer: BaseConsumer,
}

impl LogProbe {
    pub(crate) fn new(config: &KafkaConfig, topic: &str) -> anyhow::Result<Self> {
        let consumer = config
            .client_config()
            .set("group.id", format!("{}log-probe", config.topic_prefix))
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        Ok(LogProbe {
            topic: topic.to_owned(),
            consumer,
        })
    }

    /// First offset, and the next record's.
    pub(crate) fn watermarks(&self, partition: i32) -> anyhow::Result<(i64, i64)> {
        self.consumer
            .fetch_watermarks(&self.topic, partition, LIMIT)
            .with_context(|| format!("watermarks of partition {partition} of {}", self.topic))
    }

    /// The record at this offset; None if the log does not have it.
    pub(crate) fn record_at(&self, partition: i32, offset: i64) -> anyhow::Result<Option<Record>> {
        let (low, high) = self.watermarks(partition)?;
        if offset < low || offset >= high {
            return Ok(None);
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, partition, Offset::Offset(offset))?;
        self.consumer.assign(&assignment)?;
        let begun = Instant::now();
        let record = loop {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => break copy_record(&message),
                Some(Err(error)) => tracing::debug!(%error, partition, offset, "log probe: client error"),
                None => {}
            }
            anyhow::ensure!(
                begun.elapsed() < LIMIT,
                "offset {offset} of partition {partition} of {} could not be read in time",
                self.topic
            );
        };
        self.consumer.unassign()?;
        Ok((record.offset == offset).then_some(record))
    }
}
