//! Kulti's replay consumer, which tells how long it took for a given number of events.

use std::time::{Duration, Instant};

use kulti_consumers::replay::{ReplayContext, ReplayMetrics};
use kulti_pipeline::lifecycle::Lifecycle;
use kulti_pipeline::{LogProducer, PipelineMetrics, RunnerContext, RunnerOptions};
use prometheus::Registry;
use serde::{Deserialize, Serialize};

use super::{Servers, server_runtime};
use crate::child::Parent;
use crate::process::cpu_seconds;

/// How often it is looked whether it has begun, and whether it is done.
const LOOK: Duration = Duration::from_millis(2);

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ReplaySpec {
    pub(crate) servers: Servers,
    /// Events that are in the log; none: it just runs.
    pub(crate) events: Option<u64>,
}

/// What it says once they are projected.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Projected {
    /// From the first partition that it took over to the last commit.
    pub(crate) seconds: f64,
    /// Its own processor time in the meantime.
    pub(crate) cpu_seconds: f64,
}

/// Projects until the parent is gone.
pub(super) fn run(spec: &ReplaySpec) -> anyhow::Result<()> {
    server_runtime()?.block_on(project(spec))
}

async fn project(spec: &ReplaySpec) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::new();
    let registry = Registry::new();
    let kafka = spec.servers.kafka();
    let metrics = PipelineMetrics::register(&registry)?;
    // A registry of its own, so that a look at its counters costs next to nothing.
    let counters = Registry::new();
    let context = ReplayContext {
        runner: RunnerContext {
            kafka: kafka.clone(),
            pool: spec.servers.database().connect().await?,
            producer: LogProducer::new(&kafka, metrics.clone())?,
            options: RunnerOptions::default(),
            metrics,
            stopping: lifecycle.stopping(),
            lifecycle: lifecycle.clone(),
        },
        metrics: ReplayMetrics::register(&counters)?,
    };
    let consuming = tokio::spawn(kulti_consumers::replay::run(context));
    let mut parent = Parent::new();
    if let Some(events) = spec.events {
        let projected = watch(&registry, &counters, events as f64).await?;
        parent.say(&projected)?;
    }
    parent.gone().await?;
    lifecycle.stop();
    consuming.await?
}

async fn watch(registry: &Registry, counters: &Registry, events: f64) -> anyhow::Result<Projected> {
    let pid = std::process::id();
    until(registry, "kulti_pipeline_projection_takeovers_total", 1.0).await;
    let (begun, cpu_before) = (Instant::now(), cpu_seconds(pid)?);
    until(counters, "kulti_replay_events_total", events).await;
    // Counted when it is applied; committed a moment later.
    until(registry, "kulti_pipeline_projection_records_total", events).await;
    Ok(Projected {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(pid)? - cpu_before,
    })
}

async fn until(registry: &Registry, counter: &str, value: f64) {
    while sum(registry, counter) < value {
        tokio::time::sleep(LOOK).await;
    }
}

fn sum(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().filter(|family| family.name() == name);
    let counters = family.flat_map(|family| family.get_metric());
    counters.map(|metric| metric.get_counter().get_value()).sum()
}
