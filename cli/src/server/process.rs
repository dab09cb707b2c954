//! What all roles of one process share, and the end of its life.

use std::time::Duration;

use anyhow::Context;
use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::lifecycle::Lifecycle;
use kulti_pipeline::{LogProducer, PipelineMetrics, telemetry};
use prometheus::Registry;
use sqlx::PgPool;

use crate::settings::Settings;

/// Events that were taken but not yet acknowledged may take this long at the end; who sent them was not answered yet.
const FLUSH: Duration = Duration::from_secs(1);

/// One process of the server.
pub(crate) struct Process {
    pub(crate) settings: Settings,
    pub(crate) kafka: KafkaConfig,
    pub(crate) producer: LogProducer,
    pub(crate) registry: Registry,
    pub(crate) metrics: PipelineMetrics,
    pub(crate) lifecycle: Lifecycle,
}

impl Process {
    /// Starts logging and the producer; reaches for nothing.
    pub(crate) fn start(settings: Settings) -> anyhow::Result<Self> {
        telemetry::init_logging(settings.log(), settings.log_format()?)?;
        for name in settings.unknown_variables() {
            tracing::warn!("{name} means nothing; is it misspelt?");
        }
        let kafka = settings.kafka()?;
        let registry = telemetry::new_registry().context("cannot set up metrics")?;
        let metrics = PipelineMetrics::register(&registry).context("cannot set up metrics")?;
        let producer = LogProducer::new(&kafka, metrics.clone())?;
        Ok(Process {
            settings,
            kafka,
            producer,
            registry,
            metrics,
            lifecycle: Lifecycle::new(),
        })
    }

    /// A pool of its own for a role.
    pub(crate) fn pool(&self) -> anyhow::Result<PgPool> {
        self.settings.database()?.pool()
    }

    /// Waits for Ctrl-C or the end by itself, then for all roles.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let result = self.lifecycle.run().await;
        if !self.producer.flush(FLUSH).await {
            tracing::warn!(
                "the log did not acknowledge everything; whoever sent it was not told that it did"
            );
        }
        result
    }
}
