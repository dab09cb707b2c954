//! One partition's records while it is open.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::Notify;

use super::context::DriverContext;
use crate::Record;

/// librdkafka tells when a queue becomes nonempty. Should it ever not, this is how late the queue is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Why a stream cannot go on. Its partition has to be opened again.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The log does not have the offset that was asked for.
    #[error("the offset is not in the log")]
    OutOfRange,
    /// The consumer says so.
    #[error("the consumer failed: {0}")]
    Consumer(KafkaError),
}

/// One partition's records, in order, from where it was opened.
pub struct PartitionStream {
    queue: PartitionQueue<DriverContext>,
    ready: Arc<Notify>,
    failed: Option<StreamError>,
}

impl PartitionStream {
    pub(super) fn new(mut queue: PartitionQueue<DriverContext>) -> Self {
        let ready = Arc::new(Notify::new());
        let notify = ready.clone();
        queue.set_nonempty_callback(move || notify.notify_one());
        PartitionStream {
            queue,
            ready,
            failed: None,
        }
    }

    /// Everything that is queued, up to these many records and about as many bytes; waits if it is nothing.
    /// Cancel-safe.
    ///
    /// # Errors
    /// After the records that came before the failure.
    pub async fn next_batch(&mut self, records: usize, bytes: usize) -> Result<Vec<Record>, StreamError> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let batch = self.take_queued(records, bytes);
            if !batch.is_empty() {
                return Ok(batch);
            }
            if self.failed.is_none() {
                drop(tokio::time::timeout(LOOK_AGAIN, self.ready.notified()).await);
            }
        }
    }

    fn take_queued(&mut self, records: usize, bytes: usize) -> Vec<Record> {
        let mut batch = BatchBuffer::default();
        while batch.records.len() < records && batch.bytes.len() < bytes {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => batch.push(&message),
                Some(Err(error)) => {
                    self.failed = Some(classify(error));
                    break;
                }
            }
        }
        batch.finish()
    }
}

fn classify(error: KafkaError) -> StreamError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            StreamError::OutOfRange
        }
        _ => StreamError::Consumer(error),
    }
}

/// Copies a batch out of librdkafka's buffers into one allocation instead of two per record.
#[derive(Default)]
struct BatchBuffer {
    bytes: Vec<u8>,
    records: Vec<Placed>,
}

struct Placed {
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

impl BatchBuffer {
    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let placed = Placed {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(|key| self.place(key)),
            value: message.payload().map(|value| self.place(value)),
        };
        self.records.push(placed);
    }

    fn place(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }

    fn finish(self) -> Vec<Record> {
        let bytes = Bytes::from(self.bytes);
        let record = |placed: Placed| Record {
            partition: placed.partition,
            offset: placed.offset,
            timestamp_ms: placed.timestamp_ms,
            key: placed.key.map(|range| bytes.slice(range)),
            value: placed.value.map(|range| bytes.slice(range)),
        };
        self.records.into_iter().map(record).collect()
    }
}
