//! What the replay projection counts, beside what every projection does.

use prometheus::{IntCounter, Registry};

/// Registered once per process.
#[derive(Clone)]
pub struct ReplayMetrics {
    /// Events that got a row and a position.
    pub(super) events: IntCounter,
    /// Records that were later copies of an event.
    pub(super) copies: IntCounter,
    /// Ids that only the rows could tell.
    pub(super) look_ups: IntCounter,
    /// Sessions whose state was read from the rows.
    pub(super) sessions_loaded: IntCounter,
}

impl ReplayMetrics {
    /// Registers everything on `registry`.
    ///
    /// # Errors
    /// If it was registered there before.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("kulti_replay_{name}_total"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(ReplayMetrics {
            events: counter("events", "Events that got a row and a position")?,
            copies: counter("copies", "Records that were later copies of an event")?,
            look_ups: counter("look_ups", "Ids that only the rows could tell")?,
            sessions_loaded: counter("sessions_loaded", "Sessions whose state was read from the rows")?,
        })
    }
}
