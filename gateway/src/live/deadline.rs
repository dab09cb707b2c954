//! Catching up within a time: counts what there is to show, and asks `pacing` when each frame is due.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::pacing::{Beat, Outcomes, Schedule, weight};
use super::ring::{RingEvent, RingPage};
use super::subscription::Course;
use crate::store::{self, answered};

/// What came meanwhile is counted this often.
const COUNT_EVERY: Duration = Duration::from_millis(250);

/// The next events that are shown together.
#[derive(Debug, Clone, Copy)]
pub(super) struct DueFrame {
    /// So many, at least one.
    pub(super) events: usize,
    pub(super) due: Instant,
    weight: u64,
}

/// One catching up.
pub(super) struct CatchingUp {
    began: Instant,
    time: Duration,
    schedule: Schedule,
    /// Everything up to here is in the schedule.
    counted: i64,
    counted_at: Instant,
    outcomes: Outcomes,
    /// The next events as the schedule sees them, the first of them at this position.
    beats: (i64, VecDeque<Beat>),
}

impl CatchingUp {
    /// From after `cursor` on. `None` if there is nothing to catch up with, or no time left for it.
    pub(super) async fn begin(course: &Course, cursor: i64) -> Option<Self> {
        let mut catching_up = CatchingUp {
            began: course.began,
            time: course.time_left,
            schedule: Schedule::within(course.time_left),
            counted: cursor,
            counted_at: Instant::now(),
            outcomes: Outcomes::default(),
            beats: (cursor + 1, VecDeque::new()),
        };
        catching_up.count(course).await;
        let is_over = Instant::now() >= catching_up.ends();
        (!is_over && !catching_up.schedule.is_empty()).then_some(catching_up)
    }

    /// When it has to be live.
    pub(super) fn ends(&self) -> Instant {
        self.began + self.time
    }

    /// When it is worth counting again.
    pub(super) fn recount_at(&self) -> Instant {
        self.counted_at + COUNT_EVERY
    }

    /// Counts what came since. What cannot be counted right now is counted later, or when it is shown.
    pub(super) async fn count(&mut self, course: &Course) {
        self.counted_at = Instant::now();
        let filter = &course.settings.filter;
        let weigh = |kind: &str| if filter.matches(kind) { weight(kind) } else { 0 };
        let newest = |counted| course.channel.state().ring.page(counted, usize::MAX);
        let mut page = newest(self.counted);
        if matches!(page, RingPage::NotHeld) {
            let rows = store::kinds_after(&course.state.pool, &course.channel.session, self.counted);
            match answered(rows).await {
                Ok(kinds) => {
                    for kind in &kinds {
                        self.schedule.grow(weigh(&kind.kind) * kind.events.unsigned_abs());
                        self.counted = self.counted.max(kind.last);
                    }
                }
                Err(problem) => tracing::debug!(%problem, "what there is to catch up with is not counted"),
            }
            page = newest(self.counted);
        }
        if let RingPage::Events(events) = page {
            self.schedule
                .grow(events.iter().map(|event| weigh(&event.kind)).sum());
            self.counted = events.last().map_or(self.counted, |event| event.position);
        }
    }

    /// The next frame of these events, which come next.
    pub(super) fn next(&mut self, course: &Course, events: &[RingEvent]) -> DueFrame {
        let (first, beats) = &mut self.beats;
        let start = events[0].position;
        while *first < start && beats.pop_front().is_some() {
            *first += 1;
        }
        if beats.is_empty() {
            *first = start;
        }
        for event in &events[beats.len().min(events.len())..] {
            let has_outcome = self.outcomes.read(&event.kind, &event.json);
            beats.push_back(if course.settings.filter.matches(&event.kind) {
                Beat::of(&event.kind, has_outcome)
            } else {
                Beat::HIDDEN
            });
        }
        let beats = &beats.make_contiguous()[..events.len()];
        let frame = self.schedule.next(beats);
        DueFrame {
            events: frame.events,
            due: self.began + frame.due,
            weight: frame.weight,
        }
    }

    /// It was shown.
    pub(super) fn show(&mut self, frame: &DueFrame) {
        self.schedule.show(frame.weight);
    }
}
