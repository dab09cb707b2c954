//! Decides which record is an event and which position it has: the same code in the live tail and in replay.
//!
//! The first record of (session, event id) is the event; later copies have no position. A sequencer remembers the
//! largest ids of its session. An id above all of them is new; one within their range is answered exactly from
//! memory; only an older one needs a look-up in what was already projected.

use std::collections::BTreeSet;

use kulti_schemas::{EventId, Meta, Timestamp};

use crate::session_clock;

/// How many of its session's largest ids a sequencer remembers: sessions up to this length never need a look-up,
/// nor do producers whose clocks differ by less than this many events.
pub const SEQUENCER_IDS: usize = 1024;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The first record of its id.
    New,
    /// A later copy: no row, no frame, no position.
    Copy,
    /// Older than everything remembered: only memory above the projection, and the projected rows, can tell.
    LookUp,
}

/// One session's counters.
#[derive(Debug, Clone)]
pub struct Sequencer {
    position: i64,
    clock: Option<Timestamp>,
    largest: BTreeSet<EventId>,
    /// True while `largest` holds every id of the session.
    complete: bool,
}

impl Default for Sequencer {
    fn default() -> Self {
        Sequencer {
            position: 0,
            clock: None,
            largest: BTreeSet::new(),
            complete: true,
        }
    }
}

impl Sequencer {
    /// Takes up a session: its last position and clock, and its largest ids (at least `SEQUENCER_IDS` of
    /// them, or all).
    pub fn resume(
        position: i64,
        clock: Option<Timestamp>,
        largest: impl IntoIterator<Item = EventId>,
    ) -> Self {
        let largest: BTreeSet<EventId> = largest.into_iter().collect();
        let complete = largest.len() as i64 >= position;
        Sequencer {
            position,
            clock,
            largest,
            complete,
        }
    }

    /// The last position that was given; 0 before the first.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The session's clock after that event.
    pub fn clock(&self) -> Option<Timestamp> {
        self.clock
    }

    /// What a record with this id is. Changes nothing.
    pub fn decide(&self, id: EventId) -> Decision {
        if self.largest.contains(&id) {
            return Decision::Copy;
        }
        match self.largest.first() {
            Some(smallest) if !self.complete && id < *smallest => Decision::LookUp,
            _ => Decision::New,
        }
    }

    /// The ids among these records that will need a look-up once the records before them are applied.
    pub fn look_ups<'a>(&self, records: impl Iterator<Item = &'a Meta> + Clone) -> Vec<EventId> {
        let mut newest = self.largest.last().copied();
        let in_order = |meta: &Meta| {
            newest
                .replace(meta.event_id)
                .is_none_or(|before| before < meta.event_id)
        };
        if records.clone().all(in_order) {
            return Vec::new();
        }
        let mut ahead = self.clone();
        let mut ids = Vec::new();
        for meta in records {
            match ahead.decide(meta.event_id) {
                Decision::New => {
                    ahead.accept(meta);
                }
                // Accepting it, should it be new, would not change what is remembered.
                Decision::LookUp => ids.push(meta.event_id),
                Decision::Copy => {}
            }
        }
        ids
    }

    /// Gives the next position to an event that is new, and moves the clock.
    pub fn accept(&mut self, meta: &Meta) -> (i64, Timestamp) {
        self.position += 1;
        let clock = session_clock(self.clock, meta);
        self.clock = Some(clock);
        self.largest.insert(meta.event_id);
        if self.largest.len() > SEQUENCER_IDS {
            self.largest.pop_first();
            self.complete = false;
        }
        (self.position, clock)
    }
}

#[cfg(test)]
mod tests;
