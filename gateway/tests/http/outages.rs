use kulti_gateway::GatewayConfig;
use kulti_gateway::control::Scope;
use kulti_test_support::{Proxy, TestDatabase, TestTopics, wait_until};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::harness::{Gateway, body, client, gateway_on, problem, send, serve, thought};

/// A gateway that reaches Postgres through a proxy.
async fn gateway_behind_proxy() -> (Gateway, Proxy) {
    let mut database = TestDatabase::create().await;
    let options: PgConnectOptions = database.url.parse().expect("a URL");
    let proxy = Proxy::to(&format!("{}:{}", options.get_host(), options.get_port())).await;
    let through_proxy = options.host("127.0.0.1").port(proxy.address().port());
    database.pool = PgPoolOptions::new().connect_lazy_with(through_proxy);
    let topics = TestTopics::create(1).await;
    (
        gateway_on("127.0.0.1:0", GatewayConfig::default(), database, topics).await,
        proxy,
    )
}

#[tokio::test]
async fn without_postgres_verified_keys_go_on_and_unknown_ones_are_told_to_wait() {
    let (gateway, proxy) = gateway_behind_proxy().await;
    let verified = gateway.key(&[Scope::Produce], None).await;
    let unknown = gateway.key(&[Scope::Produce], None).await;
    assert_eq!(
        send(
            gateway
                .post("/v1/events", &thought("s", "1"))
                .bearer_auth(&verified)
        )
        .await
        .status(),
        200
    );
    proxy.cut();
    wait_until("nothing of the last verification is fresh", async || {
        let answer = send(gateway.get("/v1/sessions").bearer_auth(&unknown)).await;
        answer.status() == 503
    })
    .await;
    let answer = send(
        gateway
            .post("/v1/events", &thought("s", "2"))
            .bearer_auth(&verified),
    )
    .await;
    assert_eq!(answer.status(), 200, "a session whose owner is known goes on");
    let answer = send(
        gateway
            .post("/v1/events", &thought("s", "3"))
            .bearer_auth(&unknown),
    )
    .await;
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(problem(answer).await, (503, "database_unavailable".to_owned()));
    let new_session = send(
        gateway
            .post("/v1/events", &thought("t", "4"))
            .bearer_auth(&verified),
    )
    .await;
    assert_eq!(
        problem(new_session).await,
        (503, "database_unavailable".to_owned())
    );
    let not_ready = send(gateway.get("/readyz")).await;
    assert_eq!(not_ready.status(), 503);
    let not_ready = body(not_ready).await;
    let failing: Vec<_> = not_ready["components"]
        .as_array()
        .expect("components")
        .iter()
        .filter(|component| component["condition"] == "failing")
        .map(|component| component["name"].as_str().unwrap_or_default())
        .collect();
    assert!(failing.contains(&"postgres"), "{not_ready}");

    proxy.resume();
    wait_until("all is well again", async || {
        send(
            gateway
                .post("/v1/events", &thought("u", "5"))
                .bearer_auth(&unknown),
        )
        .await
        .status()
            == 200
    })
    .await;
}

#[tokio::test]
async fn without_kafka_ingest_answers_503_at_once_and_says_when_to_come_back() {
    let (database, topics) = tokio::join!(TestDatabase::create(), TestTopics::create(1));
    let mut unreachable = topics.config.clone();
    unreachable.brokers = "127.0.0.1:1".to_owned();
    let served = serve(
        "127.0.0.1:0",
        GatewayConfig::default(),
        database.pool.clone(),
        &unreachable,
    )
    .await;
    let client = client();
    wait_until("the broker is known to be away", async || {
        !served.state.producer.is_available()
    })
    .await;
    let requests = [
        client
            .post(format!("http://{}/v1/events", served.address))
            .json(&thought("s", "x")),
        client
            .post(format!("http://{}/api/agent/stream", served.address))
            .json(&json!({"agentId": "nex"})),
    ];
    for request in requests {
        let answer = send(request).await;
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(problem(answer).await, (503, "log_unavailable".to_owned()));
    }
    let not_ready = send(client.get(format!("http://{}/readyz", served.address))).await;
    assert_eq!(not_ready.status(), 503);
    assert!(not_ready.text().await.expect("a body").contains("kafka"));
    let pointers: i64 = sqlx::query_scalar("select count(*) from control.agent_sessions")
        .fetch_one(&database.pool)
        .await
        .expect("a count");
    assert_eq!(pointers, 0, "no session was begun");
}
