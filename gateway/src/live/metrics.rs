//! The live tail's metrics.

use prometheus::{IntCounter, IntGauge, Registry};

/// Registered once per process.
#[derive(Clone, Debug)]
pub struct LiveMetrics {
    /// Bytes of recent records in memory.
    pub(super) tail_bytes: IntGauge,
    /// Records that the byte bound dropped before replay had committed them.
    pub(super) tail_dropped_bytes: IntCounter,
    /// Records read from the log.
    pub(super) records: IntCounter,
    /// Watched sessions.
    pub(super) channels: IntGauge,
    /// Frames handed to viewers who are live.
    pub(super) frames: IntCounter,
    /// Viewers who fell behind and catch up from the log.
    pub(super) behind: IntCounter,
    /// Sessions taken up anew.
    pub(super) resyncs: IntCounter,
    /// Open viewer connections.
    pub(crate) connections: IntGauge,
}

impl LiveMetrics {
    /// Registers everything on `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        Ok(LiveMetrics {
            tail_bytes: gauge("kulti_gateway_tail_bytes", "Bytes of recent records in memory")?,
            tail_dropped_bytes: counter(
                "kulti_gateway_tail_dropped_bytes_total",
                "Bytes of records dropped from memory before replay had committed them",
            )?,
            records: counter("kulti_gateway_tail_records_total", "Records read from the log")?,
            channels: gauge(
                "kulti_gateway_watched_sessions",
                "Sessions that somebody watches here",
            )?,
            frames: counter(
                "kulti_gateway_live_frames_total",
                "Frames handed to viewers who are live",
            )?,
            behind: counter(
                "kulti_gateway_viewers_behind_total",
                "Times a viewer fell behind and caught up",
            )?,
            resyncs: counter(
                "kulti_gateway_session_resyncs_total",
                "Times a watched session was taken up anew",
            )?,
            connections: gauge("kulti_gateway_viewer_connections", "Open viewer connections")?,
        })
    }
}
