//! The session's clock: c(n) = max(c(n-1), min(time, received)) over the agent's events; others do not move it.

use kulti_schemas::{Meta, Source, Timestamp};

/// The clock after an event, given the clock before it (`None` before the first event).
///
/// A first event that is not the agent's starts the clock at its ingest time, so that the clock is
/// always defined.
pub fn session_clock(previous: Option<Timestamp>, meta: &Meta) -> Timestamp {
    match (meta.source, previous) {
        (Source::Agent, Some(previous)) => previous.max(meta.time.min(meta.received)),
        (Source::Agent, None) => meta.time.min(meta.received),
        (_, Some(previous)) => previous,
        (_, None) => meta.received,
    }
}
