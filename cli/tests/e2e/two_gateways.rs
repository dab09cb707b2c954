//! Gateways hold no state of their own that the other would need.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Gateway};
use crate::producer::session_id;

async fn simple(gateway: &Gateway, method: reqwest::Method, body: Value) -> Value {
    let request = gateway
        .client
        .request(method, gateway.url("/api/agent/stream"))
        .json(&body);
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_at_one_gateway_and_a_patch_at_the_other_are_one_session() {
    let cluster = Cluster::create(4).await;
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    let _replay = cluster.replay();
    one.ready().await;
    two.ready().await;
    for _ in 0..20 {
        let agent = session_id();
        let started = simple(
            &one,
            reqwest::Method::POST,
            json!({"agentId": agent, "task": "t"}),
        )
        .await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let patched = simple(
            &two,
            reqwest::Method::PATCH,
            json!({"agentId": agent, "thinking": "hm"}),
        )
        .await;
        assert_eq!(started["sessionId"], patched["sessionId"]);
        let session = started["sessionId"].as_str().expect("a session").to_owned();
        cluster.wait_for_rows(&session, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_without_a_session_at_both_gateways_at_once_start_one() {
    let cluster = Cluster::create(4).await;
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    one.ready().await;
    two.ready().await;
    for _ in 0..20 {
        let body = json!({"agentId": session_id(), "thinking": "hm"});
        let (first, second) = tokio::join!(
            simple(&one, reqwest::Method::PATCH, body.clone()),
            simple(&two, reqwest::Method::PATCH, body.clone())
        );
        assert_eq!(first["sessionId"], second["sessionId"]);
    }
}
