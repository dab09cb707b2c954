//! Reads given partitions from given offsets, without a group: the gateway's live tail and its reads of what the
//! tail no longer holds.
//!
//! It never starts anywhere by itself: a position that the log does not have, and a topic that was made anew, are
//! told as errors of the partition, which then rests until `seek`.

mod poll_loop;
mod probe;
mod signals;
mod witness;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::Record;
use crate::config::KafkaConfig;
use poll_loop::PollLoop;
pub(crate) use probe::LogProbe;
use signals::Signals;

/// Reads on a thread of its own, which ends when this is dropped.
pub struct LogReader {
    batches: mpsc::Receiver<Batch>,
    signals: Arc<Signals>,
}

/// What it tells.
#[derive(Debug)]
pub enum LogReaderEvent {
    /// Records of one or more partitions, in order within each.
    Records(Vec<Record>),
    /// A partition cannot be read on.
    PartitionError {
        /// Which.
        partition: i32,
        /// For people.
        detail: String,
        /// The log no longer has what was read, or is another one: the partition rests until `seek`.
        /// Otherwise it goes on by itself as soon as it can.
        truncated: bool,
    },
}

/// An event and the number of the last `seek` that was done when it was read.
struct Batch {
    event: LogReaderEvent,
    seeks_done: u64,
}

impl LogReader {
    /// Starts reading `topic` at `from`, pairs of partition and offset. At most `queue` batches wait for `next`:
    /// then it stops polling until there is room.
    ///
    /// # Errors
    /// If librdkafka refuses the configuration. A broker that cannot be reached is no error: it waits for it.
    pub fn start(
        config: &KafkaConfig,
        topic: &str,
        from: &[(i32, i64)],
        queue: usize,
    ) -> anyhow::Result<LogReader> {
        let (sender, batches) = mpsc::channel(queue.max(1));
        let signals = Arc::new(Signals::default());
        let poll_loop = PollLoop::new(config, topic, from, signals.clone(), sender)?;
        std::thread::Builder::new()
            .name("kulti-log-reader".to_owned())
            .spawn(move || poll_loop.run())?;
        Ok(LogReader { batches, signals })
    }

    /// The next batch: everything that was ready, up to 1,000 records or 1 MiB. None if the thread ended.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Option<LogReaderEvent> {
        loop {
            let batch = self.batches.recv().await?;
            if let Some(event) = self.drop_what_a_seek_overtook(batch) {
                return Some(event);
            }
        }
    }

    /// Starts one partition anew at this offset, the others go on. Nothing that was read of it before comes
    /// out of `next` any more.
    pub fn seek(&self, partition: i32, offset: i64) {
        self.signals.seek(partition, offset);
    }

    fn drop_what_a_seek_overtook(&self, batch: Batch) -> Option<LogReaderEvent> {
        let Some(overtaken) = self.signals.sought_after(batch.seeks_done) else {
            return Some(batch.event);
        };
        match batch.event {
            LogReaderEvent::Records(mut records) => {
                records.retain(|record| !overtaken.contains(&record.partition));
                (!records.is_empty()).then_some(LogReaderEvent::Records(records))
            }
            LogReaderEvent::PartitionError { partition, .. } if overtaken.contains(&partition) => None,
            error => Some(error),
        }
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        self.signals.stop();
    }
}

/// Low and high watermark of a partition: its first offset, and the one its next record will have.
///
/// # Errors
/// If no broker answers within ten seconds, or there is no such partition.
pub async fn watermarks(config: &KafkaConfig, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
    let (config, topic) = (config.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || LogProbe::new(&config, &topic)?.watermarks(partition)).await?
}
