//! What is counted of secrets over several events.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Registered once per process.
#[derive(Clone)]
pub struct MaskingMetrics {
    pub(super) redacted: IntCounterVec,
    pub(super) failures: IntCounter,
}

impl MaskingMetrics {
    /// Registers everything on `registry`.
    ///
    /// # Errors
    /// If it was registered there before.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let redacted = IntCounterVec::new(
            Opts::new(
                "kulti_masking_redactions_total",
                "Redactions of secrets that several events were together, by rule; copies of other processes' included",
            ),
            &["rule"],
        )?;
        let failures = IntCounter::new(
            "kulti_masking_failures_total",
            "Sessions that could not be looked through for secrets, and are later",
        )?;
        registry.register(Box::new(redacted.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        Ok(MaskingMetrics { redacted, failures })
    }
}
