//! The spine's metrics: `kulti_pipeline_<noun>_<unit>_total`, labels from closed sets.

use prometheus::Registry;

/// Registered once per process.
#[derive(Clone)]
pub struct PipelineMetrics {}

impl PipelineMetrics {
    /// Registers everything on `registry`.
    pub fn register(_registry: &Registry) -> prometheus::Result<Self> {
        todo!()
    }
}
