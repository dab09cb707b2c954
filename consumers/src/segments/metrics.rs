//! What the sealer counts.

use prometheus::{IntCounter, Registry};

/// Registered once per process.
#[derive(Clone)]
pub struct SealerMetrics {
    /// Segments that were closed.
    pub(super) closed: IntCounter,
    /// Bytes of them, packed.
    pub(super) bytes: IntCounter,
    /// Looks at a session that failed.
    pub(super) failures: IntCounter,
}

impl SealerMetrics {
    /// Registers everything on `registry`.
    ///
    /// # Errors
    /// If it was registered there before.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("kulti_segments_{name}_total"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(SealerMetrics {
            closed: counter("closed", "Segments of replays that were closed")?,
            bytes: counter("closed_bytes", "Bytes of closed segments, packed")?,
            failures: counter(
                "failures",
                "Looks at a session that failed; it is looked at again",
            )?,
        })
    }
}
