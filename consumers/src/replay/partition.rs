//! One partition's memory between batches, and what a batch does with it.
//!
//! What is remembered is what the rows say; it may run ahead of them only until the transaction ends, and the runner
//! drops all of it when that one is not committed.

use std::collections::{HashMap, HashSet};

use kulti_schemas::{Event, EventId, Redactions, SessionId, Timestamp};
use kulti_session::{Decision, SEQUENCER_IDS, Sequencer, Usage};
use sqlx::PgConnection;

use super::erasure::{self, Erasure};
use super::events::EventRows;
use super::metrics::ReplayMetrics;
use super::redaction;
use super::sessions::SessionChange;
use super::store;

/// Rough bytes of a remembered session without its ids, and of one id.
const SESSION_BYTES: usize = 600;
const ID_BYTES: usize = 28;
/// Of one event that a redaction waits for.
const AWAITED_BYTES: usize = 200;

/// What replay remembers of one partition: the sessions used last.
pub struct PartitionState {
    partition: i32,
    sessions: HashMap<SessionId, SessionState>,
    limit_bytes: usize,
    batches: u64,
}

/// One session, as its rows say.
#[derive(Debug, Default)]
pub(super) struct SessionState {
    pub(super) sequencer: Sequencer,
    pub(super) usage: Usage,
    pub(super) ended: bool,
    /// The agent's last event.
    pub(super) agent_event_id: Option<EventId>,
    /// What is hidden of events that have not come yet.
    pub(super) awaited: Redactions,
    /// Nothing of it is kept, whatever comes.
    pub(super) erased: bool,
    /// When it was used last, in batches.
    used: u64,
}

/// One session's part of a batch.
struct Part {
    id: SessionId,
    state: SessionState,
    change: SessionChange,
    /// Of the events.
    indexes: Vec<usize>,
    /// The ids that the window of the sequencer does not decide, and whether the rows or this batch have them;
    /// empty if there are none.
    asked: HashSet<EventId>,
    known: HashSet<EventId>,
    /// What this batch's redactions hide.
    redactions: Redactions,
    /// Events of the batch that an earlier redaction waited for.
    arrived: Vec<EventId>,
    /// The batch has erased it.
    erasure: Option<Erasure>,
}

impl PartitionState {
    pub(super) fn new(partition: i32, limit_bytes: usize) -> Self {
        PartitionState {
            partition,
            sessions: HashMap::new(),
            limit_bytes,
            batches: 0,
        }
    }

    /// Decides which of these are events, numbers them, and writes them and their sessions.
    pub(super) async fn apply(
        &mut self,
        mut events: Vec<Event>,
        connection: &mut PgConnection,
        metrics: &ReplayMetrics,
    ) -> sqlx::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        self.batches += 1;
        let (mut parts, part_of) = self.take_parts(&events);
        self.load_missing(&mut parts, connection, metrics).await?;
        look_up(&mut parts, &events, connection, metrics).await?;

        // All are placed before any is written: a redaction hides what came before it too.
        let places: Vec<Option<(i64, Timestamp)>> = events
            .iter()
            .zip(&part_of)
            .map(|(event, part)| parts[*part].place(event))
            .collect();
        let mut rows = EventRows::for_events(&events);
        for ((event, part), place) in events.iter_mut().zip(part_of).zip(&places) {
            let part = &mut parts[part];
            let Some((position, clock)) = *place else { continue };
            if part.state.erased {
                continue;
            }
            part.hide(event);
            rows.push(event, position, clock);
            part.change.note(&mut part.state, event, position, clock);
        }
        let written = rows.rows();
        metrics.events.inc_by(written);
        metrics
            .copies
            .inc_by(places.iter().filter(|place| place.is_none()).count() as u64);
        self.erase(&mut parts, connection).await?;
        if written > 0 {
            store::copy_events(connection, rows).await?;
            let changes: Vec<_> = parts
                .iter()
                .filter(|part| part.change.touched())
                .map(|part| (&part.id, &part.change, &part.state))
                .collect();
            store::write_sessions(connection, self.partition, &changes).await?;
            for part in &mut parts {
                if !part.arrived.is_empty() {
                    redaction::forget_awaited(connection, &part.id, &part.arrived).await?;
                }
                if !part.redactions.is_empty() {
                    redaction::apply(connection, &part.id, &part.redactions, &mut part.state).await?;
                }
            }
        }
        self.put_back(parts);
        Ok(())
    }

    /// Removes the sessions that the batch erases, with everything that they had.
    async fn erase(&self, parts: &mut [Part], connection: &mut PgConnection) -> sqlx::Result<()> {
        for part in parts {
            let Some(erasure) = part.erasure.take() else {
                continue;
            };
            erasure::apply(connection, self.partition, &part.id, &erasure).await?;
            part.change = SessionChange::default();
            part.redactions = Redactions::default();
            part.state = SessionState {
                erased: true,
                ..SessionState::default()
            };
        }
        Ok(())
    }

    /// The sessions of a batch, taken out of memory, and the part that each event belongs to.
    fn take_parts(&mut self, events: &[Event]) -> (Vec<Part>, Vec<usize>) {
        let mut parts: Vec<Part> = Vec::new();
        let mut part_of_session: HashMap<&SessionId, usize> = HashMap::new();
        let mut part_of = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            let id = &event.meta.session_id;
            let part = *part_of_session.entry(id).or_insert_with(|| {
                parts.push(Part {
                    id: id.clone(),
                    state: SessionState::default(),
                    change: SessionChange::default(),
                    indexes: Vec::new(),
                    asked: HashSet::new(),
                    known: HashSet::new(),
                    redactions: Redactions::default(),
                    arrived: Vec::new(),
                    erasure: None,
                });
                parts.len() - 1
            });
            parts[part].indexes.push(index);
            part_of.push(part);
        }
        (parts, part_of)
    }

    /// From memory, and for all that are not there from the rows in one query.
    async fn load_missing(
        &mut self,
        parts: &mut [Part],
        connection: &mut PgConnection,
        metrics: &ReplayMetrics,
    ) -> sqlx::Result<()> {
        let mut missing: HashMap<String, usize> = HashMap::new();
        for (index, part) in parts.iter_mut().enumerate() {
            match self.sessions.remove(&part.id) {
                Some(state) => part.state = state,
                None => {
                    missing.insert(part.id.as_str().to_owned(), index);
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = missing.keys().map(String::as_str).collect();
        for (id, state) in store::load_sessions(connection, &ids).await? {
            metrics.sessions_loaded.inc();
            if let Some(index) = missing.get(&id) {
                parts[*index].state = state;
            }
        }
        Ok(())
    }

    fn put_back(&mut self, parts: Vec<Part>) {
        for mut part in parts {
            part.state.used = self.batches;
            self.sessions.insert(part.id, part.state);
        }
        self.forget_what_is_too_much();
    }

    /// Down to three quarters, the longest unused first, so that it need not be done for every batch.
    fn forget_what_is_too_much(&mut self) {
        let mut bytes: usize = self.sessions.values().map(SessionState::bytes).sum();
        if bytes <= self.limit_bytes {
            return;
        }
        let mut by_use: Vec<(u64, SessionId)> = self
            .sessions
            .iter()
            .map(|(id, state)| (state.used, id.clone()))
            .collect();
        by_use.sort_unstable();
        for (_, id) in by_use {
            if bytes <= self.limit_bytes / 4 * 3 {
                return;
            }
            if let Some(state) = self.sessions.remove(&id) {
                bytes -= state.bytes();
            }
        }
    }
}

impl SessionState {
    pub(super) fn resumed(
        sequencer: Sequencer,
        usage: Usage,
        ended: bool,
        agent_event_id: Option<EventId>,
    ) -> Self {
        SessionState {
            sequencer,
            usage,
            ended,
            agent_event_id,
            ..SessionState::default()
        }
    }

    fn bytes(&self) -> usize {
        let ids = usize::try_from(self.sequencer.position())
            .unwrap_or(usize::MAX)
            .min(SEQUENCER_IDS);
        SESSION_BYTES + ids * ID_BYTES + self.awaited.iter().count() * AWAITED_BYTES
    }
}

impl Part {
    /// The event's position and clock; `None` for a copy, and for what an erased session gets.
    fn place(&mut self, event: &Event) -> Option<(i64, Timestamp)> {
        if self.state.erased || !self.is_new(event.meta.event_id) {
            return None;
        }
        let place = self.state.sequencer.accept(&event.meta);
        if let Some(erasure) = Erasure::of(event) {
            self.erasure = Some(erasure);
            self.state.erased = true;
            return None;
        }
        self.redactions.note(event);
        Some(place)
    }

    /// Hides what redactions before and after it in the log hide of it.
    fn hide(&mut self, event: &mut Event) {
        if !self.redactions.is_empty() {
            self.redactions.apply(event);
        }
        if !self.state.awaited.is_empty() {
            let masks = self.state.awaited.remove(event.meta.event_id);
            event.mask(&masks);
            if !masks.is_empty() {
                self.arrived.push(event.meta.event_id);
            }
        }
    }

    /// True for the first record of an id.
    fn is_new(&mut self, id: EventId) -> bool {
        match self.state.sequencer.decide(id) {
            Decision::Copy => return false,
            Decision::New => {}
            Decision::LookUp if self.known.contains(&id) => return false,
            Decision::LookUp => {}
        }
        if self.asked.contains(&id) {
            self.known.insert(id);
        }
        true
    }
}

/// Asks the rows, in one query, for the ids that the sequencers will not be able to tell.
async fn look_up(
    parts: &mut [Part],
    events: &[Event],
    connection: &mut PgConnection,
    metrics: &ReplayMetrics,
) -> sqlx::Result<()> {
    let mut sessions = Vec::new();
    let mut ids = Vec::new();
    let mut part_of_session: HashMap<String, usize> = HashMap::new();
    for (index, part) in parts.iter_mut().enumerate() {
        let metas = part.indexes.iter().map(|index| &events[*index].meta);
        let asked = part.state.sequencer.look_ups(metas);
        if asked.is_empty() {
            continue;
        }
        part_of_session.insert(part.id.as_str().to_owned(), index);
        for id in asked {
            if part.asked.insert(id) {
                sessions.push(part.id.as_str());
                ids.push(id.uuid());
            }
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    metrics.look_ups.inc_by(ids.len() as u64);
    let found = store::known_events(connection, &sessions, &ids).await?;
    for (session, id) in found {
        if let Some(index) = part_of_session.get(&session) {
            parts[*index].known.insert(id);
        }
    }
    Ok(())
}
