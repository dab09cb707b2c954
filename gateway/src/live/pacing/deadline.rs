//! Catching up within a time: which events are shown together, and when each frame is due.
//!
//! Every event has a weight: about how long a person looks at it. The time is shared out by weight, so idle time costs
//! nothing, and what has been shown of the whole keeps step with the time that has passed. What comes while catching up
//! makes the whole grow and everything else a little faster. A frame is shown in the middle of its part of the time.

use std::time::Duration;

/// How much of the whole a run of deltas may be that is shown at once.
const FOLDED_SHARE: f64 = 0.01;
/// What else is due within this is shown at once.
const TOGETHER: Duration = Duration::from_millis(40);

/// What an event of this kind weighs.
pub(crate) fn weight(kind: &str) -> u64 {
    match kind {
        "code.changed" | "error" | "marker" | "chat" => 8,
        "message.delta" | "terminal.output" => 1,
        _ => 3,
    }
}

/// How an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// In a frame of its own.
    Alone,
    /// With all of its run.
    Folded,
    /// With what is due at nearly the same moment.
    Plain,
}

/// One event as pacing sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beat {
    pub(crate) weight: u64,
    pub(crate) show: Show,
}

impl Beat {
    /// Of an event of this kind; `has_outcome` if it tells how tests went.
    pub(crate) fn of(kind: &str, has_outcome: bool) -> Self {
        let show = match kind {
            "code.changed" | "error" | "marker" | "chat" => Show::Alone,
            _ if has_outcome => Show::Alone,
            "message.delta" | "terminal.output" => Show::Folded,
            _ => Show::Plain,
        };
        Beat {
            weight: weight(kind),
            show,
        }
    }

    /// Of an event that the viewer does not get: only its position is told.
    pub(crate) const HIDDEN: Beat = Beat {
        weight: 0,
        show: Show::Folded,
    };
}

/// Which events are shown next, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NextFrame {
    /// So many, at least one.
    pub(crate) events: usize,
    /// What they weigh.
    pub(crate) weight: u64,
    /// So long after the beginning.
    pub(crate) due: Duration,
}

/// What there is to show, and what was shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    time: Duration,
    total: u64,
    shown: u64,
}

impl Schedule {
    /// Nothing to show yet, in this time.
    pub(crate) fn within(time: Duration) -> Self {
        Schedule {
            time,
            total: 0,
            shown: 0,
        }
    }

    /// There is more to show.
    pub(crate) fn grow(&mut self, weight: u64) {
        self.total += weight;
    }

    /// True if there was nothing to catch up with.
    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The next frame of the events that come next, which are at least one.
    pub(crate) fn next(&self, beats: &[Beat]) -> NextFrame {
        let total = self.total.max(1) as f64;
        let folded = total * FOLDED_SHARE;
        let together = total * TOGETHER.as_secs_f64() / self.time.as_secs_f64().max(0.001);
        let (mut events, mut weight, mut is_run) = (0, 0, true);
        for beat in beats {
            if events > 0 {
                let runs_on = is_run && beat.show == Show::Folded;
                let most = if runs_on { folded.max(together) } else { together };
                if beat.show == Show::Alone || (weight + beat.weight) as f64 > most {
                    break;
                }
            }
            events += 1;
            weight += beat.weight;
            is_run &= beat.show == Show::Folded;
            if beat.show == Show::Alone {
                break;
            }
        }
        let middle = self.shown as f64 + weight as f64 / 2.0;
        NextFrame {
            events,
            weight,
            due: self.time.mul_f64((middle / total).min(1.0)),
        }
    }

    /// A frame of this weight was shown.
    pub(crate) fn show(&mut self, weight: u64) {
        self.shown += weight;
        // What is shown was there, also if it was not counted yet.
        self.total = self.total.max(self.shown);
    }
}

#[cfg(test)]
mod tests;
