//! The producer: acks=all, idempotent, bounded, one wake-up per request.
//!
//! It owns librdkafka's client, decides whether a broker can be reached, and makes a new client after a fatal error
//! (the idempotent producer's state is lost then, nothing else: what was on its way is answered with
//! `Unavailable`, is sent again under the same event id, and its copy is dropped by whoever reads). It does not
//! encode and does not retry beyond the delivery timeout.

mod delivery;
mod health;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};

use crate::PipelineMetrics;
use crate::config::KafkaConfig;
use delivery::{Delivery, Request};
use health::{ProducerClient, Shared};

/// The largest record that librdkafka takes; the topic's limit is the same.
pub(crate) const MAX_RECORD_BYTES: usize = 2 << 20;
/// After so many records of one request others get their turn on this thread.
const RECORDS_PER_TURN: usize = 500;

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

impl SendError {
    /// A closed set, for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            SendError::QueueFull => "queue_full",
            SendError::Unavailable(_) => "unavailable",
            SendError::TooLarge => "too_large",
        }
    }
}

impl From<&KafkaError> for SendError {
    fn from(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => SendError::QueueFull,
            Some(
                RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::MessageBatchTooLarge,
            ) => SendError::TooLarge,
            Some(code) => SendError::Unavailable(code.to_string()),
            None => SendError::Unavailable(error.to_string()),
        }
    }
}

/// Writes to the log. Cheap to clone; its threads end with the last clone.
#[derive(Clone)]
pub struct LogProducer {
    handle: Arc<Handle>,
}

/// Ends the threads when the last clone goes.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl LogProducer {
    /// Starts librdkafka's threads; does not wait for a broker.
    ///
    /// # Errors
    /// If librdkafka refuses the configuration.
    pub fn new(config: &KafkaConfig, metrics: PipelineMetrics) -> anyhow::Result<Self> {
        let shared = Shared::start(config, metrics.producer)?;
        Ok(LogProducer {
            handle: Arc::new(Handle { shared }),
        })
    }

    /// Writes all records to `topic` in this order and waits until each is acknowledged or failed:
    /// one result per record, in order, and one wake-up of the caller.
    ///
    /// One record that is too large does not keep the others back. After one that finds the queue full, the rest of
    /// the request is answered the same, so that a retry does not change the order. A caller that is dropped while
    /// it waits leaks nothing; what it has handed over goes on.
    pub async fn send(&self, topic: &str, records: Vec<OutRecord>) -> Vec<Result<(), SendError>> {
        let shared = &self.handle.shared;
        let begun = Instant::now();
        let total = records.len();
        let (request, all_settled) = Request::new(total);
        let client = shared.client();
        for (index, record) in records.into_iter().enumerate() {
            if index % RECORDS_PER_TURN == RECORDS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            let Err(error) = enqueue(&client, topic, &record, Delivery::new(&request, index)) else {
                continue;
            };
            if error == SendError::QueueFull {
                for rest in index..total {
                    request.settle(rest, Err(SendError::QueueFull));
                }
                break;
            }
            request.settle(index, Err(error));
        }
        drop(client);
        // A closed channel cannot be: the request is settled before its sender goes.
        all_settled.await.ok();
        let results = request.take_results();
        shared.count(&results, begun.elapsed());
        results
    }

    /// False while no broker can be reached: ingest answers 503 at once instead of queueing. True again as soon as
    /// one answers, without anybody's doing.
    pub fn is_available(&self) -> bool {
        self.handle.shared.is_available()
    }

    /// Waits until everything queued is acknowledged or failed; false if that took longer than `budget`.
    pub async fn flush(&self, budget: Duration) -> bool {
        let emptied = async {
            while self.handle.shared.client().in_flight_count() > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(budget, emptied).await.is_ok()
    }
}

fn enqueue(
    client: &ProducerClient,
    topic: &str,
    record: &OutRecord,
    delivery: Box<Delivery>,
) -> Result<(), SendError> {
    let mut message = BaseRecord::with_opaque_to(topic, delivery)
        .key(&record.key)
        .payload(&record.value);
    if !record.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header {
                key,
                value: Some(value),
            });
        }
        message = message.headers(headers);
    }
    client.send(message).map_err(|(error, _)| SendError::from(&error))
}
