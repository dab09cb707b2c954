//! Brings one subscription from a position to live: exactly, in byte-bounded pages, at the pace that it takes them.
//!
//! The next page comes from the session's newest events in memory; if those begin later, from Postgres; if replay has
//! not come that far, from Kafka. Positions are counted alike everywhere, so pages join without a seam.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kulti_schemas::PositionedEvent;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::channel::{Phase, render};
use super::fan_out::Attach;
use super::fold::SessionFold;
use super::outbox::Push;
use super::projected::{LOG_TRUNCATED, event_id_at, session_snapshot};
use super::ring::{RingEvent, RingPage};
use super::subscription::{Course, From, Pace};
use crate::store;

/// A page's rendered events, about.
const PAGE_BYTES: usize = 128 * 1024;
/// Rows in a page at the most.
const PAGE_ROWS: i64 = 1000;
/// How long a session may take to be taken up.
const TAKE_UP: Duration = Duration::from_secs(10);
/// How long a client may be ahead of this gateway: another gateway may have read further.
const AHEAD: Duration = Duration::from_secs(2);
/// How long a database or a log that cannot be asked is waited for, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(250);
/// While pacing, events that are due within this go out together.
const TOGETHER: Duration = Duration::from_millis(10);

/// Why a subscription cannot go on.
enum Stop {
    /// The viewer has gone, or does not want it any more.
    Gone,
    /// Told to the viewer, who may come back.
    Error(&'static str, String),
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
pub(super) async fn run(course: Arc<Course>, from: From) {
    let result = tokio::select! {
        biased;
        () = course.stopped.cancelled() => return,
        () = course.channel.erased() => Err(Stop::Erased),
        result = course.go(from) => result,
    };
    match result {
        Ok(()) | Err(Stop::Gone) => {}
        Err(Stop::Error(code, detail)) => {
            course.tell(
                "error",
                json!({"code": code, "detail": detail, "retryable": true}),
            );
        }
        Err(Stop::Erased) => {
            let detail = "the session was erased";
            course.tell(
                "error",
                json!({"code": "session_expired", "detail": detail, "retryable": false}),
            );
            course.tell("ended", json!({"reason": "erased"}));
        }
    }
}

impl Course {
    async fn go(&self, from: From) -> Result<(), Stop> {
        let mut cursor = self.begin(from).await?;
        let mut clock = Playhead::new(self);
        let mut failing_since: Option<Instant> = None;
        loop {
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
        let page = self.channel.state().ring.page(*cursor, PAGE_BYTES);
        let nearly_live = self.pace == Pace::Max || matches!(page, RingPage::AtHead);
        if nearly_live {
            match self.channel.attach(&self.subscriber, *cursor, PAGE_BYTES) {
                Attach::Done => return Ok(true),
                Attach::Closed => return Err(Stop::Gone),
                Attach::NotYet => {}
            }
        }
        let events = match page {
            RingPage::Events(events) => events,
            RingPage::AtHead => return Ok(false),
            RingPage::NotHeld => self.rows(*cursor).await?,
        };
        if events.is_empty() {
            self.through_log(cursor, clock).await?;
        } else {
            self.send(cursor, clock, &events).await?;
        }
        Ok(false)
    }

    /// The position that everything comes after.
    async fn begin(&self, from: From) -> Result<i64, Stop> {
        match self.channel.ready(TAKE_UP).await {
            Phase::Live => {}
            Phase::Unavailable(code, detail) => return Err(Stop::Error(code, detail)),
            Phase::Loading => {
                return Err(Stop::Error(
                    "not_ready",
                    "the session is still being taken up".into(),
                ));
            }
        }
        let (position, id) = match from {
            From::Live => return Ok(self.channel.position()),
            From::Start => return Ok(0),
            From::Position(position, id) => (position, id),
        };
        if position > self.channel.position() && !self.channel.reaches(position, AHEAD).await {
            let head = self.channel.position();
            self.gap(head + 1, position, "not_in_log");
            return Ok(head);
        }
        if let Some(id) = id {
            let actual = match self.channel.id_at(position) {
                Some(id) => Some(id),
                None => event_id_at(&self.live.inner.options.pool, &self.channel.session, position).await?,
            };
            if actual.is_some_and(|actual| actual != id) {
                self.gap(1, position, "log_changed");
            }
        }
        Ok(position)
    }

    fn gap(&self, from: i64, to: i64, reason: &str) {
        self.tell("gap", json!({"from": from, "to": to, "reason": reason}));
    }

    fn tell(&self, kind: &str, fields: serde_json::Value) {
        let sub = self.subscriber.sub.as_deref();
        let frame = self
            .channel
            .frames
            .other(self.subscriber.format, kind, sub, None, fields);
        self.subscriber.outbox.push_control(&frame);
    }

    /// An event as this viewer may see it: rows, and the log in any case, may not be masked yet.
    fn render(&self, mut event: PositionedEvent, offset: i64) -> RingEvent {
        self.channel.state().redactions.apply(&mut event.event);
        render(&event, offset)
    }

    async fn room(&self) -> Result<(), Stop> {
        if self.subscriber.outbox.room().await {
            Ok(())
        } else {
            Err(Stop::Gone)
        }
    }

    /// The next events that replay has committed; none when it has not come that far.
    async fn rows(&self, cursor: i64) -> Result<Vec<RingEvent>, Stop> {
        let inner = &self.live.inner;
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
        let inner = &self.live.inner;
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
            if !matches!(channel.state().ring.page(*cursor, 1), RingPage::NotHeld) {
                return Ok(());
            }
        }
    }

    /// Sends contiguous events, at the subscription's pace.
    async fn send(&self, cursor: &mut i64, clock: &mut Playhead, events: &[RingEvent]) -> Result<(), Stop> {
        let mut rest = events;
        while !rest.is_empty() {
            let due = clock.wait(rest).await;
            let (now, later) = rest.split_at(due);
            let last = now[now.len() - 1].position;
            let frame = self
                .channel
                .page_frame(&self.subscriber, (*cursor + 1, last), now);
            loop {
                match self.subscriber.outbox.push(&frame) {
                    Push::Taken => break,
                    Push::Full => self.room().await?,
                    Push::Closed => return Err(Stop::Gone),
                }
            }
            *cursor = last;
            rest = later;
        }
        Ok(())
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

/// When the next event is due.
struct Playhead {
    pace: Pace,
    idle_cap: Option<Duration>,
    /// The last event's clock and the moment it was due.
    last: Option<(kulti_schemas::Timestamp, Instant)>,
}

impl Playhead {
    fn new(course: &Course) -> Self {
        Playhead {
            pace: course.pace,
            idle_cap: course.idle_cap,
            last: None,
        }
    }

    /// Waits until the first event is due. Returns how many are due by then.
    async fn wait(&mut self, events: &[RingEvent]) -> usize {
        let Pace::Speed(speed) = self.pace else {
            return events.len();
        };
        let first = self.due(&events[0], speed);
        sleep_until(first).await;
        let now = Instant::now() + TOGETHER;
        let mut count = 0;
        for event in events {
            let due = self.due(event, speed);
            if count > 0 && due > now {
                break;
            }
            self.last = Some((event.clock, due));
            count += 1;
        }
        count
    }

    fn due(&self, event: &RingEvent, speed: f64) -> Instant {
        let Some((clock, moment)) = self.last else {
            return Instant::now();
        };
        let apart = Duration::from_micros(u64::try_from(event.clock.0 - clock.0).unwrap_or(0));
        let pause = apart.div_f64(speed);
        moment + self.idle_cap.map_or(pause, |cap| pause.min(cap))
    }
}
