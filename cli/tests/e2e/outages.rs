//! Kafka or Postgres away: what must stop says so and takes up again by itself; what need not stop goes on.

use std::time::Duration;

use kulti_gateway::GatewayConfig;
use kulti_pipeline::config::{DatabaseConfig, KafkaConfig};
use kulti_test_support::{Proxy, wait_until, wait_until_some};
use rdkafka::mocking::MockCluster;
use serde_json::json;

use crate::cluster::{Cluster, Gateway};
use crate::producer::{events, ids, session_id, thought};
use crate::viewer::{Viewer, assert_part_of, positions};

async fn database_behind(cluster: &Cluster) -> (Proxy, DatabaseConfig) {
    let (before, host_and_name) = cluster.database.url.split_once('@').expect("user@host");
    let (host, name) = host_and_name.split_once('/').expect("host/name");
    let proxy = Proxy::to(host).await;
    let url = format!("{before}@{}/{name}", proxy.address());
    (
        proxy,
        DatabaseConfig {
            url,
            ..cluster.database.config()
        },
    )
}

async fn readiness(gateway: &Gateway) -> (u16, String) {
    let answer = gateway
        .client
        .get(gateway.url("/readyz"))
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_who_are_live_go_on_without_postgres_and_replay_takes_up_again() {
    let cluster = Cluster::create(2).await;
    let (proxy, database) = database_behind(&cluster).await;
    let gateway = cluster
        .gateway_with(&cluster.topics.config, &database, GatewayConfig::default())
        .await;
    let _replay = cluster.replay_with(&cluster.topics.config, &database);
    gateway.ready().await;
    let session = session_id();
    let before = events(&session, 100);
    gateway.send(&before).await;
    cluster.wait_for_rows(&session, 100).await;
    let mut viewer = Viewer::watch(gateway.address, &session, json!("start")).await;
    viewer.frame_of("caught_up").await;

    proxy.cut();
    wait_until("/readyz says that postgres is away", async || {
        let (status, text) = readiness(&gateway).await;
        status == 503 && text.contains("postgres")
    })
    .await;
    let meanwhile = events(&session, 100);
    gateway.send(&meanwhile).await;
    let last = ids(&meanwhile)[99].clone();
    let seen = viewer.events_until(&last).await;
    assert_eq!(seen.last(), Some(&(200, last)), "live goes on");

    proxy.resume();
    cluster.wait_for_rows(&session, 200).await;
    wait_until("/readyz is content again", async || {
        readiness(&gateway).await.0 == 200
    })
    .await;
    let transcript = ids(&[before, meanwhile].concat());
    assert_part_of(&transcript, &cluster.rows(&session).await, "postgres");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_answers_503_without_kafka_and_takes_up_again_by_itself() {
    let cluster = Cluster::create(1).await;
    // The shared broker serves other tests: this one is librdkafka's own, so that it can go down. `make soak` does
    // the same with the real one.
    let broker = MockCluster::new(1).expect("a mock broker");
    let kafka = KafkaConfig {
        brokers: broker.bootstrap_servers(),
        delivery_timeout: Duration::from_secs(3),
        ..cluster.topics.config.clone()
    };
    broker
        .create_topic(&cluster.topics.session_events(), 1, 1)
        .expect("a topic");
    let gateway = cluster
        .gateway_with(&kafka, &cluster.database.config(), GatewayConfig::default())
        .await;
    gateway.ready().await;
    let session = session_id();
    gateway.send(&[thought(&session, "before")]).await;
    let (mut viewer, first) = wait_until_some("the session can be watched", async || {
        let mut viewer = Viewer::watch(gateway.address, &session, json!("start")).await;
        let frame = viewer.frame().await;
        (frame["type"] == "events").then_some((viewer, frame))
    })
    .await;
    assert_eq!(positions(&first).len(), 1);

    broker.broker_down(1).expect("down");
    let event = thought(&session, "meanwhile");
    wait_until("ingest answers 503 with Retry-After", async || {
        let request = gateway.client.post(gateway.url("/v1/events")).json(&event);
        let answer = request.send().await.expect("an answer");
        answer.status() == 503 && answer.headers().contains_key("retry-after")
    })
    .await;
    assert_eq!(readiness(&gateway).await.0, 503);

    broker.broker_up(1).expect("up");
    wait_until("ingest takes up again", async || {
        let request = gateway.client.post(gateway.url("/v1/events")).json(&event);
        request.send().await.expect("an answer").status() == 200
    })
    .await;
    // The same event was sent many times; it happened once.
    let last = thought(&session, "after");
    gateway.send(std::slice::from_ref(&last)).await;
    let seen = viewer.events_until(last["id"].as_str().expect("an id")).await;
    assert_eq!(seen.len(), 2, "{seen:?}");
}
