//! What the sweep counts.

use prometheus::{IntCounter, Registry};

/// Registered once per process.
#[derive(Clone)]
pub struct LifeMetrics {
    /// Timeouts written to the log, copies of other sweeps' included.
    pub(super) timeouts: IntCounter,
}

impl LifeMetrics {
    /// Registers everything on `registry`.
    ///
    /// # Errors
    /// If it was registered there before.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let timeouts = IntCounter::new(
            "kulti_life_timeouts_total",
            "Timeouts written to the log, copies of other sweeps' included",
        )?;
        registry.register(Box::new(timeouts.clone()))?;
        Ok(LifeMetrics { timeouts })
    }
}
