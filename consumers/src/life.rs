//! The life of a session: one whose agent fell silent is ended once, whoever notices it first.
//!
//! Every role may sweep. The event that ends a session has an id derived from the session and the agent's last event,
//! so that the copies of several sweeps are one event; it names that event as its cause, so that one which the agent
//! has overtaken ends nothing. Nothing is written while Kafka or Postgres is away, and nothing for partitions whose
//! rows lag behind the log: a session may only look silent there.

mod metrics;
mod store;
mod sweep;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kulti_pipeline::LogProducer;
use kulti_pipeline::config::KafkaConfig;
use kulti_schemas::{AgentId, Timestamp};
use sqlx::PgPool;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub use metrics::LifeMetrics;
pub use sweep::{SweepError, sweep};

/// Tells the time; tests have their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// When a session counts as silent.
#[derive(Debug, Clone)]
pub struct LifeOptions {
    /// How often to look.
    pub every: Duration,
    /// How long after its agent's last event a session ends.
    pub timeout: Duration,
    /// The same for single agents.
    pub agent_timeouts: HashMap<AgentId, Duration>,
    /// How long a sweep waits for replay to reach the log's end.
    pub catch_up: Duration,
}

impl Default for LifeOptions {
    fn default() -> Self {
        LifeOptions {
            every: Duration::from_secs(60),
            timeout: Duration::from_secs(12 * 3600),
            agent_timeouts: HashMap::new(),
            catch_up: Duration::from_secs(10),
        }
    }
}

/// What the sweep needs from its process.
#[derive(Clone)]
pub struct LifeContext {
    /// The log, to see how far replay is behind it.
    pub kafka: KafkaConfig,
    /// The sessions.
    pub pool: PgPool,
    /// Writes the timeouts.
    pub producer: LogProducer,
    /// When to do what.
    pub options: LifeOptions,
    /// What it counts.
    pub metrics: LifeMetrics,
    /// What time it is.
    pub clock: Clock,
    /// Ends it.
    pub stopping: CancellationToken,
}

impl LifeContext {
    /// This machine's clock.
    pub fn system_clock() -> Clock {
        Arc::new(Timestamp::now)
    }
}

/// Sweeps until `stopping`. A sweep that fails is tried again at the next turn.
///
/// # Errors
/// None so far; components of a process answer so.
pub async fn run(context: LifeContext) -> anyhow::Result<()> {
    let mut turns = tokio::time::interval(context.options.every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first turn comes at once, when replay has only begun to catch up.
    turns.tick().await;
    loop {
        tokio::select! {
            () = context.stopping.cancelled() => return Ok(()),
            _ = turns.tick() => {}
        }
        let swept = tokio::select! {
            () = context.stopping.cancelled() => return Ok(()),
            swept = sweep(&context) => swept,
        };
        match swept {
            Ok(0) => {}
            Ok(ended) => tracing::info!(sessions = ended, "ended sessions whose agents are silent"),
            Err(error) => tracing::warn!(%error, "silent sessions are looked for again later"),
        }
    }
}
