//! Waits until the next events are due, and tells the viewer meanwhile where playback is.

use std::time::Duration;

use kulti_schemas::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::deadline::CatchingUp;
use super::pacing::{clock_between, pause};
use super::ring::RingEvent;
use super::subscriber::Sent;
use super::subscription::{Course, Pace};

/// Events that are due within this go out together.
const TOGETHER: Duration = Duration::from_millis(10);
/// Between two `clock` frames.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// No pause is longer: a century would not fit into the clock that is waited by.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// When the next event is due.
pub(super) struct Playhead {
    pub(super) pace: Pace,
    idle_cap: Option<Duration>,
    /// What comes up to here is due at once.
    target: i64,
    /// Nothing after this is sent.
    pub(super) limit: i64,
    /// Only the open segment is left: nobody needs to ask for another.
    pub(super) no_more_segments: bool,
    /// The last event's clock and the moment it was due.
    last: Option<(Timestamp, Instant)>,
    next_clock: Instant,
    /// With a deadline.
    catching_up: Option<CatchingUp>,
}

impl Playhead {
    /// What comes up to `target` is not paced.
    pub(super) async fn new(course: &Course, pace: Pace, target: i64) -> Self {
        let now = Instant::now();
        let (pace, catching_up) = match pace {
            Pace::Deadline(_) if !course.settings.paused => {
                match CatchingUp::begin(course, target).await {
                    Some(catching_up) => (pace, Some(catching_up)),
                    // Nothing was missed, or there is no time left.
                    None => (Pace::Max, None),
                }
            }
            pace => (pace, None),
        };
        Playhead {
            pace,
            idle_cap: course.settings.idle_cap,
            target,
            limit: if course.settings.paused { target } else { i64::MAX },
            no_more_segments: false,
            last: course.subscriber.sent().clock.map(|clock| (clock, now)),
            next_clock: now + CLOCK_EVERY,
            catching_up,
        }
    }

    /// At the newest event: true if it is not time to be live yet. Then waits a little, or until more comes.
    pub(super) async fn waits_at_head(&mut self, course: &Course, cursor: i64) -> bool {
        let Some(catching_up) = &self.catching_up else {
            return false;
        };
        let now = Instant::now();
        if now >= catching_up.ends() {
            self.pace = Pace::Max;
            self.catching_up = None;
            return false;
        }
        let until = catching_up.ends().min(self.next_clock);
        let more = course
            .channel
            .reaches(cursor + 1, until.duration_since(now))
            .await;
        if !more {
            self.tick(course, None);
        }
        true
    }

    /// Waits until the first event is due. Returns how many are due by then.
    pub(super) async fn wait(&mut self, course: &Course, events: &[RingEvent]) -> usize {
        let at_once = events.partition_point(|event| event.position <= self.target);
        match self.pace {
            Pace::Max => events.len(),
            _ if at_once > 0 => {
                let last = &events[at_once - 1];
                self.last = Some((last.clock, Instant::now()));
                at_once
            }
            Pace::Speed(speed) => self.wait_at_speed(course, events, speed).await,
            Pace::Deadline(_) => self.wait_by_weight(course, events).await,
        }
    }

    async fn wait_at_speed(&mut self, course: &Course, events: &[RingEvent], speed: f64) -> usize {
        let first = &events[0];
        let due = self.due(first, speed);
        while Instant::now() < due {
            sleep_until(due.min(self.next_clock)).await;
            if Instant::now() >= self.next_clock {
                self.tick(course, Some((first, speed)));
            }
        }
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

    async fn wait_by_weight(&mut self, course: &Course, events: &[RingEvent]) -> usize {
        loop {
            let Some(catching_up) = &mut self.catching_up else {
                return events.len();
            };
            let frame = catching_up.next(course, events);
            if Instant::now() >= frame.due {
                catching_up.show(&frame);
                if Instant::now() >= self.next_clock {
                    self.tick(course, None);
                }
                return frame.events;
            }
            let recount = catching_up.recount_at();
            sleep_until(frame.due.min(self.next_clock).min(recount)).await;
            if Instant::now() >= recount {
                catching_up.count(course).await;
            }
            if Instant::now() >= self.next_clock {
                self.tick(course, None);
            }
        }
    }

    /// Tells where playback is; between two events at a speed, that is between them.
    fn tick(&mut self, course: &Course, next: Option<(&RingEvent, f64)>) {
        self.next_clock = Instant::now() + CLOCK_EVERY;
        let sent = course.subscriber.sent();
        let clock = match (next, self.last) {
            (Some((next, speed)), Some((clock, shown))) => {
                Some(clock_between(clock, next.clock, shown.elapsed(), speed))
            }
            _ => sent.clock,
        };
        course.tell_clock(Sent::up_to(sent.position, clock), None);
    }

    fn due(&self, event: &RingEvent, speed: f64) -> Instant {
        match self.last {
            Some((clock, moment)) => moment + pause(clock, event.clock, speed, self.idle_cap).min(LONGEST),
            None => Instant::now(),
        }
    }
}
