//! Runs the replay projection against a test's own topics and database.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;
use std::time::Duration;

use kulti_consumers::replay::{Replay, ReplayMetrics};
use kulti_pipeline::lifecycle::Lifecycle;
use kulti_pipeline::{PipelineMetrics, ProjectionRunner, RunnerContext, RunnerOptions};
use kulti_test_support::{TestDatabase, TestTopics, wait_until};
use prometheus::Registry;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Topics, a database, and what runs on them.
pub struct World {
    pub topics: TestTopics,
    pub database: TestDatabase,
}

/// One runner of the replay projection.
pub struct Runner {
    pub lifecycle: Lifecycle,
    pub registry: Arc<Registry>,
    stopping: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    pub async fn with_partitions(partitions: i32) -> World {
        drop(
            tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::from_env("KULTI_TEST_LOG"))
                .with_test_writer()
                .try_init(),
        );
        let (topics, database) = tokio::join!(TestTopics::create(partitions), TestDatabase::create());
        World { topics, database }
    }

    pub fn start(&self) -> Runner {
        self.start_on(self.database.pool.clone(), RunnerOptions::default())
    }

    pub fn start_with_state_bytes(&self, state_bytes: usize) -> Runner {
        self.start_replay(
            self.database.pool.clone(),
            RunnerOptions::default(),
            Some(state_bytes),
        )
    }

    pub fn start_on(&self, pool: PgPool, options: RunnerOptions) -> Runner {
        self.start_replay(pool, options, None)
    }

    fn start_replay(&self, pool: PgPool, options: RunnerOptions, state_bytes: Option<usize>) -> Runner {
        let registry = Arc::new(Registry::new());
        let lifecycle = Lifecycle::new();
        let stopping = CancellationToken::new();
        let context = RunnerContext {
            kafka: self.topics.config.clone(),
            pool,
            producer: self.topics.producer(),
            options,
            metrics: PipelineMetrics::register(&registry).expect("fresh metrics"),
            lifecycle: lifecycle.clone(),
            stopping: stopping.clone(),
        };
        let mut replay = Replay::new(ReplayMetrics::register(&registry).expect("fresh metrics"));
        if let Some(bytes) = state_bytes {
            replay = replay.with_state_bytes(bytes);
        }
        let task = tokio::spawn(ProjectionRunner::run(replay, context));
        Runner {
            lifecycle,
            registry,
            stopping,
            task,
        }
    }

    pub async fn count_events(&self) -> i64 {
        sqlx::query_scalar("select count(*) from events")
            .fetch_one(&self.database.pool)
            .await
            .expect("a count")
    }

    pub async fn wait_for_events(&self, expected: i64) {
        wait_until(&format!("there are {expected} events"), async || {
            self.count_events().await == expected
        })
        .await;
    }

    /// (position, event id) of a session.
    pub async fn transcript(&self, session: &str) -> Vec<(i64, uuid::Uuid)> {
        sqlx::query_as("select position, event_id from events where session_id = $1 order by position")
            .bind(session)
            .fetch_all(&self.database.pool)
            .await
            .expect("rows")
    }

    /// (owner, epoch, next offset, stopped) of a partition.
    pub async fn partition_row(&self, partition: i32) -> (i64, i64, i64, Option<String>) {
        sqlx::query_as(
            "select owner, epoch, next_offset, stopped from projection_partitions
             where projection = 'replay' and partition = $1",
        )
        .bind(partition)
        .fetch_optional(&self.database.pool)
        .await
        .expect("an answer")
        .unwrap_or((0, 0, 0, None))
    }

    pub async fn wait_for_stop(&self, partition: i32, reason: &str) {
        wait_until(
            &format!("partition {partition} stops with {reason}"),
            async || self.partition_row(partition).await.3.as_deref() == Some(reason),
        )
        .await;
    }
}

impl Runner {
    pub async fn stop(self) {
        self.stopping.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.task)
            .await
            .expect("a runner that stops in time")
            .expect("a runner that does not panic")
            .expect("a runner that ends well");
    }

    /// The sum of a metric's values.
    pub fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        metrics
            .iter()
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }

    pub fn problem(&self) -> Option<String> {
        self.lifecycle
            .readiness()
            .into_iter()
            .find_map(|(_, state)| state.err())
    }
}
