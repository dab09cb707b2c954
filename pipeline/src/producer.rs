//! The producer: acks=all, idempotent, bounded, one wake-up per request.

use crate::PipelineMetrics;
use crate::config::KafkaConfig;

/// A record to write.
#[derive(Debug, Clone)]
pub struct OutRecord {
    /// Decides the partition (murmur2).
    pub key: Vec<u8>,
    /// The framed event.
    pub value: Vec<u8>,
    /// Typed headers, only for dead letters.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// Why a record was not acknowledged. It may be in the log all the same: retry with the same event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The bounded queue is full: the caller must slow down.
    #[error("the producer's queue is full")]
    QueueFull,
    /// The broker did not acknowledge in time, or cannot be reached.
    #[error("the log did not acknowledge: {0}")]
    Unavailable(String),
    /// Larger than the topic takes.
    #[error("the record is larger than the topic takes")]
    TooLarge,
}

/// Writes to the log. Cheap to clone.
#[derive(Clone)]
pub struct LogProducer {}

impl LogProducer {
    /// Starts librdkafka's threads; does not wait for a broker.
    pub fn new(_config: &KafkaConfig, _metrics: PipelineMetrics) -> anyhow::Result<Self> {
        todo!()
    }
    /// Writes all records to `topic` in this order and waits until each is acknowledged or failed:
    /// one result per record, in order, and one wake-up of the caller.
    pub async fn send(&self, _topic: &str, _records: Vec<OutRecord>) -> Vec<Result<(), SendError>> {
        todo!()
    }
    /// False while no broker can be reached: ingest answers 503 at once instead of queueing.
    pub fn is_available(&self) -> bool {
        todo!()
    }
    /// Waits until everything queued is acknowledged or failed.
    pub async fn flush(&self, _budget: std::time::Duration) -> bool {
        todo!()
    }
}
