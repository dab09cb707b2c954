use kulti_gateway::{GatewayConfig, QuotaLimits, RateLimit};
use kulti_test_support::wait_until;
use serde_json::{Value, json};

use crate::harness::{body, gateway_with, problem, send, thought};

const OFF: RateLimit = RateLimit {
    per_second: 0,
    burst: 0,
};

fn events_limit(burst: u64) -> QuotaLimits {
    QuotaLimits {
        events: RateLimit { per_second: 1, burst },
        bytes: OFF,
    }
}

fn statuses(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().expect("results").iter();
    results
        .map(|result| result["status"].as_str().expect("a status"))
        .collect()
}

#[tokio::test]
async fn a_session_over_its_quota_waits_and_its_neighbours_do_not() {
    let config = GatewayConfig {
        session_quota: events_limit(3),
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("127.0.0.1:0", config).await;
    let events: Vec<Value> = (0..5).map(|index| thought("hot", &index.to_string())).collect();
    let mut mixed = events.clone();
    mixed.push(thought("calm", "x"));
    let answer = body(send(gateway.post("/v1/events", &json!(mixed))).await).await;
    assert_eq!(
        statuses(&answer),
        ["accepted", "accepted", "accepted", "retry", "retry", "accepted"]
    );
    assert_eq!(answer["results"][3]["code"], "quota_exceeded");

    let answer = send(gateway.post("/v1/events", &json!(events))).await;
    if answer.status() == 429 {
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(problem(answer).await.1, "quota_exceeded");
    }
    wait_until("there is room again", async || {
        send(gateway.post("/v1/events", &thought("hot", "again")))
            .await
            .status()
            == 200
    })
    .await;
}

#[tokio::test]
async fn who_is_over_the_quota_is_told_when_to_come_back() {
    let limits = QuotaLimits {
        events: OFF,
        bytes: RateLimit {
            per_second: 10,
            burst: 10,
        },
    };
    let config = GatewayConfig {
        key_quota: limits,
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("127.0.0.1:0", config).await;
    assert_eq!(
        send(gateway.post("/v1/events", &thought("s", "more than ten bytes")))
            .await
            .status(),
        200
    );
    let requests = [
        gateway.post("/v1/events", &thought("t", "x")),
        gateway.post("/api/agent/stream", &json!({"agentId": "nex"})),
    ];
    for request in requests {
        let answer = send(request).await;
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(problem(answer).await, (429, "quota_exceeded".to_owned()));
    }
}
