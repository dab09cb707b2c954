//! The task of one watched session: takes it up, folds its records, sends its events, and lets it go again.

use std::sync::Arc;
use std::time::Duration;

use kulti_pipeline::Record;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::channel::Phase;
use super::fold::SessionFold;
use super::frames::FrameType;
use super::projected::{LOG_TRUNCATED, session_snapshot};
use super::{Channel, Live};

/// At most one flush in this time: while many events come, several go out in one frame and one write. The first
/// event after a quiet moment goes out at once.
const WINDOW: Duration = Duration::from_millis(20);
/// Between two frames that tell the number of viewers.
const VIEWERS_EVERY: Duration = Duration::from_secs(1);
/// A session that nobody watches is let go after this.
const IDLE: Duration = Duration::from_secs(30);
/// Between two attempts while Postgres or Kafka cannot be asked.
const RETRY: Duration = Duration::from_millis(500);

/// How long the log may take for the next chunk of what is read back.
const LOG_ANSWERS: Duration = Duration::from_secs(10);

/// Until nobody watches, or shutdown.
pub(super) async fn run(live: Live, channel: Arc<Channel>) {
    let metrics = live.inner.options.metrics.clone();
    let stopping = live.inner.options.stopping.clone();
    metrics.channels.inc();
    tokio::select! {
        () = stopping.cancelled() => {}
        () = work(&live, &channel) => {}
    }
    metrics.channels.dec();
}

async fn work(live: &Live, channel: &Arc<Channel>) {
    let mut fold = take_up(live, channel).await;
    let mut last_flush = Instant::now() - WINDOW;
    let mut told_viewers = (0, Instant::now());
    loop {
        let deadline = Instant::now()
            + if channel.viewers() == 0 {
                IDLE
            } else {
                VIEWERS_EVERY
            };
        let woken = timeout_at(deadline, channel.wake.notified()).await.is_ok();
        if !woken && channel.viewers() == 0 && live.retire(channel) {
            return;
        }
        if channel.is_erased() {
            continue;
        }
        match channel.take_records() {
            Err(()) => {
                live.inner.options.metrics.resyncs.inc();
                fold = take_up(live, channel).await;
            }
            Ok(records) => {
                fold.drop_projected(channel.projected_offset());
                if apply(live, channel, &mut fold, &records).await.is_err() {
                    continue;
                }
            }
        }
        if last_flush.elapsed() < WINDOW && channel.has_pending() {
            sleep_until(last_flush + WINDOW).await;
            // What came meanwhile goes out in the same frame.
            if let Ok(records) = channel.take_records_unless_resync()
                && apply(live, channel, &mut fold, &records).await.is_err()
            {
                continue;
            }
        }
        let (sent, behind) = channel.flush().await;
        if sent + behind > 0 {
            last_flush = Instant::now();
            live.inner.options.metrics.frames.inc_by(sent as u64);
            live.inner.options.metrics.behind.inc_by(behind as u64);
        }
        if told_viewers.0 != channel.viewers() && told_viewers.1.elapsed() >= VIEWERS_EVERY {
            told_viewers = (channel.viewers(), Instant::now());
            channel.send_viewers();
        }
    }
}

/// Folds records and appends their events. While Postgres cannot be asked about an old id, this session waits.
///
/// # Errors
/// The session has to be taken up anew.
async fn apply(live: &Live, channel: &Channel, fold: &mut SessionFold, records: &[Record]) -> Result<(), ()> {
    if records.is_empty() {
        return Ok(());
    }
    loop {
        match fold.apply(&live.inner.options.pool, records).await {
            Ok(events) => {
                channel.append(events);
                return Ok(());
            }
            Err(error) => {
                tracing::warn!(session.id = channel.session.as_str(), %error, "session {} waits for a look-up", channel.session);
                tokio::time::sleep(RETRY).await;
                if channel.wants_resync() {
                    return Err(());
                }
            }
        }
    }
}

/// Takes the session up from replay's snapshot and the log, however long that takes; those who were live go on
/// where they were, or get a gap if the log does not reach that far any more.
async fn take_up(live: &Live, channel: &Arc<Channel>) -> SessionFold {
    loop {
        // Records from here on are delivered again; whatever was delivered before is read from the tail or the log.
        drop(channel.take_records());
        match try_take_up(live, channel).await {
            Ok(fold) => {
                channel.set_phase(Phase::Live);
                return fold;
            }
            Err((code, detail)) => {
                tracing::warn!(session.id = channel.session.as_str(), code, %detail, "cannot take up session {}", channel.session);
                channel.set_phase(Phase::Unavailable(code, detail));
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn try_take_up(live: &Live, channel: &Arc<Channel>) -> Result<SessionFold, (&'static str, String)> {
    let pool = &live.inner.options.pool;
    if !live.is_ready() {
        return Err(("not_ready", "replay's position is not known".into()));
    }
    let snapshot = session_snapshot(pool, &channel.session, channel.partition)
        .await
        .map_err(|error| ("not_ready", error.to_string()))?;
    if live.inner.projected.epoch(channel.partition) != Some(snapshot.epoch) {
        return Err(("not_ready", "a new log is being taken up".into()));
    }
    let key = bytes::Bytes::copy_from_slice(channel.session.as_str().as_bytes());
    // A log that was cut or recreated holds nothing that could be read on: what was is shown, and what comes waits
    // for the new epoch, which takes every session up anew.
    let readable = snapshot.stopped.as_deref() != Some(LOG_TRUNCATED);
    let next_offset = if readable { snapshot.next_offset } else { i64::MAX };
    if snapshot.erased {
        live.erase(&channel.session);
    }
    let (visibility, ended) = (snapshot.visibility.clone(), snapshot.ended.clone());
    let mut fold = SessionFold::new(channel.session.clone(), snapshot, next_offset);
    let attached = channel.restart(fold.position(), visibility, ended);
    loop {
        let held = live
            .tail(channel.partition)
            .map(|tail| tail.records_of(&key, fold.next_offset()));
        match held.unwrap_or(Ok(Vec::new())) {
            Ok(records) => {
                append_all(live, channel, &mut fold, &records).await?;
                break;
            }
            Err(start) => {
                // The bound has dropped records that replay has not committed: they are in Kafka.
                let mut chunks = live
                    .inner
                    .backfill
                    .read(channel.partition, key.clone(), fold.next_offset());
                while fold.next_offset() < start {
                    let chunk = tokio::time::timeout(LOG_ANSWERS, chunks.recv())
                        .await
                        .ok()
                        .flatten();
                    let chunk = chunk.ok_or(("not_ready", "the log cannot be read".to_owned()))?;
                    append_all(live, channel, &mut fold, &chunk.records).await?;
                    fold.skip_to(chunk.next_offset);
                }
            }
        }
    }
    for attached in attached {
        let position = fold.position();
        if attached.cursor > position {
            let fields = json!({"from": position + 1, "to": attached.cursor, "reason": "log_truncated"});
            let subscriber = &attached.subscriber;
            let sub = subscriber.sub.as_deref();
            let frame = channel
                .frames
                .other(subscriber.format, FrameType::Gap, sub, fields);
            subscriber.tell(&frame);
        }
        (attached.subscriber.fall_back.0)(attached.cursor.min(position));
    }
    Ok(fold)
}

async fn append_all(
    live: &Live,
    channel: &Channel,
    fold: &mut SessionFold,
    records: &[Record],
) -> Result<(), (&'static str, String)> {
    let events = fold.apply(&live.inner.options.pool, records).await;
    channel.append(events.map_err(|error| ("not_ready", error.to_string()))?);
    Ok(())
}
