//! The roles, each as components of the process's life.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use kulti_consumers::life::{LifeContext, LifeMetrics};
use kulti_consumers::masking::{MaskingContext, MaskingMetrics};
use kulti_consumers::replay::{ReplayContext, ReplayMetrics};
use kulti_consumers::segments::{SealerContext, SealerMetrics};
use kulti_gateway::{AppParts, AppState};
use kulti_pipeline::{RunnerContext, RunnerOptions};
use tokio::net::TcpListener;

use super::process::Process;

/// The gateway lets requests finish for 8 s; all of the process ends within 10 s.
const GATEWAY_BUDGET: Duration = Duration::from_secs(9);
/// Beyond what a partition may take to finish what it has begun.
const DRAIN_SLACK: Duration = Duration::from_secs(3);
const LIFE_BUDGET: Duration = Duration::from_secs(3);
const MASKING_BUDGET: Duration = Duration::from_secs(3);
const SEALER_BUDGET: Duration = Duration::from_secs(3);
const LIVE_BUDGET: Duration = Duration::from_secs(3);

/// A consumer by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// What an event is, and its position
    Replay,
}

/// Ingest, live tail, reads and pages on this listener.
pub(crate) fn spawn_gateway(process: &Process, listener: TcpListener) -> anyhow::Result<()> {
    let parts = AppParts {
        pool: process.pool()?,
        producer: process.producer.clone(),
        kafka: process.kafka.clone(),
        config: process.settings.gateway()?,
        lifecycle: process.lifecycle.clone(),
        registry: process.registry.clone(),
    };
    let state = AppState::new(parts).context("cannot set up the gateway's metrics")?;
    process
        .lifecycle
        .spawn("live", LIVE_BUDGET, state.live.clone().run());
    let serving = kulti_gateway::run(listener, state, process.lifecycle.clone());
    process
        .lifecycle
        .spawn("gateway", GATEWAY_BUDGET, async { Ok(serving.await?) });
    Ok(())
}

/// One consumer.
pub(crate) fn spawn_consumer(process: &Process, role: Role) -> anyhow::Result<()> {
    match role {
        Role::Replay => {
            spawn_replay(process)?;
            spawn_sealer(process)?;
            spawn_masking(process)
        }
    }
}

fn spawn_replay(process: &Process) -> anyhow::Result<()> {
    let options = RunnerOptions::default();
    let budget = options.drain + DRAIN_SLACK;
    let runner = RunnerContext {
        kafka: process.kafka.clone(),
        pool: process.pool()?,
        producer: process.producer.clone(),
        options,
        metrics: process.metrics.clone(),
        lifecycle: process.lifecycle.clone(),
        stopping: process.lifecycle.stopping(),
    };
    let metrics = ReplayMetrics::register(&process.registry).context("cannot set up replay's metrics")?;
    process.lifecycle.spawn(
        "replay",
        budget,
        kulti_consumers::replay::run(ReplayContext { runner, metrics }),
    );
    Ok(())
}

fn spawn_sealer(process: &Process) -> anyhow::Result<()> {
    let context = SealerContext {
        pool: process.pool()?,
        metrics: SealerMetrics::register(&process.registry).context("cannot set up the sealer's metrics")?,
        stopping: process.lifecycle.stopping(),
    };
    process
        .lifecycle
        .spawn("segments", SEALER_BUDGET, kulti_consumers::segments::run(context));
    Ok(())
}

/// Redacts secrets that several requests said together.
fn spawn_masking(process: &Process) -> anyhow::Result<()> {
    let policy = process.settings.masking()?;
    if !policy.enabled {
        return Ok(());
    }
    let context = MaskingContext {
        pool: process.pool()?,
        kafka: process.kafka.clone(),
        producer: process.producer.clone(),
        policy: Arc::new(policy),
        metrics: MaskingMetrics::register(&process.registry).context("cannot set up masking's metrics")?,
        stopping: process.lifecycle.stopping(),
    };
    process
        .lifecycle
        .spawn("masking", MASKING_BUDGET, kulti_consumers::masking::run(context));
    Ok(())
}

/// Ends sessions that fell silent. Every consuming process sweeps; the events it writes are the same ones.
pub(crate) fn spawn_life(process: &Process) -> anyhow::Result<()> {
    let context = LifeContext {
        kafka: process.kafka.clone(),
        pool: process.pool()?,
        producer: process.producer.clone(),
        options: process.settings.life()?,
        metrics: LifeMetrics::register(&process.registry).context("cannot set up the sweep's metrics")?,
        clock: LifeContext::system_clock(),
        stopping: process.lifecycle.stopping(),
    };
    process
        .lifecycle
        .spawn("life", LIFE_BUDGET, kulti_consumers::life::run(context));
    Ok(())
}
