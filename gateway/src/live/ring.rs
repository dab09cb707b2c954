//! A watched session's newest events as readers get them, for those who are nearly live.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use kulti_schemas::{EventId, Redactions, Timestamp, mask_rendered};

/// What all rings together may keep of projected events, so that viewers who come back need no query, ...
const KEEP_PROJECTED_BYTES: usize = 256 << 20;
/// ... as far as one ring keeps no more than this: some thousand events, ...
const KEEP_AT_MOST: usize = 2 << 20;
/// ... and none less than this, however many sessions are watched.
const KEEP_AT_LEAST: usize = 128 << 10;

/// One event, rendered once.
#[derive(Debug, Clone)]
pub(crate) struct RingEvent {
    pub(crate) position: i64,
    pub(crate) id: EventId,
    /// Kafka's offset of its record: tells whether replay has committed it.
    pub(crate) offset: i64,
    pub(crate) clock: Timestamp,
    pub(crate) kind: Arc<str>,
    /// The JSON object.
    pub(crate) json: Bytes,
}

/// Contiguous events up to the session's head.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    events: VecDeque<RingEvent>,
    bytes: usize,
    /// The position of the newest event that was pushed; what the session had when it was taken up, before.
    head: i64,
}

/// What the ring has after a position.
#[derive(Debug)]
pub(crate) enum RingPage {
    /// Nothing comes after it yet.
    AtHead,
    /// The next events, within the byte bound, at least one.
    Events(Vec<RingEvent>),
    /// The next event is older than what is held.
    NotHeld,
}

impl Ring {
    /// Empty, behind an event at `head`.
    pub(crate) fn starting_after(head: i64) -> Self {
        Ring {
            head,
            ..Default::default()
        }
    }

    /// Appends the next event and drops old ones beyond `limit` bytes.
    pub(crate) fn push(&mut self, event: RingEvent, limit: usize) {
        debug_assert_eq!(event.position, self.head + 1, "positions have no holes");
        self.head = event.position;
        self.bytes += event.json.len();
        self.events.push_back(event);
        while self.bytes > limit && self.events.len() > 1 {
            self.pop();
        }
    }

    /// Drops what replay has committed, but for the newest part of it: this ring's share if there are so many.
    pub(crate) fn drop_projected(&mut self, next_offset: i64, rings: usize) {
        let share = (KEEP_PROJECTED_BYTES / rings.max(1)).clamp(KEEP_AT_LEAST, KEEP_AT_MOST);
        while self.bytes > share
            && self
                .events
                .front()
                .is_some_and(|event| event.offset < next_offset)
        {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.json.len();
        }
    }

    /// Hides in the events that are held what is hidden of them.
    pub(crate) fn mask(&mut self, redactions: &Redactions) {
        for event in &mut self.events {
            let masks = redactions.of(event.id);
            if !masks.is_empty() {
                self.bytes -= event.json.len();
                event.json = Bytes::from(mask_rendered(&event.json, masks));
                self.bytes += event.json.len();
            }
        }
    }

    /// The newest event's position.
    pub(crate) fn head(&self) -> i64 {
        self.head
    }

    /// The events after `position`, up to `limit` bytes.
    pub(crate) fn page(&self, position: i64, limit: usize) -> RingPage {
        if position >= self.head {
            return RingPage::AtHead;
        }
        let first = self.events.front().map_or(self.head + 1, |event| event.position);
        if position + 1 < first {
            return RingPage::NotHeld;
        }
        let mut bytes = 0;
        let events = self
            .events
            .range((position + 1 - first) as usize..)
            .take_while(|event| {
                let fits = bytes == 0 || bytes + event.json.len() <= limit;
                bytes += event.json.len();
                fits
            })
            .cloned()
            .collect();
        RingPage::Events(events)
    }

    /// The event of this id, if it is held.
    pub(crate) fn find(&self, id: EventId) -> Option<&RingEvent> {
        self.events.iter().find(|event| event.id == id)
    }

    /// The position of the last event that is held at or before a moment of the session's clock.
    pub(crate) fn last_at(&self, time: Timestamp) -> Option<i64> {
        let count = self.events.partition_point(|event| event.clock <= time);
        let last = self.events.get(count.checked_sub(1)?)?;
        Some(last.position)
    }

    /// The event at `position`, if it is held.
    pub(crate) fn event(&self, position: i64) -> Option<&RingEvent> {
        let first = self.events.front()?.position;
        self.events.get(usize::try_from(position - first).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(position: i64) -> RingEvent {
        RingEvent {
            position,
            id: EventId::generate(),
            offset: position * 10,
            clock: Timestamp(0),
            kind: "thought".into(),
            json: Bytes::from(vec![b' '; 1000]),
        }
    }

    #[test]
    fn pages_are_contiguous_and_bounded() {
        let mut ring = Ring::starting_after(5);
        assert!(matches!(ring.page(5, 1), RingPage::AtHead));
        assert!(matches!(ring.page(3, 1), RingPage::NotHeld));
        for position in 6..=20 {
            ring.push(event(position), 10_000);
        }
        assert!(
            matches!(ring.page(9, 1), RingPage::NotHeld),
            "the bound dropped 6 to 10"
        );
        let RingPage::Events(events) = ring.page(12, 2_500) else {
            panic!("held")
        };
        assert_eq!(
            events.iter().map(|event| event.position).collect::<Vec<_>>(),
            [13, 14]
        );
        let RingPage::Events(events) = ring.page(12, 1) else {
            panic!("held")
        };
        assert_eq!(events.len(), 1, "at least one, however large");
        assert_eq!(ring.event(20).map(|event| event.position), Some(20));
        assert!(ring.event(21).is_none() && ring.event(2).is_none());
    }

    #[test]
    fn projected_events_go_first_but_the_newest_stay() {
        let mut ring = Ring::starting_after(0);
        for position in 1..=3000 {
            ring.push(event(position), usize::MAX);
        }
        let kept = |ring: &Ring, position| matches!(ring.page(position, 1), RingPage::Events(_));
        ring.drop_projected(i64::MAX, 1);
        assert!(!kept(&ring, 0) && kept(&ring, 1000));
        ring.drop_projected(i64::MAX, 100_000);
        assert!(!kept(&ring, 2800) && kept(&ring, 2900), "each of many keeps less");
    }
}
