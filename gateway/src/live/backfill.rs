//! Reads from Kafka what the tail no longer holds, once for all who wait.
//!
//! Those who ask within a moment share one pass over the partition, at the pace of the slowest of them; one that
//! does not take its records in time is let go and asks again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::{LogReader, LogReaderEvent, Record};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// How long a pass waits for others who need the same partition.
const GATHER: Duration = Duration::from_millis(20);
/// How long a waiting reader may take for one chunk.
const SLOWEST: Duration = Duration::from_secs(30);
/// Passes at the same time.
const PASSES: usize = 4;

/// Records of one session, in order; everything before `next_offset` has been handed over.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    pub(crate) next_offset: i64,
}

struct Waiter {
    key: Bytes,
    offset: i64,
    chunks: mpsc::Sender<Chunk>,
}

/// Shared by all sessions.
#[derive(Clone)]
pub(crate) struct Backfill {
    inner: Arc<Inner>,
}

struct Inner {
    kafka: KafkaConfig,
    topic: String,
    /// Who waits for a pass that has not begun, by partition.
    waiting: Mutex<HashMap<i32, Vec<Waiter>>>,
    passes: Semaphore,
    stopping: CancellationToken,
}

impl Backfill {
    pub(crate) fn new(kafka: KafkaConfig, topic: String, stopping: CancellationToken) -> Self {
        let inner = Inner {
            kafka,
            topic,
            waiting: Mutex::default(),
            passes: Semaphore::new(PASSES),
            stopping,
        };
        Backfill {
            inner: Arc::new(inner),
        }
    }

    /// The session's records from `offset` on, for as long as the receiver lives. It ends when the log cannot be
    /// read or the receiver is too slow: ask again then.
    pub(crate) fn read(&self, partition: i32, key: Bytes, offset: i64) -> mpsc::Receiver<Chunk> {
        let (chunks, receiver) = mpsc::channel(4);
        let mut waiting = self
            .inner
            .waiting
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let queue = waiting.entry(partition).or_default();
        queue.push(Waiter { key, offset, chunks });
        if queue.len() == 1 {
            tokio::spawn(self.clone().pass(partition));
        }
        receiver
    }

    async fn pass(self, partition: i32) {
        tokio::time::sleep(GATHER).await;
        let Ok(_permit) = self.inner.passes.acquire().await else {
            return;
        };
        let mut waiters = {
            let mut waiting = self
                .inner
                .waiting
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            waiting.remove(&partition).unwrap_or_default()
        };
        let Some(from) = waiters.iter().map(|waiter| waiter.offset).min() else {
            return;
        };
        tracing::debug!(
            kafka.partition = partition,
            kafka.offset = from,
            waiters = waiters.len(),
            "reading back"
        );
        let reader = LogReader::start(&self.inner.kafka, &self.inner.topic, &[(partition, from)], 4);
        let mut reader = match reader {
            Ok(reader) => reader,
            Err(error) => return tracing::warn!(%error, kafka.partition = partition, "cannot read back"),
        };
        while !waiters.is_empty() {
            let event = tokio::select! {
                event = reader.next() => event,
                () = self.inner.stopping.cancelled() => return,
            };
            let records = match event {
                Some(LogReaderEvent::Records(records)) => records,
                Some(LogReaderEvent::PartitionError { detail, .. }) => {
                    return tracing::warn!(%detail, kafka.partition = partition, "reading back ended");
                }
                None => return,
            };
            let Some(next_offset) = records.last().map(|record| record.offset + 1) else {
                continue;
            };
            let mut stay = Vec::with_capacity(waiters.len());
            for waiter in waiters {
                let wanted = |record: &&Record| {
                    record.offset >= waiter.offset && record.key.as_deref() == Some(waiter.key.as_ref())
                };
                let records = records.iter().filter(wanted).cloned().collect();
                let chunk = Chunk { records, next_offset };
                if waiter.chunks.send_timeout(chunk, SLOWEST).await.is_ok() {
                    stay.push(waiter);
                }
            }
            waiters = stay;
        }
    }
}
