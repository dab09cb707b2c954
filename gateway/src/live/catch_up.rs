//! Brings one subscription from a position to live: exactly, in byte-bounded pages, at the pace that it takes them.
//!
//! The next page comes from the session's newest events in memory; if those begin later, from Postgres; if replay has
//! not come that far, from Kafka. Positions are counted alike everywhere, so pages join without a seam.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kulti_schemas::{PositionedEvent, mask_rendered};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::channel::render;
use super::fan_out::Attach;
use super::fold::SessionFold;
use super::frames::FrameType;
use super::outbox::Push;
use super::playhead::Playhead;
use super::projected::{LOG_TRUNCATED, session_snapshot};
use super::ring::{RingEvent, RingPage};
use super::segment_frames::Ahead;
use super::subscription::{Begin, Course, Pace};
use crate::store;

/// A page's rendered events, about.
const PAGE_BYTES: usize = 128 * 1024;
/// Rows in a page at the most.
const PAGE_ROWS: i64 = 1000;
/// How long a database or a log that cannot be asked is waited for, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(250);

/// Why a subscription cannot go on.
pub(super) enum Stop {
    /// The viewer has gone, or does not want it any more.
    Gone,
    /// Told to the viewer, who may come back.
    Error(&'static str, String),
    /// Told to the viewer, for whom it will be no better.
    Refused(&'static str, String),
    /// The session was erased.
    Erased,
}

impl std::convert::From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        tracing::debug!(%error, "catching up waits for the database");
        Stop::Error("not_ready", "the database cannot be asked right now".into())
    }
}

/// Until the subscription is live, or cannot be.
pub(super) async fn run(course: Arc<Course>, begin: Begin) {
    let result = tokio::select! {
        biased;
        () = course.stopped.cancelled() => return,
        () = course.channel.erased() => Err(Stop::Erased),
        result = course.go(begin) => result,
    };
    let error = |code: &str, detail: &str, retryable: bool| {
        let fields = json!({"code": code, "detail": detail, "retryable": retryable});
        course.tell(FrameType::Error, fields);
    };
    match result {
        Ok(()) | Err(Stop::Gone) => {}
        Err(Stop::Error(code, detail)) => error(code, &detail, true),
        Err(Stop::Refused(code, detail)) => error(code, &detail, false),
        Err(Stop::Erased) => {
            error("session_expired", "the session was erased", false);
            course.tell(FrameType::Ended, json!({"reason": "erased"}));
        }
    }
}

impl Course {
    async fn go(&self, begin: Begin) -> Result<(), Stop> {
        // Who was live and fell behind wants to be live again.
        let pace = match begin {
            Begin::FellBack(_) => Pace::Max,
            _ => self.settings.pace,
        };
        let mut failing_since: Option<Instant> = None;
        let place = loop {
            match self.begin(&begin).await {
                // A first subscription is told at once; on the way it is worth waiting.
                Err(Stop::Error(..))
                    if matches!(begin, Begin::Seek { .. })
                        && failing_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
                {
                    sleep(RETRY).await;
                }
                place => break place?,
            }
        };
        self.answer();
        let mut clock = Playhead::new(self, pace, place.target).await;
        let mut cursor = place.cursor;
        failing_since = None;
        loop {
            if cursor >= clock.limit {
                return std::future::pending().await;
            }
            self.room().await?;
            match self.step(&mut cursor, &mut clock).await {
                Ok(true) => return Ok(()),
                Ok(false) => failing_since = None,
                Err(Stop::Error(..))
                    if failing_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
                {
                    sleep(RETRY).await;
                }
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Sends the next page. True once the subscription is live.
    async fn step(&self, cursor: &mut i64, clock: &mut Playhead) -> Result<bool, Stop> {
        if clock.pace == Pace::Max
            && !self.settings.paused
            && let Some(is_live) = self.attach(cursor).await?
        {
            return Ok(is_live);
        }
        let page = self.channel.state().ring.page(*cursor, PAGE_BYTES);
        let events = match page {
            RingPage::Events(events) => events,
            RingPage::AtHead => {
                let waits = clock.waits_at_head(self, *cursor).await || self.settings.paused;
                return Ok(!waits && self.attach(cursor).await?.unwrap_or(false));
            }
            RingPage::NotHeld => match self.segment_after(*cursor, clock).await? {
                Ahead::Told(to) => {
                    *cursor = to;
                    return Ok(false);
                }
                Ahead::Events(to) => {
                    let mut rows = self.rows(*cursor).await?;
                    rows.retain(|event| event.position <= to);
                    rows
                }
            },
        };
        if events.is_empty() {
            self.through_log(cursor, clock).await?;
        } else {
            self.send(cursor, clock, &events).await?;
        }
        Ok(false)
    }

    /// Sends the next page from memory as fast as it goes. True once the subscription is live; `None` if what comes
    /// next is not in memory.
    async fn attach(&self, cursor: &mut i64) -> Result<Option<bool>, Stop> {
        let attach = self.channel.attach(&self.subscriber, *cursor, PAGE_BYTES);
        match attach {
            Attach::Done => Ok(Some(true)),
            Attach::Nearer(sent) => {
                *cursor = sent;
                Ok(Some(false))
            }
            Attach::Full => self.emptied().await.map(|()| Some(false)),
            Attach::NotHeld if self.channel.is_erased() => Err(Stop::Erased),
            Attach::NotHeld => Ok(None),
            Attach::Closed => Err(Stop::Gone),
        }
    }

    /// An event as this viewer may see it: rows, and the log in any case, may not be masked yet.
    fn render(&self, mut event: PositionedEvent, offset: i64) -> RingEvent {
        self.channel.state().redactions.apply(&mut event.event);
        render(&event, offset)
    }

    pub(super) async fn room(&self) -> Result<(), Stop> {
        let is_there = self.subscriber.outbox.room().await;
        is_there.then_some(()).ok_or(Stop::Gone)
    }

    /// After a frame found no room: a queue that is smaller than a page may have some left for ever.
    pub(super) async fn emptied(&self) -> Result<(), Stop> {
        let is_there = self.subscriber.outbox.emptied().await;
        is_there.then_some(()).ok_or(Stop::Gone)
    }

    /// The next events that replay has committed; none when it has not come that far.
    async fn rows(&self, cursor: i64) -> Result<Vec<RingEvent>, Stop> {
        let inner = &self.state.live.inner;
        let _permit = inner.queries.acquire().await.map_err(|_| Stop::Gone)?;
        let rows = store::events_page(
            &inner.options.pool,
            &self.channel.session,
            cursor,
            PAGE_ROWS,
            PAGE_BYTES,
        )
        .await?;
        Ok(rows.into_iter().map(|event| self.render(event, 0)).collect())
    }

    /// Sends what is neither in memory nor in Postgres: read from Kafka, from replay's snapshot on.
    async fn through_log(&self, cursor: &mut i64, clock: &mut Playhead) -> Result<(), Stop> {
        let inner = &self.state.live.inner;
        let channel = &self.channel;
        let snapshot = session_snapshot(&inner.options.pool, &channel.session, channel.partition).await?;
        if snapshot.sequencer.position() > *cursor {
            return Ok(());
        }
        if snapshot.stopped.as_deref() == Some(LOG_TRUNCATED) {
            return Err(Stop::Error(
                LOG_TRUNCATED,
                "the log was cut or recreated; a new epoch will take it up".into(),
            ));
        }
        let key = Bytes::copy_from_slice(channel.session.as_str().as_bytes());
        let next_offset = snapshot.next_offset;
        let mut fold = SessionFold::new(channel.session.clone(), snapshot, next_offset);
        let mut chunks = inner.backfill.read(channel.partition, key, fold.next_offset());
        loop {
            let chunk = chunks.recv().await;
            let chunk = chunk.ok_or_else(|| Stop::Error("not_ready", "the log cannot be read".into()))?;
            let events: Vec<RingEvent> = fold
                .apply(&inner.options.pool, &chunk.records)
                .await?
                .into_iter()
                .map(|(offset, event)| self.render(event, offset))
                .filter(|event| event.position > *cursor)
                .collect();
            for page in pages(&events) {
                self.room().await?;
                self.send(cursor, clock, page).await?;
            }
            let held = !matches!(channel.state().ring.page(*cursor, 1), RingPage::NotHeld);
            if held || *cursor >= clock.limit {
                return Ok(());
            }
        }
    }

    /// Sends contiguous events, at the subscription's pace.
    async fn send(&self, cursor: &mut i64, clock: &mut Playhead, events: &[RingEvent]) -> Result<(), Stop> {
        let mut rest = &events[..events.partition_point(|event| event.position <= clock.limit)];
        while !rest.is_empty() {
            let due = clock.wait(self, rest).await;
            let (now, later) = rest.split_at(due);
            let last = &now[now.len() - 1];
            let range = (*cursor + 1, last.position);
            loop {
                let frame = match self.masked(now) {
                    Some(masked) => self.channel.page_frame(&self.subscriber, range, &masked),
                    None => self.channel.page_frame(&self.subscriber, range, now),
                };
                match self.subscriber.send(&frame, (last.position, Some(last.clock))) {
                    Push::Taken => break,
                    Push::Full => self.emptied().await?,
                    Push::Closed => return Err(Stop::Gone),
                }
            }
            *cursor = last.position;
            rest = later;
        }
        Ok(())
    }
}

impl Course {
    /// The events with what was hidden of them since they were read; `None` if there is nothing.
    fn masked(&self, events: &[RingEvent]) -> Option<Vec<RingEvent>> {
        let state = self.channel.state();
        if state.redactions.is_empty() {
            return None;
        }
        let mask = |event: &RingEvent| {
            let mut event = event.clone();
            let masks = state.redactions.of(event.id);
            if !masks.is_empty() {
                event.json = Bytes::from(mask_rendered(&event.json, masks));
            }
            event
        };
        Some(events.iter().map(mask).collect())
    }
}

/// Splits events into pages of about `PAGE_BYTES`.
fn pages(events: &[RingEvent]) -> impl Iterator<Item = &[RingEvent]> {
    let mut bytes = 0;
    events.chunk_by(move |_, next| {
        bytes += next.json.len();
        let same = bytes <= PAGE_BYTES;
        if !same {
            bytes = 0;
        }
        same
    })
}
