//! Plays recordings through the same ingest that agents use.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::recording::{Recording, Rerun};
use crate::client::Client;
use crate::sender::{OutgoingEvent, Sender};

/// Between the end of a session and the agent's next.
const PAUSE: Duration = Duration::from_secs(8);
/// What is due within this goes into one request, as an agent's own library would do it.
const TOGETHER: Duration = Duration::from_millis(50);
const TOGETHER_EVENTS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(120);
/// For the last words of a session that is cut short.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The session that an agent is in; none before its first event was taken.
pub(super) type Playing = watch::Sender<Option<String>>;

/// Plays the recording again and again, each time as a new session.
///
/// # Errors
/// If the server refuses what it is sent.
pub(crate) async fn play_in_a_loop(
    client: Client,
    recording: Arc<Recording>,
    playing: Playing,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    while !stopping.is_cancelled() {
        play(&client, &recording, &playing, &stopping).await?;
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stopping.cancelled() => {}
        }
    }
    Ok(())
}

async fn play(
    client: &Client,
    recording: &Recording,
    playing: &Playing,
    stopping: &CancellationToken,
) -> anyhow::Result<()> {
    let sender = Sender::new(client, PATIENCE);
    let mut rerun = Rerun::new(recording);
    let (begun, began_at) = (Instant::now(), Utc::now());
    let mut events = recording.events.iter().peekable();
    while let Some(first) = events.peek() {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            () = tokio::time::sleep_until(begun + first.at) => {}
        }
        let until = begun.elapsed() + TOGETHER;
        let mut batch = Vec::new();
        while let Some(event) = events.next_if(|event| event.at <= until && batch.len() < TOGETHER_EVENTS) {
            let time = began_at + TimeDelta::from_std(event.at)?;
            batch.push(rerun.event(event, time.min(Utc::now())));
        }
        send(&sender, &batch).await?;
        playing.send_replace(Some(rerun.session().to_owned()));
    }
    if events.peek().is_some() && playing.borrow().is_some() {
        let last_words = [rerun.cancelled(Utc::now())?];
        tokio::time::timeout(LAST_WORDS, send(&sender, &last_words))
            .await
            .ok();
    }
    Ok(())
}

async fn send(sender: &Sender<'_>, batch: &[OutgoingEvent]) -> anyhow::Result<()> {
    for outcome in sender.send(batch).await? {
        if outcome.status != "accepted" {
            let detail = outcome.detail.or(outcome.code).unwrap_or_default();
            anyhow::bail!("an event of the demo was not accepted: {detail}");
        }
    }
    Ok(())
}
