//! What is measured, each limit in topics and a database of its own.

mod catch_up;
mod fan_out;
mod ingest;
mod memory;
mod projection;
mod replay;

use std::time::Duration;

use anyhow::Context as _;
use kulti_schemas::Topic;
use kulti_test_support::{TestDatabase, TestStack, TestTopics};
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::Effort;
use crate::child::Child;
use crate::report::Report;
use crate::roles::{GatewaySpec, Listening, ReplaySpec, Role, Servers};

const NAMES: [&str; 6] = ["ingest", "projection", "replay", "catch-up", "fan-out", "memory"];
/// As `kulti topics` makes them by default.
const PARTITIONS: i32 = 64;
const TAIL_BYTES: usize = 64 << 20;

/// Those that were asked for.
pub(crate) struct Limits {
    chosen: Vec<&'static str>,
}

impl Limits {
    /// All whose name contains `filter`.
    pub(crate) fn matching(filter: &str) -> anyhow::Result<Self> {
        let chosen: Vec<_> = NAMES.into_iter().filter(|name| name.contains(filter)).collect();
        anyhow::ensure!(
            !chosen.is_empty(),
            "no limit is called {filter}: there are {}",
            NAMES.join(", ")
        );
        Ok(Limits { chosen })
    }

    /// Measures them.
    pub(crate) async fn run(&self, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
        for name in &self.chosen {
            println!("\n{name}");
            let world = World::create().await;
            let measured = match *name {
                "ingest" => ingest::measure(&world, effort, report).await,
                "projection" => projection::measure(&world, effort, report).await,
                "replay" => replay::measure(&world, effort, report).await,
                "catch-up" => catch_up::measure(&world, effort, report).await,
                "fan-out" => fan_out::measure(&world, effort, report).await,
                _ => memory::measure(&world, effort, report).await,
            };
            measured.with_context(|| format!("{name} could not be measured"))?;
        }
        Ok(())
    }
}

/// Topics and a database that are gone afterwards.
struct World {
    topics: TestTopics,
    database: TestDatabase,
}

impl World {
    async fn create() -> Self {
        World {
            topics: TestTopics::create(PARTITIONS).await,
            database: TestDatabase::create().await,
        }
    }

    fn servers(&self) -> Servers {
        self.servers_with(&self.database)
    }

    fn servers_with(&self, database: &TestDatabase) -> Servers {
        Servers {
            brokers: TestStack::from_environment().kafka,
            topic_prefix: self.topics.config.topic_prefix.clone(),
            partitions: PARTITIONS,
            database_url: database.url.clone(),
        }
    }

    async fn start_gateway(
        &self,
        core: Option<usize>,
        max_connections: usize,
    ) -> anyhow::Result<(Child, Listening)> {
        let spec = GatewaySpec {
            servers: self.servers(),
            core,
            max_connections,
            tail_bytes: TAIL_BYTES,
        };
        let mut gateway = Child::start(Role::Gateway, &spec)?;
        let listening = gateway.hear().await?;
        Ok((gateway, listening))
    }

    /// A replay consumer that runs beside, as in production.
    fn start_replay(&self) -> anyhow::Result<Child> {
        let spec = ReplaySpec {
            servers: self.servers(),
            events: None,
        };
        Child::start(Role::Replay, &spec)
    }

    /// Records in the session topic.
    async fn records_in_log(&self) -> anyhow::Result<u64> {
        let topic = self.topics.config.topics().name(Topic::SessionEvents);
        let config = self.topics.config.client_config();
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create()?;
            let mut records = 0;
            for partition in 0..PARTITIONS {
                let (low, high) = consumer.fetch_watermarks(&topic, partition, Duration::from_secs(10))?;
                records += (high - low).unsigned_abs();
            }
            Ok(records)
        })
        .await?
    }
}

/// Work that is not done is no measurement.
fn ensure_same(what: &str, is: u64, should_be: u64) -> anyhow::Result<()> {
    anyhow::ensure!(is == should_be, "{what}: {is} instead of {should_be}");
    Ok(())
}
