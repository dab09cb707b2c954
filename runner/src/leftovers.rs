//! Sends what runs left that were killed, or ended while the server was away, and ends their sessions.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::client::Client;
use crate::folder::{RunFile, RunFolder, StatusFile};
use crate::frame::Said;
use crate::spool::{DEFAULT_LIMIT, Place, Record, Spool, Weight};
use crate::upload::{Progress, upload};

/// Makes the client of a server by its URL, with whatever key this user has for it.
pub type Connect<'a> = &'a (dyn Fn(&str) -> Result<Client, String> + Sync);

/// Runs that are sent at once: each holds a batch of 2 MiB.
const AT_ONCE: usize = 4;
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What became of the runs that were left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Runs of which everything is sent now.
    pub runs: u64,
    /// Events that were sent.
    pub events: u64,
    /// Runs that another process works on.
    pub busy: u64,
}

/// Whether there is anything to do, for those who would have to start a process for it.
pub fn are_there_any(runs: &Path) -> bool {
    let folders = RunFolder::all(runs).unwrap_or_default();
    folders
        .iter()
        .any(|folder| folder.read().is_ok_and(|run| !run.finished))
}

/// Sends what all runs left that no process works on, one after the other, for as long as it takes. Dropped at any
/// point, nothing is lost.
///
/// # Errors
/// If the folder of the runs cannot be read.
pub async fn drain(runs: &Path, connect: Connect<'_>) -> io::Result<Drained> {
    let drained = Mutex::new(Drained::default());
    let folders = futures_util::stream::iter(RunFolder::all(runs)?);
    // At once, because each may go to another server, and one that is away must not hold up the others.
    let all = folders.for_each_concurrent(AT_ONCE, |folder| {
        let drained = &drained;
        async move {
            folder.forget_if_old(Utc::now());
            let outcome = drain_one(&folder, connect).await;
            let mut drained = drained.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(Outcome::Sent(events)) => {
                    drained.runs += 1;
                    drained.events += events;
                }
                Ok(Outcome::Nothing) => {}
                Ok(Outcome::Busy) => drained.busy += 1,
                Err(error) => {
                    let folder = folder.path().display().to_string();
                    tracing::warn!(%error, folder, "what a run left cannot be sent");
                }
            }
        }
    });
    all.await;
    Ok(drained.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What became of one run.
enum Outcome {
    /// There was something to do, and it was so many events.
    Sent(u64),
    /// It was finished.
    Nothing,
    /// Another process works on it.
    Busy,
}

async fn drain_one(folder: &RunFolder, connect: Connect<'_>) -> io::Result<Outcome> {
    if folder.read().is_ok_and(|run| run.finished) {
        return Ok(Outcome::Nothing);
    }
    let Some(_lock) = folder.lock()? else {
        return Ok(Outcome::Busy);
    };
    // Read again: whoever held the lock may have finished it.
    let mut run = folder.read()?;
    if run.finished {
        return Ok(Outcome::Nothing);
    }
    let client = connect(&run.url).map_err(io::Error::other)?;
    let (spool, found) = Spool::open(folder.path(), run.frame.clone(), DEFAULT_LIMIT)?;
    if found.damaged_bytes > 0 {
        let bytes = found.damaged_bytes;
        tracing::warn!(bytes, folder = %folder.path().display(), "a part of the spool cannot be read");
    }
    let was_said = found.last != Place::default();
    if was_said && found.last_kind.as_deref() != Some("session.ended") {
        end_session(folder, &mut run, &spool, found.last)?;
    }
    let (progress, closing) = (Progress::default(), CancellationToken::new());
    closing.cancel();
    tokio::select! {
        () = upload(&spool, &client, &progress, &closing) => {}
        () = removed(folder) => return Err(io::Error::other("the folder was removed")),
    }
    let sent = progress.now();
    let events = sent.accepted;
    folder.finish(run, &StatusFile::of(spool.size(), sent))?;
    Ok(Outcome::Sent(events))
}

/// Somebody removed the folder: there is nothing to send any more, and nobody to say it to.
async fn removed(folder: &RunFolder) {
    while folder.path().exists() {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The process that recorded it is gone without having said why.
fn end_session(folder: &RunFolder, run: &mut RunFile, spool: &Spool, last: Place) -> io::Result<()> {
    // Of a process that was itself killed while doing this, the generation may not have been noted.
    run.generation = run.generation.max(last.generation) + 1;
    folder.write(run)?;
    let place = Place {
        generation: run.generation,
        seq: 1,
    };
    let data = json!({
        "reason": "runner_lost",
        "result": "the process that recorded this session was killed; nothing after this was recorded",
    });
    let id = Uuid::now_v7();
    spool.append(Record {
        place,
        weight: Weight::Structured,
        output_bytes: 0,
        id,
        json: run
            .frame
            .event(place, &Said::at(Utc::now(), id, "session.ended", &data)),
    });
    spool.sync()
}
