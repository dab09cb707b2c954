//! Whether the log is still the one that was read.

use std::time::Duration;

use super::super::row::{self, Owned};
use super::super::witness::Testimony;
use super::{End, LOG_TRUNCATED, Projection, Worker};
use crate::Record;
use crate::driver::{PartitionStream, StreamError};

/// How long the last applied record may take to come before the witness is asked about it.
const FIRST_RECORD: Duration = Duration::from_secs(2);

impl<P: Projection> Worker<P> {
    /// Opens the partition at the last applied record and compares it; gives back what came after it.
    pub(super) async fn open_verified(&self, owned: &Owned) -> Result<(PartitionStream, Vec<Record>), End> {
        let start = if owned.last_record.is_some() {
            owned.next_offset - 1
        } else {
            owned.next_offset
        };
        let unavailable = |error: &dyn std::fmt::Display| End::Unavailable(format!("consumer: {error}"));
        let mut stream = self
            .driver
            .open(self.partition, start)
            .await
            .map_err(|error| unavailable(&error))?;
        let options = &self.context.options;
        let first = stream.next_batch(options.batch_records, options.batch_bytes);
        match tokio::time::timeout(FIRST_RECORD, first).await {
            Ok(Ok(mut batch)) => {
                let Some(last_record) = owned.last_record else {
                    return Ok((stream, batch));
                };
                let witness = batch.remove(0);
                if witness.offset != start || witness.fingerprint() != last_record {
                    return Err(End::LogTruncated(
                        owned.clone(),
                        "another record is where the last one was",
                    ));
                }
                Ok((stream, batch))
            }
            Ok(Err(StreamError::Consumer(error))) => Err(unavailable(&error)),
            // Nothing is there: a log that was cut, or one that came back in this moment.
            Ok(Err(StreamError::OutOfRange)) => {
                self.verify(owned).await?;
                Err(End::Unavailable("the next offset was not in the log".to_owned()))
            }
            // Nothing came: a log without new records, one that was cut, or no broker.
            Err(_) => {
                self.verify(owned).await?;
                if owned.last_record.is_some() {
                    return Err(End::Unavailable("the log is slow to answer".to_owned()));
                }
                Ok((stream, Vec::new()))
            }
        }
    }

    pub(super) async fn verify(&self, owned: &Owned) -> Result<(), End> {
        let testimony = tokio::select! {
            testimony = self.witness.ask(owned) => testimony,
            () = self.given_up.cancelled() => return Err(End::GivenUp),
        };
        match testimony {
            Ok(Testimony::Same) => Ok(()),
            Ok(Testimony::Different) => Err(End::LogTruncated(
                owned.clone(),
                "another record is where the last one was",
            )),
            Ok(Testimony::Missing) => Err(End::RecordMissing(owned.clone())),
            Err(error) => Err(End::Unavailable(format!("log: {error}"))),
        }
    }

    pub(super) async fn stop_truncated(&self, owned: &Owned, detail: &str) {
        match row::stop(&self.context.pool, owned, LOG_TRUNCATED).await {
            Ok(true) => {
                self.note_stop(LOG_TRUNCATED);
                tracing::error!(
                    kafka.partition = owned.partition,
                    kafka.offset = owned.next_offset,
                    projection = owned.projection,
                    detail,
                    "log_truncated: the log was cut or recreated; `kulti topics new-epoch` takes it up again"
                );
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "a stopped partition could not be marked; tried again"),
        }
        // The takeover that follows finds it stopped, or finds out again.
    }

    /// Somebody may have put the right volume back.
    pub(super) async fn go_on_if_log_is_back(&self, owned: &Owned) {
        if owned.last_record.is_none() || self.verify(owned).await.is_err() {
            return;
        }
        match row::release(&self.context.pool, owned, LOG_TRUNCATED).await {
            Ok(true) => tracing::info!(
                kafka.partition = owned.partition,
                projection = owned.projection,
                "the log is again the one that was read"
            ),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "a stopped partition could not be released"),
        }
    }
}

/// Cuts off and gives back what follows a gap in the offsets, unless nothing came at that offset before either.
/// Retention, compaction and transactions of others leave gaps; so could a client that loses records.
pub(super) fn cut_at_gap(batch: &mut Vec<Record>, next_offset: i64, believed: Option<i64>) -> Vec<Record> {
    let mut expected = next_offset;
    for index in 0..batch.len() {
        if batch[index].offset != expected && believed != Some(expected) {
            return batch.split_off(index);
        }
        expected = batch[index].offset + 1;
    }
    Vec::new()
}
