//! Where a watcher begins, and what it tells.

use std::time::Duration;

use crate::event_line::EventLine;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what happens from now on.
    Live,
    /// With the first event.
    Beginning,
    /// After this position.
    After(i64),
}

impl std::str::FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<i64>()) {
            ("live", _) => Ok(Start::Live),
            ("start", _) => Ok(Start::Beginning),
            // A position names the first event to show, the protocol the last one seen.
            (_, Ok(position)) if position > 0 => Ok(Start::After(position - 1)),
            _ => Err("live, start or a position (1, 2, 3, ...)".to_owned()),
        }
    }
}

/// What a watcher tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// The next event.
    Event(EventLine),
    /// Everything that had happened was told, and the session has not ended: from here on it is live.
    CaughtUp,
    /// The session has ended.
    Ended,
    /// These positions will not come.
    Gap {
        /// The first.
        from: i64,
        /// The last.
        to: i64,
        /// For people.
        reason: String,
    },
    /// The connection was lost, or could not be taken up again.
    Lost {
        /// For people.
        reason: String,
        /// Until the next attempt.
        again_in: Duration,
    },
    /// It is back.
    Back,
}
