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

/// Events that are older than the newest this many bytes lie together in runs of about this size.
const RUN_BYTES: usize = 64 << 10;

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

/// Events one behind the other as a frame has them, so that they are sent as they lie: `,{…},{…}`.
#[derive(Debug)]
struct Run {
    /// The position of its last event; its first one comes behind the run before, or is dropped already.
    last: i64,
    json: Bytes,
}

/// Contiguous events up to the session's head.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    events: VecDeque<RingEvent>,
    bytes: usize,
    /// All events but the newest; their `json` is a part of these.
    runs: VecDeque<Run>,
    /// Bytes of the events behind the last run.
    loose_bytes: usize,
    /// The position of the newest event that was pushed; what the session had when it was taken up, before.
    head: i64,
}

/// The next events as they stand in a frame.
#[derive(Debug)]
pub(crate) struct JoinedPage {
    /// The position of the last one.
    pub(crate) last: i64,
    /// The session's clock at the last one.
    pub(crate) clock: Timestamp,
    /// One behind the other: `{…},{…}`.
    pub(crate) pieces: Vec<Bytes>,
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
        self.loose_bytes += event.json.len();
        self.events.push_back(event);
        self.join();
        while self.bytes > limit && self.events.len() > 1 {
            self.pop();
        }
    }

    /// Lays the newest events together once they are enough for a run.
    fn join(&mut self) {
        while self.loose_bytes >= RUN_BYTES {
            let first = self.first_loose();
            let mut json = Vec::with_capacity(self.loose_bytes.min(2 * RUN_BYTES));
            let mut ends = Vec::new();
            for event in self.events.range(first..) {
                json.push(b',');
                json.extend_from_slice(&event.json);
                ends.push(json.len());
                if json.len() >= RUN_BYTES {
                    break;
                }
            }
            let json = Bytes::from(json);
            let mut start = 1;
            for (event, end) in self.events.range_mut(first..).zip(&ends) {
                event.json = json.slice(start..*end);
                start = end + 1;
            }
            self.loose_bytes -= json.len() - ends.len();
            let last = self.events[first + ends.len() - 1].position;
            self.runs.push_back(Run { last, json });
        }
    }

    /// The place in `events` of the first one behind the last run.
    fn first_loose(&self) -> usize {
        let in_runs = self.runs.back().zip(self.events.front());
        in_runs.map_or(0, |(run, first)| (run.last + 1 - first.position) as usize)
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
        let Some(event) = self.events.pop_front() else {
            return;
        };
        self.bytes -= event.json.len();
        match self.runs.front() {
            None => self.loose_bytes -= event.json.len(),
            Some(run) if run.last == event.position => drop(self.runs.pop_front()),
            Some(_) => {}
        }
    }

    /// Hides in the events that are held what is hidden of them.
    pub(crate) fn mask(&mut self, redactions: &Redactions) {
        let mut is_masked = false;
        for event in &mut self.events {
            let masks = redactions.of(event.id);
            if !masks.is_empty() {
                self.bytes -= event.json.len();
                event.json = Bytes::from(mask_rendered(&event.json, masks));
                self.bytes += event.json.len();
                is_masked = true;
            }
        }
        if is_masked {
            self.runs.clear();
            self.loose_bytes = self.bytes;
            self.join();
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

    /// The same as they stand in a frame, the most of it without a copy; `None` at the head and if they are not held.
    pub(crate) fn joined_page(&self, position: i64, limit: usize) -> Option<JoinedPage> {
        let front = self.events.front()?.position;
        if position + 1 < front || position >= self.head {
            return None;
        }
        let (mut pieces, mut bytes, mut last) = (Vec::new(), 0, position);
        let run = self.runs.partition_point(|run| run.last <= position);
        for run in self.runs.range(run..) {
            // From its end back to the event that comes next: what comes before that may be dropped already.
            let from = (last + 1 - front) as usize;
            let wanted = self.events.range(from..=(run.last - front) as usize);
            let length: usize = wanted.map(|event| event.json.len() + 1).sum();
            if bytes > 0 && bytes + length > limit {
                break;
            }
            let comma = usize::from(bytes == 0);
            pieces.push(run.json.slice(run.json.len() - length + comma..));
            bytes += length;
            last = run.last;
        }
        let is_whole = self.runs.back().is_none_or(|run| run.last <= last);
        if is_whole && (bytes == 0 || bytes < limit) {
            let mut json = Vec::with_capacity(self.loose_bytes + self.events.len() - self.first_loose());
            for event in self.events.range((last + 1 - front) as usize..) {
                if bytes > 0 && bytes + event.json.len() > limit {
                    break;
                }
                if bytes > 0 {
                    json.push(b',');
                }
                json.extend_from_slice(&event.json);
                bytes += event.json.len() + 1;
                last = event.position;
            }
            if !json.is_empty() {
                pieces.push(json.into());
            }
        }
        let clock = self.event(last)?.clock;
        Some(JoinedPage { last, clock, pieces })
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

    /// All pages after `position`, as one list of events.
    fn joined(ring: &Ring, mut position: i64, limit: usize) -> String {
        let mut all = String::new();
        while let Some(page) = ring.joined_page(position, limit) {
            assert!(page.last > position && page.last <= ring.head());
            let page_text = String::from_utf8(page.pieces.concat()).expect("text");
            let events: Vec<serde_json::Value> =
                serde_json::from_str(&format!("[{page_text}]")).expect("a list of JSON objects");
            assert_eq!(
                events.len() as i64,
                page.last - position,
                "all of them, each once"
            );
            all.push_str(if all.is_empty() { "" } else { "," });
            all.push_str(&page_text);
            position = page.last;
        }
        assert_eq!(position, ring.head(), "to the head");
        all
    }

    fn sized(position: i64, bytes: usize) -> RingEvent {
        let json = format!(r#"{{"position":{position},"x":"{}"}}"#, "y".repeat(bytes));
        RingEvent {
            json: json.into(),
            ..event(position)
        }
    }

    proptest::proptest! {
        #[test]
        fn joined_pages_are_the_events_whatever_was_dropped(
            sizes in proptest::collection::vec(0_usize..30_000, 1..60),
            limits in (1_usize..200_000, 40_000_usize..600_000),
            after in 0_usize..60,
        ) {
            let (limit, ring_limit) = limits;
            let mut ring = Ring::starting_after(0);
            for (index, size) in sizes.iter().enumerate() {
                ring.push(sized(index as i64 + 1, *size), ring_limit);
            }
            let held = ring.events.front().expect("one stays").position;
            let after = (after as i64).clamp(held - 1, ring.head());
            let expected: Vec<&[u8]> = ring.events.iter().filter(|event| event.position > after)
                .map(|event| event.json.as_ref()).collect();
            proptest::prop_assert_eq!(joined(&ring, after, limit).into_bytes(), expected.join(&b','));
            proptest::prop_assert!(held == 1 || ring.joined_page(held - 2, limit).is_none());
            proptest::prop_assert_eq!(ring.bytes, expected_bytes(&ring));
        }
    }

    fn expected_bytes(ring: &Ring) -> usize {
        ring.events.iter().map(|event| event.json.len()).sum()
    }

    #[test]
    fn what_is_masked_is_in_no_joined_page() {
        let mut ring = Ring::starting_after(0);
        for position in 1..=200 {
            let json = format!(
                r#"{{"position":{position},"kind":"thought","data":{{"content":"secret {}"}}}}"#,
                "y".repeat(1000)
            );
            ring.push(
                RingEvent {
                    json: json.into(),
                    ..event(position)
                },
                usize::MAX,
            );
        }
        assert_eq!(ring.runs.len(), 3, "most of it lies in runs");
        let mut redactions = Redactions::default();
        for position in [70, 199] {
            let id = ring.event(position).expect("held").id;
            redactions.add(id, kulti_schemas::Mask::whole_event());
        }
        ring.mask(&redactions);
        assert_eq!(joined(&ring, 0, 100_000).matches("secret").count(), 198);
        assert_eq!(ring.bytes, expected_bytes(&ring));
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
