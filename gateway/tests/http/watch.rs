//! Who may watch what, where no session needs to run for it.

use std::time::Duration;

use futures_util::StreamExt;

use crate::harness::{Gateway, body, gateway, problem, public_gateway, send};

/// The stream's text until it holds this.
async fn read_until(response: reqwest::Response, wanted: &str) -> String {
    let mut body = response.bytes_stream();
    let mut text = String::new();
    while !text.contains(wanted) {
        let chunk = tokio::time::timeout(Duration::from_secs(20), body.next()).await;
        let chunk = chunk
            .expect("in time")
            .expect("the stream goes on")
            .expect("bytes");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    text
}

async fn follow(gateway: &Gateway) -> reqwest::Response {
    send(gateway.get("/v1/agents/nex/stream")).await
}

#[tokio::test]
async fn nobody_is_taken_to_a_session_that_they_may_not_see() {
    let gateway = public_gateway().await;
    gateway.insert_session("public", Some("public")).await;
    gateway.insert_session("private", Some("private")).await;
    gateway.insert_session("silent", None).await;
    let text = read_until(follow(&gateway).await, "event: following").await;
    assert!(text.contains(r#""session":"public""#), "{text}");
    assert!(!text.contains("private") && !text.contains("silent"), "{text}");
}

#[tokio::test]
async fn who_follows_an_agent_without_an_open_session_is_told_so() {
    let gateway = public_gateway().await;
    gateway.insert_session("private", Some("private")).await;
    let text = read_until(follow(&gateway).await, "event: following").await;
    assert!(text.contains(r#""session":null"#), "{text}");
}

#[tokio::test]
async fn a_stream_takes_every_form_of_a_moment_and_names_what_is_none() {
    let gateway = gateway().await;
    gateway.insert_session("s", Some("public")).await;
    for query in [
        "from=12x",
        "speed=0",
        "speed=fast",
        "deadline_s=0",
        "deadline_s=5000",
        "state=perhaps",
    ] {
        let answer = send(gateway.get(&format!("/v1/sessions/s/stream?{query}"))).await;
        assert_eq!(
            problem(answer).await,
            (400, "invalid_parameter".to_owned()),
            "{query}"
        );
    }
    for query in [
        "from=start",
        "from=live",
        "from=7",
        "from=12m30s",
        "from=1:02:03",
        "from=2026-01-31T12:00:00Z",
        "from=0190b2f0-6f00-7000-8000-000000000001",
        "speed=max&idle_cap_ms=100&kinds=chat,error&state=true",
        "deadline_s=2.5",
    ] {
        let answer = send(gateway.get(&format!("/v1/sessions/s/stream?{query}"))).await;
        assert_eq!(answer.status(), 200, "{query}: {:?}", body(answer).await);
    }
}
