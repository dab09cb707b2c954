//! Sends a session's new events to everybody who is live: encoded once for each filter and format.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::channel::{Channel, State};
use super::frames::{Format, FrameType};
use super::outbox::Push;
use super::ring::{JoinedPage, Ring, RingEvent, RingPage};
use super::subscriber::Subscriber;

/// Viewers served before other tasks get their turn.
const CHUNK: usize = 512;

/// Which kinds a viewer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Everything.
    All,
    /// These, and what is never hidden.
    Kinds(Arc<BTreeSet<String>>),
}

impl Filter {
    /// True if an event of this kind is shown. A session's own events and redactions are never hidden.
    pub(crate) fn matches(&self, kind: &str) -> bool {
        match self {
            Filter::All => true,
            Filter::Kinds(kinds) => {
                kinds.contains(kind) || kind.starts_with("session.") || kind == "redaction"
            }
        }
    }

    /// The range of positions a frame has to name because some may be left out.
    pub(crate) fn range(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        (*self != Filter::All).then_some((from, to))
    }
}

/// A subscriber who is live, and the position up to which it has everything.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) cursor: i64,
}

/// What became of an attempt to go live.
pub(crate) enum Attach {
    /// Live from now on; the last frames and `caught_up` are sent.
    Done,
    /// Nearer: a page was sent, up to this position.
    Nearer(i64),
    /// What comes next is not in memory.
    NotHeld,
    /// No room in the outbox.
    Full,
    /// The viewer has gone.
    Closed,
}

impl Channel {
    /// Sends a subscriber the next page from memory. If nothing is missing to it then, it is live: it has `caught_up`
    /// too, and gets every later event from the next flush on.
    pub(crate) fn attach(&self, subscriber: &Arc<Subscriber>, cursor: i64, page_bytes: usize) -> Attach {
        let mut state = self.state();
        if self.is_erased() {
            return Attach::NotHeld;
        }
        let mut pieces = Vec::new();
        let mut place = None;
        if cursor < state.ring.head() {
            let Some(page) = self.next_page(&state.ring, subscriber, cursor, page_bytes) else {
                return Attach::NotHeld;
            };
            (pieces, place) = (page.pieces, Some((page.last, Some(page.clock))));
        }
        let sent = place.map_or(cursor, |(last, _)| last);
        let is_live = sent >= state.flushed;
        if is_live {
            pieces.extend(self.live_from(&state, subscriber, sent));
        }
        // One write for all of it.
        let push = match place {
            Some(place) => subscriber.send_pieces(&pieces, place),
            None => subscriber.tell_all(&pieces),
        };
        match push {
            Push::Taken if is_live => {}
            Push::Taken => return Attach::Nearer(sent),
            Push::Full => return Attach::Full,
            Push::Closed => return Attach::Closed,
        }
        state.attached.push(Attached {
            subscriber: subscriber.clone(),
            cursor: sent,
        });
        Attach::Done
    }

    /// The next page as a frame in pieces; `None` if it is not held.
    fn next_page(
        &self,
        ring: &Ring,
        subscriber: &Subscriber,
        cursor: i64,
        page_bytes: usize,
    ) -> Option<JoinedPage> {
        if subscriber.filter == Filter::All {
            let mut page = ring.joined_page(cursor, page_bytes)?;
            let sub = subscriber.sub.as_deref();
            let pieces = std::mem::take(&mut page.pieces);
            page.pieces = self
                .frames
                .joined_events(subscriber.format, sub, None, page.last, pieces);
            return Some(page);
        }
        let RingPage::Events(events) = ring.page(cursor, page_bytes) else {
            return None;
        };
        let (first, last) = (events.first()?.position, events.last()?);
        Some(JoinedPage {
            last: last.position,
            clock: last.clock,
            pieces: vec![self.page_frame(subscriber, (first, last.position), &events)],
        })
    }

    /// What a subscriber is told who is live from here on.
    fn live_from(&self, state: &State, subscriber: &Subscriber, position: i64) -> Vec<Bytes> {
        let mut frames = vec![(FrameType::CaughtUp, json!({"position": position}))];
        if let Some(reason) = &state.ended {
            frames.push((FrameType::Ended, json!({"position": position, "reason": reason})));
        }
        frames.push((FrameType::Viewers, json!({"count": self.viewers()})));
        let sub = subscriber.sub.as_deref();
        frames
            .into_iter()
            .map(|(kind, fields)| self.frames.other(subscriber.format, kind, sub, fields))
            .collect()
    }

    /// An `events` frame for one subscriber who catches up.
    pub(crate) fn page_frame(
        &self,
        subscriber: &Subscriber,
        range: (i64, i64),
        events: &[RingEvent],
    ) -> Bytes {
        let shown = events
            .iter()
            .filter(|event| subscriber.filter.matches(&event.kind));
        self.frames.events(
            subscriber.format,
            subscriber.sub.as_deref(),
            subscriber.filter.range(range.0, range.1),
            range.1,
            shown.map(|event| event.json.as_ref()),
        )
    }

    /// Sends everything that was appended since the last flush. Returns frames sent and viewers who fell behind.
    pub(super) async fn flush(&self) -> (usize, usize) {
        let (mut attached, events, ended) = {
            let mut state = self.state();
            let events = match state.ring.page(state.flushed, usize::MAX) {
                RingPage::Events(events) => events,
                // More than the ring holds came at once: whoever is live catches up.
                RingPage::NotHeld => Vec::new(),
                RingPage::AtHead => return (0, 0),
            };
            state.flushed = state.ring.head();
            let ended = ended_in(&state, &events);
            (std::mem::take(&mut state.attached), events, ended)
        };
        let mut shared: Vec<(Format, Filter, Vec<Bytes>)> = Vec::new();
        let mut stay = Vec::with_capacity(attached.len());
        let (mut sent, mut behind) = (0, 0);
        let flushed = events.last().map(|event| event.position);
        let clock = events.last().map(|event| event.clock);
        for (index, mut attached) in attached.drain(..).enumerate() {
            if index % CHUNK == CHUNK - 1 {
                tokio::task::yield_now().await;
            }
            let subscriber = &attached.subscriber;
            let first = events.first().map_or(i64::MAX, |event| event.position);
            let Some(flushed) = flushed.filter(|_| attached.cursor + 1 >= first) else {
                behind += 1;
                (subscriber.fall_back.0)(attached.cursor);
                continue;
            };
            if attached.cursor >= flushed {
                // It had these from Postgres before the log's reader had them.
                stay.push(attached);
                continue;
            }
            let own = attached.cursor + 1 > first;
            let frames = if own {
                let events = &events[(attached.cursor + 1 - first) as usize..];
                self.live_frames(subscriber.format, &subscriber.filter, events, ended.as_deref())
            } else {
                let known = shared.iter().position(|(format, filter, _)| {
                    *format == subscriber.format && *filter == subscriber.filter
                });
                let known = known.unwrap_or_else(|| {
                    let frames =
                        self.live_frames(subscriber.format, &subscriber.filter, &events, ended.as_deref());
                    shared.push((subscriber.format, subscriber.filter.clone(), frames));
                    shared.len() - 1
                });
                shared[known].2.clone()
            };
            match subscriber.send(&frames[0], (flushed, clock)) {
                Push::Taken => {
                    attached.cursor = flushed;
                    for frame in &frames[1..] {
                        subscriber.tell(frame);
                    }
                    sent += frames.len();
                    stay.push(attached);
                }
                Push::Full => {
                    behind += 1;
                    (subscriber.fall_back.0)(attached.cursor);
                }
                Push::Closed => {}
            }
        }
        let mut state = self.state();
        if self.is_erased() {
            drop(state);
            for attached in stay {
                (attached.subscriber.fall_back.0)(attached.cursor);
            }
        } else {
            state.attached.append(&mut stay);
        }
        (sent, behind)
    }

    fn live_frames(
        &self,
        format: Format,
        filter: &Filter,
        events: &[RingEvent],
        ended: Option<&str>,
    ) -> Vec<Bytes> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Vec::new();
        };
        let range = filter.range(first.position, last.position);
        let shown = events
            .iter()
            .filter(|event| filter.matches(&event.kind))
            .map(|event| event.json.as_ref());
        let mut frames = vec![self.frames.events(format, None, range, last.position, shown)];
        if let Some(reason) = ended {
            let fields = json!({"position": last.position, "reason": reason});
            frames.push(self.frames.other(format, FrameType::Ended, None, fields));
        }
        frames
    }

    /// Tells everybody who is live how many watch.
    pub(super) fn send_viewers(&self) {
        let state = self.state();
        let count = self.viewers();
        for format in [Format::WebSocket, Format::Sse] {
            let frame = self
                .frames
                .other(format, FrameType::Viewers, None, json!({"count": count}));
            for attached in state
                .attached
                .iter()
                .filter(|attached| attached.subscriber.format == format)
            {
                // A viewer whose queue is full does without: the next count comes soon.
                let _ = attached.subscriber.offer(&frame);
            }
        }
    }
}

/// The reason, if the session ended among these events and has not gone on since.
fn ended_in(state: &State, events: &[RingEvent]) -> Option<String> {
    state
        .ended
        .clone()
        .filter(|_| events.iter().any(|event| &*event.kind == "session.ended"))
}
