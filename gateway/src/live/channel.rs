//! One watched session at this gateway: its fold, its newest events, and the viewers who are live.
//!
//! A task of its own turns records into events and sends them; so a session that waits for Postgres, or has
//! thousands of viewers, delays no other. Every difficulty has one way out: take the session up anew from replay's
//! snapshot and the log (`resync`), which is also how it begins.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use kulti_pipeline::Record;
use kulti_schemas::{EventId, MARKER, PositionedEvent, Redactions, SessionId, Source};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::fan_out::Attached;
use super::frames::SessionFrames;
use super::ring::{Ring, RingEvent};
use super::subscriber::{Sent, Subscriber};

/// Rendered events of one session that are not yet in Postgres, at the most. What goes beyond is read from Kafka.
pub(super) const RING_BYTES: usize = 8 << 20;
/// Records that wait for the session's task, at the most; then it takes itself up anew.
const INBOX_BYTES: usize = 16 << 20;

/// Reasons of an end that tell nothing that would have to be hidden.
const COMMON_REASONS: [&str; 5] = ["", "completed", "failed", "cancelled", "timeout"];

/// Whether the session can be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Being taken up.
    Loading,
    /// Events flow.
    Live,
    /// It cannot be taken up for now: a code and a reason, for new subscriptions.
    Unavailable(&'static str, String),
}

/// What the session's task and its subscriptions share.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) session: SessionId,
    pub(crate) partition: i32,
    pub(crate) frames: SessionFrames,
    /// Records for the task; apart from `state`, so that the log's reader never waits for a fan-out.
    inbox: Mutex<Inbox>,
    state: Mutex<State>,
    pub(super) wake: Notify,
    phase: watch::Sender<Phase>,
    /// Grows with every event: for those who wait for a position.
    head: watch::Sender<i64>,
    projected: AtomicI64,
    viewers: AtomicU32,
    next_subscriber: AtomicU64,
    /// The session was erased: nothing of it is sent any more.
    erased: CancellationToken,
}

#[derive(Debug, Default)]
struct Inbox {
    records: VecDeque<Record>,
    bytes: usize,
    resync: bool,
}

/// What only the session's task changes, and subscriptions read or join.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) ring: Ring,
    /// Up to here everything was sent to those who are attached.
    pub(super) flushed: i64,
    pub(super) attached: Vec<Attached>,
    /// Why the session ended, while it is.
    pub(super) ended: Option<String>,
    /// The event that ended it, if it came while the session was watched.
    ended_by: Option<EventId>,
    /// What redactions hide that came while the session was watched: rows may not be masked yet.
    pub(super) redactions: Redactions,
    /// The offset of the newest of them that came since the session was taken up.
    redacted_at: Option<i64>,
    pub(super) visibility: Option<String>,
}

impl Channel {
    pub(super) fn new(session: SessionId, partition: i32) -> Self {
        Channel {
            frames: SessionFrames::new(&session),
            session,
            partition,
            inbox: Mutex::default(),
            state: Mutex::default(),
            wake: Notify::new(),
            phase: watch::channel(Phase::Loading).0,
            head: watch::channel(0).0,
            projected: AtomicI64::new(0),
            viewers: AtomicU32::new(0),
            next_subscriber: AtomicU64::new(1),
            erased: CancellationToken::new(),
        }
    }

    /// Lets go of everything, and of everybody who watches: each is told on its own course.
    pub(super) fn erase(&self) {
        self.erased.cancel();
        let attached = {
            let mut state = self.state();
            let attached = std::mem::take(&mut state.attached);
            state.ring = Ring::starting_after(state.ring.head());
            attached
        };
        *self.inbox() = Inbox::default();
        for attached in attached {
            (attached.subscriber.fall_back.0)(attached.cursor);
        }
        self.wake.notify_one();
    }

    /// True once the session was erased.
    pub(super) fn is_erased(&self) -> bool {
        self.erased.is_cancelled()
    }

    /// Until the session is erased.
    pub(super) async fn erased(&self) {
        self.erased.cancelled().await;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Hands the task a record. Called by the log's reader, in order.
    pub(super) fn deliver(&self, record: Record) {
        let mut inbox = self.inbox();
        if inbox.resync {
            return;
        }
        inbox.bytes += record.value.as_ref().map_or(0, |value| value.len());
        if inbox.bytes > INBOX_BYTES {
            // The task will read these from the tail or the log when it takes the session up anew.
            *inbox = Inbox {
                resync: true,
                ..Default::default()
            };
        } else {
            inbox.records.push_back(record);
        }
    }

    /// Makes the task take the session up anew.
    pub(super) fn resync(&self) {
        *self.inbox() = Inbox {
            resync: true,
            ..Default::default()
        };
        self.wake.notify_one();
    }

    /// What came since the last call; `Err` when the session has to be taken up anew.
    pub(super) fn take_records(&self) -> Result<Vec<Record>, ()> {
        let inbox = std::mem::take(&mut *self.inbox());
        if inbox.resync {
            Err(())
        } else {
            Ok(inbox.records.into())
        }
    }

    /// Like `take_records`, but leaves a wish to be taken up anew for later.
    pub(super) fn take_records_unless_resync(&self) -> Result<Vec<Record>, ()> {
        if self.wants_resync() {
            Err(())
        } else {
            self.take_records()
        }
    }

    /// True when the session has to be taken up anew.
    pub(super) fn wants_resync(&self) -> bool {
        self.inbox().resync
    }

    /// True when events wait to be sent.
    pub(super) fn has_pending(&self) -> bool {
        let state = self.state();
        state.flushed < state.ring.head()
    }

    /// Replay has committed everything before this offset; so many sessions are watched.
    pub(super) fn projected(&self, next_offset: i64, watched: usize) {
        self.projected.store(next_offset, Ordering::Relaxed);
        self.state().ring.drop_projected(next_offset, watched);
    }

    /// Up to where replay has committed, as last heard.
    pub(super) fn projected_offset(&self) -> i64 {
        self.projected.load(Ordering::Relaxed)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let changed = *current != phase;
            *current = phase;
            changed
        });
    }

    /// True while events flow.
    pub(super) fn is_live(&self) -> bool {
        *self.phase.borrow() == Phase::Live
    }

    /// Waits until the session is live, or cannot be.
    pub(crate) async fn ready(&self, limit: Duration) -> Phase {
        let mut phase = self.phase.subscribe();
        let settled = tokio::time::timeout(limit, phase.wait_for(|phase| *phase != Phase::Loading)).await;
        match settled {
            Ok(Ok(phase)) => phase.clone(),
            _ => Phase::Unavailable("not_ready", "the session is still being taken up".into()),
        }
    }

    /// Waits until the session's head is at least `position`. False when it does not get there in time.
    pub(crate) async fn reaches(&self, position: i64, limit: Duration) -> bool {
        let mut head = self.head.subscribe();
        tokio::time::timeout(limit, head.wait_for(|head| *head >= position))
            .await
            .is_ok_and(|seen| seen.is_ok())
    }

    /// The newest event's position.
    pub(crate) fn position(&self) -> i64 {
        self.state().ring.head()
    }

    /// Visibility as the log has it so far.
    pub(crate) fn visibility(&self) -> Option<String> {
        self.state().visibility.clone()
    }

    /// Viewers at this gateway.
    pub(crate) fn viewers(&self) -> u32 {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Counts a viewer until the guard goes.
    pub(crate) fn count_viewer(self: &Arc<Self>) -> ViewerGuard {
        self.viewers.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
        ViewerGuard(self.clone())
    }

    /// A number for a new subscriber.
    pub(crate) fn subscriber_id(&self) -> u64 {
        self.next_subscriber.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a subscriber out, also when a fan-out has it in its hands. How far it came.
    pub(crate) fn detach(&self, subscriber: &Subscriber) -> Sent {
        let sent = subscriber.leave();
        self.state()
            .attached
            .retain(|attached| attached.subscriber.id != subscriber.id);
        sent
    }

    /// Begins anew behind `position`; those who were further get a gap, all others go on by themselves.
    pub(super) fn restart(
        &self,
        position: i64,
        visibility: Option<String>,
        ended: Option<String>,
    ) -> Vec<Attached> {
        let mut state = self.state();
        let attached = std::mem::take(&mut state.attached);
        *state = State {
            ring: Ring::starting_after(position),
            flushed: position,
            attached: Vec::new(),
            ended,
            visibility,
            // Pages that are still on their way to a viewer were read before these.
            redactions: std::mem::take(&mut state.redactions),
            redacted_at: None,
            ended_by: None,
        };
        drop(state);
        self.projected.store(0, Ordering::Relaxed);
        self.head.send_replace(position);
        attached
    }

    /// Appends the next events.
    pub(super) fn append(&self, events: Vec<(i64, PositionedEvent)>) {
        if events.is_empty() {
            return;
        }
        let rendered: Vec<(RingEvent, PositionedEvent)> = events
            .into_iter()
            .map(|(offset, event)| (render(&event, offset), event))
            .collect();
        let mut state = self.state();
        if self.is_erased() {
            return;
        }
        let mut redactions = Redactions::default();
        for (ring_event, event) in rendered {
            state.note(&event);
            if !redactions.note(&event.event).is_empty() {
                state.redacted_at = Some(ring_event.offset);
            }
            state.ring.push(ring_event, RING_BYTES);
        }
        if !redactions.is_empty() {
            state.redact(&redactions);
        }
        let head = state.ring.head();
        drop(state);
        self.head.send_replace(head);
    }

    /// True if the rows are masked as the newest events are: what is read from them may be shown.
    pub(crate) fn rows_are_masked(&self) -> bool {
        let redacted_at = self.state().redacted_at;
        redacted_at.is_none_or(|offset| offset < self.projected_offset())
    }

    /// The event's id at a position, if it is among the newest.
    pub(crate) fn id_at(&self, position: i64) -> Option<EventId> {
        self.state().ring.event(position).map(|event| event.id)
    }
}

impl State {
    /// Follows the few facts that watching depends on.
    fn note(&mut self, event: &PositionedEvent) {
        #[derive(Deserialize, Default)]
        struct Facts {
            visibility: Option<String>,
            reason: Option<String>,
        }
        let kind = event.event.kind.name();
        if kind == "session.ended" {
            let facts: Facts = serde_json::from_str(event.event.data.get()).unwrap_or_default();
            self.ended = Some(facts.reason.unwrap_or_default());
            self.ended_by = Some(event.event.meta.event_id);
        } else if event.event.meta.source == Source::Agent {
            self.ended = None;
        }
        if matches!(kind, "session.started" | "session.updated") {
            let facts: Facts = serde_json::from_str(event.event.data.get()).unwrap_or_default();
            if facts.visibility.is_some() {
                self.visibility = facts.visibility;
            }
        }
    }
}

impl State {
    /// Hides what was sent as it was until now.
    fn redact(&mut self, redactions: &Redactions) {
        self.ring.mask(redactions);
        for (id, masks) in redactions.iter() {
            for mask in masks {
                self.redactions.add(id, mask.clone());
            }
        }
        // A reason that was read from the rows may be the one that is hidden.
        let is_named = self.ended_by.is_none_or(|id| !redactions.of(id).is_empty());
        if let Some(reason) = self.ended.as_mut().filter(|_| is_named)
            && !COMMON_REASONS.contains(&reason.as_str())
        {
            MARKER.clone_into(reason);
        }
    }
}

/// Renders an event once, for everybody.
pub(crate) fn render(event: &PositionedEvent, offset: i64) -> RingEvent {
    let mut json = Vec::with_capacity(256 + event.event.data.get().len());
    event.write_json(&mut json);
    RingEvent {
        position: event.position,
        id: event.event.meta.event_id,
        offset,
        clock: event.clock,
        kind: event.event.kind.name().into(),
        json: Bytes::from(json),
    }
}

/// Counts one viewer while it lives.
#[derive(Debug)]
pub(crate) struct ViewerGuard(Arc<Channel>);

impl Drop for ViewerGuard {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
        self.0.wake.notify_one();
    }
}
