//! A Kulti of one's own for each test: its database, its topics, its gateways and its replay consumer.

use std::net::SocketAddr;
use std::time::Duration;

use kulti_consumers::replay::{Replay, ReplayMetrics};
use kulti_gateway::{AppParts, AppState, GatewayConfig, Visibility};
use kulti_pipeline::config::{DatabaseConfig, KafkaConfig};
use kulti_pipeline::lifecycle::Lifecycle;
use kulti_pipeline::{LogProducer, PipelineMetrics, ProjectionRunner, RunnerContext, RunnerOptions};
use kulti_test_support::{TestDatabase, TestTopics, wait_until};
use prometheus::Registry;
use serde_json::Value;
use sqlx::PgPool;
use tokio::task::JoinHandle;

/// Where everything of one test lives.
pub struct Cluster {
    pub database: TestDatabase,
    pub topics: TestTopics,
}

impl Cluster {
    /// With this many partitions.
    pub async fn create(partitions: i32) -> Self {
        Cluster {
            database: TestDatabase::create().await,
            topics: TestTopics::create(partitions).await,
        }
    }

    /// A gateway that everybody may read, as `make demo` has it.
    pub async fn gateway(&self) -> Gateway {
        self.gateway_with(
            &self.topics.config,
            &self.database.config(),
            GatewayConfig::default(),
        )
        .await
    }

    /// A gateway with other ways to the servers, or other settings.
    pub async fn gateway_with(
        &self,
        kafka: &KafkaConfig,
        database: &DatabaseConfig,
        config: GatewayConfig,
    ) -> Gateway {
        let lifecycle = Lifecycle::new();
        let registry = Registry::new();
        let metrics = PipelineMetrics::register(&registry).expect("fresh metrics");
        let state = AppState::new(AppParts {
            pool: database.pool().expect("a pool"),
            producer: LogProducer::new(kafka, metrics).expect("a producer"),
            kafka: kafka.clone(),
            config: GatewayConfig {
                default_visibility: Visibility::Public,
                ..config
            },
            lifecycle: lifecycle.clone(),
            registry,
        })
        .expect("a gateway");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let live = tokio::spawn(state.live.clone().run());
        let serving = kulti_gateway::run(listener, state, lifecycle.clone());
        let server = tokio::spawn(async move { Ok(serving.await?) });
        Gateway {
            address,
            lifecycle,
            tasks: vec![live, server],
            client: reqwest_client(),
        }
    }

    /// A replay consumer.
    pub fn replay(&self) -> ReplayConsumer {
        self.replay_with(&self.topics.config, &self.database.config())
    }

    /// A replay consumer with other ways to the servers.
    pub fn replay_with(&self, kafka: &KafkaConfig, database: &DatabaseConfig) -> ReplayConsumer {
        let lifecycle = Lifecycle::new();
        let registry = Registry::new();
        let metrics = PipelineMetrics::register(&registry).expect("fresh metrics");
        let replay = Replay::new(ReplayMetrics::register(&registry).expect("fresh metrics"));
        let context = RunnerContext {
            kafka: kafka.clone(),
            pool: database.pool().expect("a pool"),
            producer: LogProducer::new(kafka, metrics.clone()).expect("a producer"),
            options: RunnerOptions::default(),
            metrics,
            stopping: lifecycle.stopping(),
            lifecycle: lifecycle.clone(),
        };
        tokio::spawn(ProjectionRunner::run(replay, context));
        ReplayConsumer { lifecycle }
    }

    /// Holds replay back until the guard is dropped: its commits wait for a lock on its offsets.
    pub async fn hold_replay(&self) -> HeldReplay {
        let mut transaction = self.database.pool.begin().await.expect("a transaction");
        sqlx::query("select 1 from projection_partitions for update")
            .execute(&mut *transaction)
            .await
            .expect("a lock");
        HeldReplay {
            _transaction: transaction,
        }
    }

    /// (position, event id) of every row.
    pub async fn rows(&self, session: &str) -> Vec<(i64, String)> {
        rows(&self.database.pool, session).await
    }

    /// Waits until replay has this many events of a session.
    pub async fn wait_for_rows(&self, session: &str, count: i64) {
        wait_until(&format!("{count} rows of {session}"), async || {
            let position: Option<i64> = sqlx::query_scalar("select position from sessions where id = $1")
                .bind(session)
                .fetch_optional(&self.database.pool)
                .await
                .expect("an answer");
            position.unwrap_or(0) >= count
        })
        .await;
    }
}

async fn rows(pool: &PgPool, session: &str) -> Vec<(i64, String)> {
    let rows: Vec<(i64, sqlx::types::Uuid)> =
        sqlx::query_as("select position, event_id from events where session_id = $1 order by position")
            .bind(session)
            .fetch_all(pool)
            .await
            .expect("rows");
    rows.into_iter()
        .map(|(position, id)| (position, id.to_string()))
        .collect()
}

/// See `Cluster::hold_replay`.
pub struct HeldReplay {
    _transaction: sqlx::Transaction<'static, sqlx::Postgres>,
}

/// A gateway in this process; stopped on drop.
pub struct Gateway {
    pub address: SocketAddr,
    pub client: reqwest::Client,
    lifecycle: Lifecycle,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Gateway {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sends events as NDJSON and expects all of them to be accepted.
    pub async fn send(&self, events: &[Value]) {
        let answer = self.post_events(events).await;
        assert_eq!(answer["accepted"], events.len(), "{answer}");
    }

    /// Sends events as NDJSON; the answer.
    pub async fn post_events(&self, events: &[Value]) -> Value {
        let body: String = events.iter().map(|event| format!("{event}\n")).collect();
        let request = self
            .client
            .post(self.url("/v1/events"))
            .header("content-type", "application/x-ndjson");
        request
            .body(body)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON")
    }

    /// Waits until /readyz answers 200.
    pub async fn ready(&self) {
        wait_until("the gateway is ready", async || {
            let answer = self.client.get(self.url("/readyz")).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Stops it as a signal does and waits until it has ended.
    pub async fn stop(mut self) {
        self.lifecycle.stop();
        for task in std::mem::take(&mut self.tasks) {
            tokio::time::timeout(Duration::from_secs(10), task)
                .await
                .expect("ends in time")
                .expect("does not panic")
                .expect("ends well");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

/// A replay consumer in this process; stopped on drop.
pub struct ReplayConsumer {
    lifecycle: Lifecycle,
}

impl Drop for ReplayConsumer {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

fn reqwest_client() -> reqwest::Client {
    // One provider for the whole process; a second test finds it installed.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .timeout(Duration::from_secs(60))
        .build()
        .expect("a client")
}
