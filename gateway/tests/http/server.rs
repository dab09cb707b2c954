use std::time::Duration;

use kulti_gateway::GatewayConfig;
use kulti_test_support::{wait_until, wait_until_some};
use reqwest::header::CONTENT_TYPE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{body, gateway, gateway_with, send, thought};

/// Reads until the server closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .await
        .expect("an answer and then the end");
    String::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn shutdown_finishes_what_has_begun_and_takes_nothing_new() {
    let mut gateway = gateway().await;
    let event = thought("s", "x").to_string();
    let (head, tail) = event.split_at(10);
    let mut begun = TcpStream::connect(gateway.served.address)
        .await
        .expect("a connection");
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{head}",
        event.len()
    );
    begun.write_all(request.as_bytes()).await.expect("half a request");
    let mut idle = TcpStream::connect(gateway.served.address)
        .await
        .expect("a connection");
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("a request");
    idle.readable().await.expect("an answer");
    wait_until("the request is being read", async || {
        let metrics = send(gateway.get("/metrics")).await.text().await.expect("metrics");
        metrics
            .lines()
            .any(|line| line.starts_with("kulti_gateway_connections ") && !line.ends_with(" 1"))
    })
    .await;

    gateway.served.lifecycle.stop();
    assert!(
        read_all(&mut idle).await.contains("ok"),
        "an idle connection is closed at once"
    );
    begun.write_all(tail.as_bytes()).await.expect("the rest");
    let answer = read_all(&mut begun).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("\"accepted\":1"),
        "{answer}"
    );
    (&mut gateway.served.serving)
        .await
        .expect("a task")
        .expect("a clean end");
    assert!(
        TcpStream::connect(gateway.served.address).await.is_err(),
        "nobody listens any more"
    );
    assert_eq!(gateway.log().await.len(), 1);
}

#[tokio::test]
async fn shutdown_cuts_connections_that_outlast_the_budget() {
    let config = GatewayConfig {
        shutdown_budget: Duration::from_millis(200),
        ..GatewayConfig::default()
    };
    let mut gateway = gateway_with("127.0.0.1:0", config).await;
    let mut stuck = TcpStream::connect(gateway.served.address)
        .await
        .expect("a connection");
    let request = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    stuck.write_all(request).await.expect("half a request");
    gateway.served.lifecycle.stop();
    (&mut gateway.served.serving)
        .await
        .expect("a task")
        .expect("a clean end");
}

#[tokio::test]
async fn connections_above_the_limit_are_refused_and_those_below_go_on() {
    let config = GatewayConfig {
        max_connections: 2,
        ..GatewayConfig::default()
    };
    let gateway = gateway_with("127.0.0.1:0", config).await;
    let held = TcpStream::connect(gateway.served.address)
        .await
        .expect("a connection");
    assert_eq!(send(gateway.get("/livez")).await.status(), 200);
    let refused = wait_until_some("a connection is refused", async || {
        let mut stream = TcpStream::connect(gateway.served.address).await.ok()?;
        let mut answer = vec![0; 64];
        let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut answer))
            .await
            .ok()?
            .ok()?;
        Some(String::from_utf8_lossy(&answer[..read]).into_owned())
    })
    .await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert_eq!(send(gateway.get("/livez")).await.status(), 200);
    drop(held);
    wait_until("there is room again", async || {
        let mut stream = TcpStream::connect(gateway.served.address)
            .await
            .expect("a connection");
        stream
            .write_all(b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .await
            .expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.is_ok() && answer.starts_with(b"HTTP/1.0 200")
    })
    .await;
}

#[tokio::test]
async fn readiness_names_its_parts_and_ends_with_shutdown() {
    let gateway = gateway().await;
    assert_eq!(send(gateway.get("/livez")).await.status(), 200);
    let ready = body(send(gateway.get("/readyz")).await).await;
    let names: Vec<_> = ready["components"]
        .as_array()
        .expect("components")
        .iter()
        .map(|c| &c["name"])
        .collect();
    for name in ["kafka", "postgres", "projections"] {
        assert!(names.iter().any(|given| *given == name), "{ready}");
    }
    sqlx::query("insert into projection_partitions (projection, partition, stopped) values ('replay', 3, 'log_truncated')")
        .execute(&gateway.database.pool)
        .await
        .expect("a partition");
    let told = send(gateway.get("/readyz")).await.text().await.expect("a body");
    assert!(
        told.contains("replay/3: log_truncated") && told.contains("degraded"),
        "{told}"
    );
}

#[tokio::test]
async fn what_ingest_did_is_in_the_metrics() {
    let gateway = gateway().await;
    send(gateway.post("/v1/events", &thought("s", "x"))).await;
    send(gateway.get("/no/such/path-of-many")).await;
    let metrics = send(gateway.get("/metrics")).await.text().await.expect("metrics");
    for line in [
        "kulti_gateway_events_total{outcome=\"accepted\"} 1",
        "kulti_gateway_requests_total{method=\"POST\",route=\"/v1/events\",status=\"200\"} 1",
        "kulti_gateway_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(!metrics.contains("path-of-many"));
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect_it() {
    let gateway = gateway().await;
    for path in ["/v1/sessions", "/livez", "/no/such/path", "/openapi.json"] {
        let answer = send(gateway.get(path)).await;
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{path}");
        assert!(answer.headers().contains_key("referrer-policy"), "{path}");
    }
}

#[tokio::test]
async fn the_description_of_the_api_names_every_route() {
    let gateway = gateway().await;
    let answer = send(gateway.get("/openapi.json")).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let document = body(answer).await;
    for (path, method) in [
        ("/v1/events", "post"),
        ("/api/agent/stream", "post"),
        ("/api/agent/stream", "patch"),
        ("/api/agent/stream", "delete"),
        ("/v1/sessions", "get"),
        ("/v1/sessions/{id}", "get"),
        ("/v1/sessions/{id}/events", "get"),
        ("/v1/sessions/{id}/stream", "get"),
        ("/v1/agents/{agent}/stream", "get"),
        ("/v1/watch", "get"),
        ("/v1/keys", "post"),
        ("/v1/keys/{id}", "delete"),
    ] {
        assert!(document["paths"][path].get(method).is_some(), "{method} {path}");
    }
}

#[tokio::test]
async fn the_description_of_the_watch_protocol_is_served_beside_it() {
    let gateway = gateway().await;
    let answer = send(gateway.get("/asyncapi.json")).await;
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let document = body(answer).await;
    assert_eq!(document["asyncapi"], "3.0.0");
    assert_eq!(document["channels"]["watch"]["address"], "/v1/watch");
}
