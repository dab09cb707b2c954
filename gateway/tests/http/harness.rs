//! A gateway on a port of its own, with a database and topics of its own.

use std::net::SocketAddr;
use std::time::Duration;

use kulti_gateway::{AppParts, AppState, GatewayConfig};
use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::lifecycle::Lifecycle;
use kulti_pipeline::{LogProducer, PipelineMetrics};
use kulti_schemas::{Event, decode_record};
use kulti_test_support::{TestDatabase, TestTopics, wait_until};
use prometheus::Registry;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub struct Gateway {
    pub served: Served,
    pub client: reqwest::Client,
    pub database: TestDatabase,
    pub topics: TestTopics,
}

/// On loopback, as `kulti serve` has it unless told.
pub async fn gateway() -> Gateway {
    gateway_with("127.0.0.1:0", GatewayConfig::default()).await
}

/// Reached through loopback, but bound to all interfaces: nobody is "this machine".
pub async fn public_gateway() -> Gateway {
    gateway_with("0.0.0.0:0", GatewayConfig::default()).await
}

pub async fn gateway_with(bind: &str, config: GatewayConfig) -> Gateway {
    let (database, topics) = tokio::join!(TestDatabase::create(), TestTopics::create(1));
    gateway_on(bind, config, database, topics).await
}

pub async fn gateway_on(
    bind: &str,
    config: GatewayConfig,
    database: TestDatabase,
    topics: TestTopics,
) -> Gateway {
    let served = serve(bind, config, database.pool.clone(), &topics.config).await;
    wait_until("the broker answers", async || {
        served.state.producer.is_available()
    })
    .await;
    Gateway {
        served,
        client: client(),
        database,
        topics,
    }
}

/// A gateway without what a test owns.
pub struct Served {
    pub address: SocketAddr,
    pub state: AppState,
    pub lifecycle: Lifecycle,
    pub serving: JoinHandle<std::io::Result<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.lifecycle.stop();
    }
}

pub async fn serve(bind: &str, config: GatewayConfig, pool: PgPool, kafka: &KafkaConfig) -> Served {
    let listener = TcpListener::bind(bind).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (registry, lifecycle) = (Registry::new(), Lifecycle::new());
    let metrics = PipelineMetrics::register(&registry).expect("metrics");
    let producer = LogProducer::new(kafka, metrics).expect("a producer");
    let kafka = kafka.clone();
    let parts = AppParts {
        pool,
        producer,
        kafka,
        config,
        lifecycle: lifecycle.clone(),
        registry,
    };
    let state = AppState::new(parts).expect("a state");
    let serving = tokio::spawn(kulti_gateway::run(listener, state.clone(), lifecycle.clone()));
    Served {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        state,
        lifecycle,
        serving,
    }
}

pub fn client() -> reqwest::Client {
    // Another test of this process may have installed it already.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .build()
        .expect("a client")
}

impl Gateway {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.served.address))
    }
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }
    pub fn post_lines(&self, lines: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(Method::POST, "/v1/events")
            .header(CONTENT_TYPE, "application/x-ndjson")
            .body(lines)
    }

    /// What is in the log, decoded, in order.
    pub async fn log(&self) -> Vec<Event> {
        let topic = self.topics.session_events();
        let brokers = self.topics.config.brokers.clone();
        tokio::task::spawn_blocking(move || read_log(&brokers, &topic))
            .await
            .expect("the log")
    }

    /// A session as replay would have written it.
    pub async fn insert_session(&self, id: &str, visibility: Option<&str>) {
        sqlx::query(
            "insert into sessions (id, agent_id, visibility, partition, position, last_event_id, clock, started_at,
                received_at) values ($1, 'nex', $2, 0, 0, gen_random_uuid(), now(), now(), now())",
        )
        .bind(id)
        .bind(visibility)
        .execute(&self.database.pool)
        .await
        .expect("a session");
    }

    /// An event as replay would have written it.
    pub async fn insert_event(&self, session: &str, position: i64, kind: &str, data: Value) {
        sqlx::query(
            "insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
             values ($1, $2, $3, 'nex', $4, 'agent', now(), now(), now(), $5)",
        )
        .bind(session)
        .bind(position)
        .bind(uuid::Uuid::now_v7())
        .bind(kind)
        .bind(data)
        .execute(&self.database.pool)
        .await
        .expect("an event");
        sqlx::query("update sessions set position = $2 where id = $1")
            .bind(session)
            .bind(position)
            .execute(&self.database.pool)
            .await
            .expect("the session's position");
    }

    /// A key with these scopes.
    pub async fn key(&self, scopes: &[kulti_gateway::control::Scope], agent: Option<&str>) -> String {
        let new = kulti_gateway::control::NewKey {
            name: "test".to_owned(),
            scopes: scopes.to_vec(),
            agent: agent.map(str::to_owned),
        };
        let created = kulti_gateway::control::create_key(&self.database.pool, &new)
            .await
            .expect("a key");
        self.served.state.keys.remember_any(true);
        created.secret
    }
}

fn read_log(brokers: &str, topic: &str) -> Vec<Event> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "none")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let limit = Duration::from_secs(10);
    let (_, end) = consumer.fetch_watermarks(topic, 0, limit).expect("the log's end");
    let mut partitions = TopicPartitionList::new();
    partitions
        .add_partition_offset(topic, 0, Offset::Beginning)
        .expect("a partition");
    consumer.assign(&partitions).expect("an assignment");
    let mut events = Vec::new();
    while (events.len() as i64) < end {
        let record = consumer.poll(limit).expect("a record in time").expect("a record");
        let value = record.payload().map(bytes::Bytes::copy_from_slice);
        events.push(decode_record(record.key(), value.as_ref()).expect("a record of ours"));
    }
    events
}

/// A thought, as producers write it.
pub fn thought(session: &str, content: &str) -> Value {
    json!({"session": session, "agent": "nex", "kind": "thought", "data": {"content": content}})
}

pub async fn body(response: Response) -> Value {
    response.json().await.expect("a JSON body")
}

/// Status and code of a problem.
pub async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    let problem = body(response).await;
    assert_eq!(problem["status"], status, "{problem}");
    assert!(
        problem["detail"].is_string() && problem["title"].is_string(),
        "{problem}"
    );
    (status, problem["code"].as_str().expect("a code").to_owned())
}

pub async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}
