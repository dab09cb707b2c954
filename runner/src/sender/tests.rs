use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::*;
use crate::client::parse_url;

/// A server that answers each request by a script, and keeps what it was sent.
#[derive(Clone)]
struct Scripted {
    answers: Arc<Mutex<Vec<Answering>>>,
    requests: Arc<Mutex<Vec<Vec<Value>>>>,
}

type Answering = fn(&[Value]) -> Response;

async fn answer(State(server): State<Scripted>, body: Bytes) -> Response {
    let text = std::str::from_utf8(&body).expect("text");
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let answer = {
        let mut answers = server.answers.lock().expect("the answers");
        if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0]
        }
    };
    let response = answer(&events);
    server.requests.lock().expect("the requests").push(events);
    response
}

async fn serve(answers: &[Answering]) -> (Client, Scripted) {
    rustls::crypto::ring::default_provider().install_default().ok();
    let server = Scripted {
        answers: Arc::new(Mutex::new(answers.to_vec())),
        requests: Arc::new(Mutex::new(Vec::new())),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new()
        .route("/v1/events", post(answer))
        .with_state(server.clone());
    let router = router.layer(axum::extract::DefaultBodyLimit::disable());
    tokio::spawn(serve_router(listener, router));
    let client = Client::new(parse_url(&address.to_string()).expect("a URL"), None).expect("a client");
    (client, server)
}

async fn serve_router(listener: tokio::net::TcpListener, router: Router) {
    let service = hyper_util::service::TowerToHyperService::new(router);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = service.clone();
        tokio::spawn(async move {
            let stream = hyper_util::rt::TokioIo::new(stream);
            hyper::server::conn::http1::Builder::new()
                .serve_connection(stream, service)
                .await
                .ok();
        });
    }
}

fn event(id: &str) -> OutgoingEvent {
    OutgoingEvent {
        id: id.to_owned(),
        json: json!({"id": id}).to_string(),
    }
}

fn all(status: &str, events: &[Value]) -> Response {
    let results: Vec<Value> = events
        .iter()
        .map(|event| json!({"id": event["id"], "status": status}))
        .collect();
    axum::Json(json!({"results": results})).into_response()
}

fn accept(events: &[Value]) -> Response {
    all("accepted", events)
}

fn unavailable(_: &[Value]) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "0")], "").into_response()
}

fn ids(requests: &[Vec<Value>]) -> Vec<Vec<&str>> {
    requests
        .iter()
        .map(|events| {
            events
                .iter()
                .map(|event| event["id"].as_str().unwrap_or_default())
                .collect()
        })
        .collect()
}

/// Nobody listens.
const QUIET: Retrying<'static> = &|_, _| {};
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_was_not_decided_is_sent_again_under_the_same_id() {
    let some = |events: &[Value]| {
        let results = json!([{"id": events[0]["id"], "status": "accepted"}, {"id": events[1]["id"], "status": "retry"}]);
        axum::Json(json!({"results": results})).into_response()
    };
    let (client, server) = serve(&[unavailable, some, accept]).await;
    let outcomes = Sender::new(&client, PATIENCE, QUIET)
        .send(&[event("a"), event("b")])
        .await
        .expect("sent");
    let outcomes: Vec<(Option<&str>, &str)> = outcomes
        .iter()
        .map(|outcome| (outcome.id.as_deref(), outcome.status.as_str()))
        .collect();
    assert_eq!(outcomes, [(Some("a"), "accepted"), (Some("b"), "accepted")]);
    let requests = server.requests.lock().expect("the requests");
    assert_eq!(ids(&requests), [vec!["a", "b"], vec!["a", "b"], vec!["b"]]);
}

#[tokio::test]
async fn the_wait_is_at_least_what_the_server_asked_for() {
    let busy =
        |_: &[Value]| (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], "").into_response();
    let (client, _) = serve(&[busy, accept]).await;
    let begun = Instant::now();
    Sender::new(&client, PATIENCE, QUIET)
        .send(&[event("a")])
        .await
        .expect("sent");
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn patience_ends_with_the_events_named_that_nobody_decided_about() {
    let (client, _) = serve(&[unavailable]).await;
    let outcomes = Sender::new(&client, Duration::ZERO, QUIET)
        .send(&[event("a")])
        .await
        .expect("sent");
    assert_eq!(
        (outcomes[0].id.as_deref(), outcomes[0].status.as_str()),
        (Some("a"), "retry")
    );
}

#[tokio::test]
async fn a_rejected_event_is_named_with_its_field_and_does_not_stop_its_neighbours() {
    let refuse = |events: &[Value]| match events.len() {
        1 if events[0]["id"] == "b" => (
            StatusCode::UNPROCESSABLE_ENTITY,
            axum::Json(json!({"code": "field_missing", "detail": "no", "field": "data.content"})),
        )
            .into_response(),
        1 => accept(events),
        _ => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
    };
    let (client, _) = serve(&[refuse]).await;
    let outcomes = Sender::new(&client, PATIENCE, QUIET)
        .send(&[event("a"), event("b"), event("c")])
        .await
        .expect("sent");
    let statuses: Vec<&str> = outcomes.iter().map(|outcome| outcome.status.as_str()).collect();
    assert_eq!(statuses, ["accepted", "rejected", "accepted"]);
    assert_eq!(outcomes[1].field.as_deref(), Some("data.content"));
}

#[tokio::test]
async fn a_closed_door_is_an_error_at_once() {
    let closed = |_: &[Value]| {
        let problem = json!({"code": "writes_closed", "detail": "writes are closed"});
        (StatusCode::FORBIDDEN, axum::Json(problem)).into_response()
    };
    let (client, server) = serve(&[closed]).await;
    let error = Sender::new(&client, PATIENCE, QUIET)
        .send(&[event("a")])
        .await
        .expect_err("closed");
    assert!(error.to_string().contains("keys create"), "{error}");
    assert_eq!(server.requests.lock().expect("the requests").len(), 1);
}

#[test]
fn requests_are_bounded_in_events_and_bytes_but_never_empty() {
    let big = OutgoingEvent {
        id: String::new(),
        json: "x".repeat(BATCH_BYTES / 2),
    };
    let huge = OutgoingEvent {
        id: String::new(),
        json: "x".repeat(BATCH_BYTES + 1),
    };
    let events = [huge, big.clone(), big, event("a")];
    assert_eq!(next_batch(&events, &[0, 1, 2, 3], 500).len(), 1);
    assert_eq!(next_batch(&events, &[1, 2, 3], 500).len(), 1);
    assert_eq!(next_batch(&events, &[3, 1], 500).len(), 2);
    assert_eq!(next_batch(&events, &[3, 1], 1).len(), 1);
}
