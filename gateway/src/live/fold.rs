//! Turns one session's records into its events, from the point where replay's snapshot leaves off.
//!
//! The same decisions as in the replay consumer (`kulti_session::Sequencer`); only where an old id is looked up
//! differs: in memory above replay's committed offset, in Postgres below it.

use std::collections::{HashMap, VecDeque};

use kulti_pipeline::Record;
use kulti_schemas::{Event, EventId, Kind, PositionedEvent, Redactions, SessionId, decode_record};
use kulti_session::{Decision, Sequencer};
use sqlx::PgPool;

use super::projected::{SessionSnapshot, known_ids};

/// One session's events from its records.
#[derive(Debug)]
pub(crate) struct SessionFold {
    session: SessionId,
    sequencer: Sequencer,
    /// Records before this offset are done with.
    next_offset: i64,
    /// The ids accepted since, by their record's offset, until replay has committed them.
    accepted: HashMap<EventId, i64>,
    by_offset: VecDeque<(i64, EventId)>,
    /// What is hidden, by redactions that were folded here or that waited for their event.
    redactions: Redactions,
    /// The session was erased: whatever comes is nothing.
    erased: bool,
}

impl SessionFold {
    /// Goes on where the snapshot leaves off, with the records from `next_offset` on.
    pub(crate) fn new(session: SessionId, snapshot: SessionSnapshot, next_offset: i64) -> Self {
        SessionFold {
            session,
            sequencer: snapshot.sequencer,
            next_offset,
            accepted: HashMap::new(),
            by_offset: VecDeque::new(),
            redactions: snapshot.awaited,
            erased: snapshot.erased,
        }
    }

    /// The last position that was given.
    pub(crate) fn position(&self) -> i64 {
        self.sequencer.position()
    }

    /// Records before this offset are done with.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The log holds nothing of this session before this offset that was not applied.
    pub(crate) fn skip_to(&mut self, next_offset: i64) {
        self.next_offset = self.next_offset.max(next_offset);
    }

    /// Forgets the ids that Postgres can answer for from now on.
    pub(crate) fn drop_projected(&mut self, next_offset: i64) {
        while self
            .by_offset
            .front()
            .is_some_and(|(offset, _)| *offset < next_offset)
        {
            if let Some((_, id)) = self.by_offset.pop_front() {
                self.accepted.remove(&id);
            }
        }
    }

    /// The events of these records, in order, each with its record's offset. Records that were seen, that are
    /// copies, or that are not ours give none.
    ///
    /// # Errors
    /// Postgres could not be asked about an old id. Nothing has changed then: call again with the same records.
    pub(crate) async fn apply(
        &mut self,
        pool: &PgPool,
        records: &[Record],
    ) -> sqlx::Result<Vec<(i64, PositionedEvent)>> {
        let decoded: Vec<(i64, Event)> = records
            .iter()
            .filter(|record| record.offset >= self.next_offset)
            .filter_map(|record| {
                Some((
                    record.offset,
                    decode_record(record.key.as_deref(), record.value.as_ref()).ok()?,
                ))
            })
            .collect();
        let mut asked = self
            .sequencer
            .look_ups(decoded.iter().map(|(_, event)| &event.meta));
        asked.retain(|id| !self.accepted.contains_key(id));
        let known = if asked.is_empty() {
            HashMap::new()
        } else {
            known_ids(pool, &self.session, &asked).await?
        };
        let mut events = Vec::with_capacity(decoded.len());
        for (offset, event) in decoded {
            let id = event.meta.event_id;
            let new = match self.sequencer.decide(id) {
                Decision::New => true,
                Decision::Copy => false,
                Decision::LookUp => {
                    // Replay may be ahead of us: a row at a later position is this very record.
                    let in_rows = known
                        .get(&id)
                        .is_some_and(|position| *position <= self.sequencer.position());
                    !in_rows && !self.accepted.contains_key(&id)
                }
            };
            if new && !self.erased {
                if event.kind == Kind::Known("session.erased") {
                    self.erased = true;
                    continue;
                }
                self.redactions.note(&event);
                let (position, clock) = self.sequencer.accept(&event.meta);
                self.accepted.insert(id, offset);
                self.by_offset.push_back((offset, id));
                events.push((
                    offset,
                    PositionedEvent {
                        position,
                        clock,
                        event,
                    },
                ));
            }
        }
        if let Some(last) = records.last() {
            self.next_offset = self.next_offset.max(last.offset + 1);
        }
        if !self.redactions.is_empty() {
            for (_, event) in &mut events {
                self.redactions.apply(&mut event.event);
            }
        }
        Ok(events)
    }
}
