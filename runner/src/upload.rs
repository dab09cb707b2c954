//! Sends what the spool holds, for as long as it takes: in order, each event until the server has decided about it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::sender::{Outcome, OutgoingEvent, Sender};
use crate::spool::{Record, Spool};

/// Less than a request may have, so that what one run holds in memory stays small.
const BATCH_BYTES: usize = 2 << 20;
const BATCH_EVENTS: usize = 1_000;
/// After an answer that somebody has to do something about (no key, a disk that cannot be read).
const BLOCKED: Duration = Duration::from_secs(15);

/// How the sending goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Events that the server has.
    pub accepted: u64,
    /// Events that it will not take, for the reason in `problem`.
    pub rejected: u64,
    /// Requests that were sent again.
    pub retried: u64,
    /// When the event was made that is now being sent; none when nothing waits.
    pub waiting_since: Option<DateTime<Utc>>,
    /// What stands in the way, or stood there last.
    pub problem: Option<String>,
}

/// Counts, for whoever asks meanwhile.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Sent>);

impl Progress {
    /// As it is now.
    pub fn now(&self) -> Sent {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Sent)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Sends until `closing` and nothing is left. Dropped at any point, nothing is lost.
pub async fn upload(spool: &Spool, client: &Client, progress: &Progress, closing: &CancellationToken) {
    let retrying = |reason: &str, _: Duration| {
        progress.note(|sent| {
            sent.retried += 1;
            sent.problem = Some(reason.to_owned());
        });
    };
    let sender = Sender::new(client, Duration::MAX, &retrying);
    let mut blocked = Backoff::default();
    loop {
        match upload_next(spool, &sender, progress).await {
            Ok(true) => blocked.reset(),
            Ok(false) if closing.is_cancelled() => return,
            Ok(false) => {
                tokio::select! {
                    () = spool.grown() => {}
                    () = closing.cancelled() => {}
                }
            }
            Err(problem) => {
                if progress.now().problem.as_deref() != Some(problem.as_str()) {
                    tracing::warn!(error = problem, "events wait in the spool");
                }
                progress.note(|sent| sent.problem = Some(problem));
                tokio::time::sleep(blocked.next_delay(None).max(BLOCKED)).await;
            }
        }
    }
}

/// Sends one batch; false if there is none.
async fn upload_next(spool: &Spool, sender: &Sender<'_>, progress: &Progress) -> Result<bool, String> {
    let batch = spool
        .next_batch(BATCH_EVENTS, BATCH_BYTES)
        .map_err(|error| format!("the spool cannot be read: {error}"))?;
    let waiting_since = batch.records.first().and_then(made_at);
    progress.note(|sent| sent.waiting_since = waiting_since);
    if batch.records.is_empty() {
        return Ok(false);
    }
    let events: Vec<OutgoingEvent> = batch.records.into_iter().map(outgoing).collect();
    let outcomes = sender.send(&events).await.map_err(|error| error.to_string())?;
    let refused: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.status != "accepted")
        .collect();
    progress.note(|sent| {
        sent.accepted += (outcomes.len() - refused.len()) as u64;
        sent.rejected += refused.len() as u64;
        sent.problem = None;
    });
    if let Some(first) = refused.first() {
        let reason = first.detail.clone().or(first.code.clone()).unwrap_or_default();
        tracing::warn!(events = refused.len(), reason, "the server refused events");
        progress.note(|sent| sent.problem = Some(format!("refused: {reason}")));
    }
    spool
        .confirm(batch.end)
        .map_err(|error| format!("the spool cannot be written: {error}"))?;
    Ok(true)
}

fn outgoing(record: Record) -> OutgoingEvent {
    OutgoingEvent {
        id: record.id.to_string(),
        json: record.json,
    }
}

fn made_at(record: &Record) -> Option<DateTime<Utc>> {
    let (seconds, nanos) = record.id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}
