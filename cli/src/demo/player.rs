//! Plays recordings through the same ingest that agents use.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::recording::{RecordedEvent, Recording, Rerun};
use super::remarks::{self, Remarked};
use crate::client::Client;
use crate::output::note_retry;
use crate::pacing::Speed;
use kulti_runner::sender::{OutgoingEvent, Sender};

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

/// What became of a recording.
#[derive(Debug, Default)]
pub(crate) struct Played {
    /// Events that the server took.
    pub(crate) sent: usize,
    /// What only the recorded session's own server could say, by kind and reason.
    pub(crate) left_out: Vec<(String, String)>,
}

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
        let rerun = Rerun::new(&recording);
        let noted = |_: &Played| {
            playing.send_replace(Some(rerun.session().to_owned()));
        };
        play(&client, &recording, &rerun, Speed::Times(1.0), &stopping, noted).await?;
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stopping.cancelled() => {}
        }
    }
    Ok(())
}

/// Plays the recording once; `noted` hears how far it has come.
///
/// # Errors
/// If the server refuses what it is sent.
pub(crate) async fn play(
    client: &Client,
    recording: &Recording,
    rerun: &Rerun<'_>,
    speed: Speed,
    stopping: &CancellationToken,
    mut noted: impl FnMut(&Played),
) -> anyhow::Result<Played> {
    let sender = Sender::new(client, PATIENCE, &note_retry);
    let clock = Clock::starting_now(recording, speed);
    let mut played = Played::default();
    let mut events = recording.events.iter().peekable();
    while let Some(first) = events.peek() {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            () = tokio::time::sleep_until(clock.due(first)) => {}
        }
        let until = Instant::now() + TOGETHER;
        let mut batch = Vec::new();
        while let Some(event) = events.next_if(|event| {
            clock.due(event) <= until && batch.len() < TOGETHER_EVENTS && remarks::is_for_ingest(event)
        }) {
            batch.push(rerun.event(event, clock.time(event)?));
        }
        if batch.is_empty() {
            if let Some(event) = events.next() {
                match remarks::send(client, rerun, event).await? {
                    Remarked::Sent => played.sent += 1,
                    Remarked::LeftOut(reason) => played.left_out.push((event.kind.clone(), reason)),
                }
            }
        } else {
            send(&sender, &batch).await?;
            played.sent += batch.len();
        }
        noted(&played);
    }
    if events.peek().is_some() && played.sent > 0 {
        let last_words = [rerun.cancelled(Utc::now())?];
        tokio::time::timeout(LAST_WORDS, send(&sender, &last_words))
            .await
            .ok();
    }
    Ok(played)
}

/// When events are sent, and when they say that they happened: as far apart as they did, and never in the future.
struct Clock {
    begun: Instant,
    began_at: DateTime<Utc>,
    speed: Speed,
}

impl Clock {
    fn starting_now(recording: &Recording, speed: Speed) -> Self {
        let length = recording.length();
        // Played faster than it happened it began earlier, so that it ends now.
        let ahead = match speed {
            Speed::Max => length,
            Speed::Times(times) => length.saturating_sub(stretched(length, times)),
        };
        let now = Utc::now();
        Clock {
            begun: Instant::now(),
            began_at: TimeDelta::from_std(ahead)
                .ok()
                .and_then(|ahead| now.checked_sub_signed(ahead))
                .unwrap_or(now),
            speed,
        }
    }

    fn due(&self, event: &RecordedEvent) -> Instant {
        match self.speed {
            Speed::Max => self.begun,
            Speed::Times(times) => self.begun + stretched(event.at, times),
        }
    }

    fn time(&self, event: &RecordedEvent) -> anyhow::Result<DateTime<Utc>> {
        Ok((self.began_at + TimeDelta::from_std(event.at)?).min(Utc::now()))
    }
}

/// At most what a timer takes.
fn stretched(length: Duration, times: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    Duration::try_from_secs_f64(length.as_secs_f64() / times).map_or(LONGEST, |length| length.min(LONGEST))
}

async fn send(sender: &Sender<'_>, batch: &[OutgoingEvent]) -> anyhow::Result<()> {
    for outcome in sender.send(batch).await? {
        if outcome.status != "accepted" {
            let detail = outcome.detail.or(outcome.code).unwrap_or_default();
            anyhow::bail!("an event was not accepted: {detail}");
        }
    }
    Ok(())
}
