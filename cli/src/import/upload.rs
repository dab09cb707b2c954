//! Events on their way to the server: in order, in batches, with a bounded number of them at once.

use std::io;
use std::time::Duration;

use kulti_adapters::ImportedEvent;
use kulti_runner::sender::{BATCH_BYTES, BATCH_EVENTS, Outcome, OutgoingEvent, Sender};
use serde_json::Value;
use tokio::sync::mpsc;

use super::group::Sink;
use super::source::Source;
use super::sources::Found;
use crate::client::Client;
use crate::output::{note, note_retry};
use crate::terminal_text::clean_line;

/// Reasons for rejections that are told one by one.
const TOLD: usize = 10;

/// What goes from the reading thread to the sender.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<OutgoingEvent>,
    bytes: usize,
    /// Reports of the files whose last events are in it.
    pub(crate) reports: Vec<Value>,
    /// Files that could not be read, and why.
    pub(crate) failures: Vec<String>,
    /// Bytes of files that were read for it.
    pub(crate) bytes_read: u64,
}

/// Fills batches and hands them over; waits while the sender is busy.
pub(crate) struct Batches {
    batch: Batch,
    sender: mpsc::Sender<Batch>,
    /// What is read is only counted.
    keeps_events: bool,
}

impl Batches {
    pub(crate) fn new(sender: mpsc::Sender<Batch>, keeps_events: bool) -> Self {
        Batches {
            batch: Batch::default(),
            sender,
            keeps_events,
        }
    }

    /// Hands over what is there. False: nobody wants more.
    pub(crate) fn flush(&mut self) -> bool {
        self.sender.blocking_send(std::mem::take(&mut self.batch)).is_ok()
    }
}

impl Sink for Batches {
    fn event(&mut self, event: ImportedEvent) -> bool {
        if !self.keeps_events {
            return !self.sender.is_closed();
        }
        let event = OutgoingEvent {
            id: event.id.to_string(),
            json: event.to_json(),
        };
        let is_full = self.batch.events.len() >= BATCH_EVENTS
            || self.batch.bytes + event.json.len() + 1 > BATCH_BYTES && !self.batch.events.is_empty();
        if is_full && !self.flush() {
            return false;
        }
        self.batch.bytes += event.json.len() + 1;
        self.batch.events.push(event);
        true
    }

    fn done(&mut self, source: &Source) {
        self.batch.reports.push(report_of(source));
    }

    fn failed(&mut self, found: &Found, error: &io::Error) {
        self.batch
            .failures
            .push(format!("{}: {error}", found.path.display()));
    }

    fn progress(&mut self, bytes: u64) {
        self.batch.bytes_read += bytes;
    }
}

/// The file's report, with its path.
fn report_of(source: &Source) -> Value {
    let mut report = serde_json::to_value(source.report()).unwrap_or_default();
    report["path"] = source.path.to_string_lossy().into();
    report
}

/// What became of an import.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) sent: u64,
    pub(crate) rejected: u64,
    pub(crate) failures: u64,
}

/// Sends batch after batch until the reading thread has no more; tells `each` about every one that was decided.
pub(crate) async fn upload(
    client: &Client,
    patience: Duration,
    batches: &mut mpsc::Receiver<Batch>,
    mut each: impl FnMut(&Batch, &Upload) -> anyhow::Result<()>,
) -> anyhow::Result<Upload> {
    let sender = Sender::new(client, patience, &note_retry);
    let mut upload = Upload::default();
    while let Some(batch) = batches.recv().await {
        for failure in &batch.failures {
            upload.failures += 1;
            note(&format!("cannot read {failure}"));
        }
        for outcome in sender.send(&batch.events).await? {
            upload.take(&outcome)?;
        }
        each(&batch, &upload)?;
    }
    Ok(upload)
}

impl Upload {
    fn take(&mut self, outcome: &Outcome) -> anyhow::Result<()> {
        let reason = || {
            let parts = [&outcome.code, &outcome.field, &outcome.detail];
            let parts: Vec<&str> = parts.into_iter().filter_map(|part| part.as_deref()).collect();
            clean_line(&parts.join(" "), 400)
        };
        match outcome.status.as_str() {
            "accepted" => self.sent += 1,
            "rejected" => {
                self.rejected += 1;
                // One code stands for the whole session: nothing more of it will be taken.
                if self.rejected <= TOLD as u64 {
                    let id = outcome.id.as_deref().unwrap_or_default();
                    note(&format!("rejected {}: {}", clean_line(id, 64), reason()));
                }
            }
            _ => anyhow::bail!(
                "the server takes nothing ({}); the same command goes on where this one stopped",
                reason()
            ),
        }
        Ok(())
    }
}
