//! asciinema's own API: streams, and the socket that a producer writes them by.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use kulti_gateway::GatewayConfig;
use kulti_gateway::control::{self, Scope};
use kulti_schemas::Event;
use kulti_test_support::{wait_until, wait_until_some};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::harness::{Gateway, body, gateway, problem, public_gateway, send, serve};

const INSTALLATION: &str = "8f9a1f0e-3d0f-4c8e-9d5e-0a4b6a1c2d3e";

async fn create(gateway: &Gateway, asked: Value) -> Value {
    let request = gateway.post("/api/v1/streams", &asked);
    let answer = send(request.basic_auth("ada", Some(INSTALLATION))).await;
    assert_eq!(answer.status(), 200);
    body(answer).await
}

fn session_of(stream: &Value) -> String {
    let url = stream["url"].as_str().expect("a page");
    url.rsplit('/').next().expect("an id").to_owned()
}

/// A producer, as asciinema's command line is one.
struct Producer(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Producer {
    async fn connect(url: &str) -> Result<Producer, Error> {
        let mut request = url.into_client_request().expect("a request");
        let protocol = "v1.alis".parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (socket, response) = tokio_tungstenite::connect_async(request).await?;
        assert_eq!(response.headers()["sec-websocket-protocol"], "v1.alis");
        Ok(Producer(socket))
    }

    /// Connects, and says what it is and what the terminal shows after its last event.
    async fn begin(url: &str, last: u8, screen: &str) -> Producer {
        let mut producer = Producer::connect(url).await.expect("a socket");
        producer.say(b"ALiS\x01").await;
        let mut reset = vec![1, last, 0, 80, 24, 0, screen.len() as u8];
        reset.extend(screen.as_bytes());
        producer.say(&reset).await;
        producer
    }

    async fn say(&mut self, frame: &[u8]) {
        self.0.send(Message::binary(frame.to_vec())).await.expect("sent");
    }

    async fn print(&mut self, id: u8, text: &str) {
        self.say(&[&[b'o', id, 1, text.len() as u8], text.as_bytes()].concat())
            .await;
    }

    /// With which code the server closes.
    async fn closed(mut self) -> u16 {
        loop {
            match self.0.next().await.expect("a close frame").expect("a frame") {
                Message::Close(close) => return close.expect("a code").code.into(),
                other => drop(other),
            }
        }
    }
}

fn url(stream: &Value) -> &str {
    stream["ws_producer_url"].as_str().expect("a URL")
}

/// Once the log has so many events.
async fn log(gateway: &Gateway, count: usize) -> Vec<Event> {
    let log = wait_until_some(&format!("{count} events in the log"), async || {
        Some(gateway.log().await).filter(|log| log.len() >= count)
    })
    .await;
    assert_eq!(log.len(), count, "{log:#?}");
    log
}

fn told(log: &[Event]) -> Vec<String> {
    log.iter()
        .map(|event| {
            let data: Value = serde_json::from_str(event.data.get()).expect("JSON");
            match event.kind.name() {
                "terminal.output" => format!("output {}", data["text"].as_str().expect("text")),
                "terminal.exited" => format!("exit {}", data["code"]),
                "session.ended" => format!("ended {}", data["reason"].as_str().expect("text")),
                "error" => format!("error {}", data["code"].as_str().expect("text")),
                kind => kind.to_owned(),
            }
        })
        .collect()
}

#[tokio::test]
async fn a_stream_is_a_private_session_with_what_is_known_of_its_terminal() {
    let gateway = gateway().await;
    let stream = create(
        &gateway,
        json!({"live": true, "title": null, "term_type": "xterm", "term_version": null, "shell": "/bin/zsh",
            "env": {"SHELL": "/bin/zsh"}}),
    )
    .await;
    assert!(stream["id"].as_u64().is_some(), "{stream}");
    assert!(url(&stream).starts_with(&format!("ws://{}/ws/S/", gateway.served.address)));
    let events = log(&gateway, 1).await;
    assert_eq!(events[0].meta.session_id.as_str(), session_of(&stream));
    let data: Value = serde_json::from_str(events[0].data.get()).expect("JSON");
    assert_eq!(
        (&data["title"], &data["visibility"]),
        (&json!("Terminal of ada"), &json!("private"))
    );
    assert_eq!(data["term"]["type"], "xterm");

    let list = async |prefix: &str| {
        let request = gateway.get(&format!("/api/v1/user/streams?prefix={prefix}&limit=10"));
        body(send(request.basic_auth("ada", Some(INSTALLATION))).await).await
    };
    assert_eq!(list(&session_of(&stream)[..5]).await, json!([stream]));
    assert_eq!(list("none").await, json!([]));
    let path = format!("/api/v1/streams/{}", stream["id"]);
    let change = async |asked: Value| {
        let request = gateway.request(Method::PATCH, &path).json(&asked);
        send(request.basic_auth("ada", Some(INSTALLATION))).await
    };
    let changed = change(json!({"live": true, "title": "Demo", "visibility": "public"})).await;
    assert_eq!(body(changed).await, stream);
    assert_eq!(
        problem(change(json!({"visibility": "secret"})).await).await.0,
        400
    );
    assert_eq!(change(json!({"live": false})).await.status(), 200);
    let events = log(&gateway, 3).await;
    assert_eq!(told(&events)[1..], ["session.updated", "ended completed"]);
    assert_eq!(
        events[1].data.get(),
        "{\"title\":\"Demo\",\"visibility\":\"public\"}"
    );
    let missing = gateway
        .request(Method::PATCH, "/api/v1/streams/99")
        .json(&json!({}));
    let missing = send(missing.basic_auth("ada", Some(INSTALLATION))).await;
    assert_eq!(problem(missing).await, (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_producer_that_comes_back_goes_on_without_doubling_or_silent_loss() {
    let gateway = gateway().await;
    let stream = create(&gateway, json!({})).await;
    let mut producer = Producer::begin(url(&stream), 0, "").await;
    producer.print(1, "one").await;
    producer.print(2, "two").await;
    log(&gateway, 4).await;
    // The connection is lost: nothing says that it ends.
    drop(producer);
    let mut producer = Producer::begin(url(&stream), 2, "one two").await;
    producer.print(3, "three").await;
    let events = log(&gateway, 5).await;
    assert_eq!(
        told(&events)[1..],
        ["terminal.resized", "output one", "output two", "output three"],
        "what it showed is not told again"
    );
    assert_eq!(
        events
            .iter()
            .filter_map(|event| event.meta.seq)
            .collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    // While it is away, two events happen.
    drop(producer);
    let mut producer = Producer::begin(url(&stream), 5, "screen").await;
    producer.say(b"x\x06\x01\x00").await;
    producer.say(b"\x04\x07\x00").await;
    producer.0.close(None).await.expect("closed");
    let events = log(&gateway, 10).await;
    assert_eq!(
        told(&events)[5..],
        [
            "error stream_interrupted",
            "terminal.resized",
            "output \u{1b}cscreen",
            "exit 0",
            "ended completed"
        ]
    );
}

#[tokio::test]
async fn a_gateway_that_knows_nothing_of_a_stream_asks_the_rows_where_to_go_on() {
    let gateway = gateway().await;
    let stream = create(&gateway, json!({})).await;
    let mut producer = Producer::begin(url(&stream), 0, "").await;
    producer.print(1, "one").await;
    log(&gateway, 3).await;
    drop(producer);
    // As replay would have written them.
    let session = session_of(&stream);
    gateway.insert_session(&session, None).await;
    gateway
        .insert_event(&session, 1, "terminal.output", json!({"text": "one"}))
        .await;
    sqlx::query("update events set producer = 'asciinema', generation = 1, seq = 1")
        .execute(&gateway.database.pool)
        .await
        .expect("numbered");
    let pool = gateway.database.pool.clone();
    let other = serve(
        "127.0.0.1:0",
        GatewayConfig::default(),
        pool,
        &gateway.topics.config,
    )
    .await;
    wait_until("the broker answers", async || other.state.producer.is_available()).await;
    let there = url(&stream).replace(&gateway.served.address.to_string(), &other.address.to_string());
    let mut producer = Producer::begin(&there, 1, "one").await;
    producer.print(2, "two").await;
    let events = log(&gateway, 4).await;
    assert_eq!(told(&events)[3], "output two");
}

#[tokio::test]
async fn the_producer_that_comes_later_has_the_stream() {
    let gateway = gateway().await;
    let stream = create(&gateway, json!({})).await;
    let mut first = Producer::begin(url(&stream), 0, "").await;
    first.print(1, "first").await;
    log(&gateway, 3).await;
    let mut second = Producer::begin(url(&stream), 1, "").await;
    assert_eq!(first.closed().await, 4002);
    second.print(2, "second").await;
    log(&gateway, 4).await;
}

#[tokio::test]
async fn a_producer_that_may_not_write_or_makes_no_sense_is_told_by_the_protocols_codes() {
    let gateway = gateway().await;
    let stream = create(&gateway, json!({})).await;
    let unknown = format!("ws://{}/ws/S/none", gateway.served.address);
    assert_eq!(
        Producer::connect(&unknown)
            .await
            .expect("a socket")
            .closed()
            .await,
        4040
    );
    for (first, second, code) in [
        (&b"ALiS\x02"[..], &b""[..], 4005),
        (b"ALiS\x01", b"o\x01\x01\x01a", 4005),
        (b"ALiS\x01", b"\x01\x00\x00\x00\x18\x00\x00", 4003),
    ] {
        let mut producer = Producer::connect(url(&stream)).await.expect("a socket");
        producer.say(first).await;
        if !second.is_empty() {
            producer.say(second).await;
        }
        assert_eq!(producer.closed().await, code, "{first:?} {second:?}");
    }
    let mut request = url(&stream).into_client_request().expect("a request");
    let raw = "raw".parse().expect("a header");
    request.headers_mut().insert("sec-websocket-protocol", raw);
    match tokio_tungstenite::connect_async(request).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 400),
        other => panic!("another subprotocol: {other:?}"),
    }
    let mut request = url(&stream).into_client_request().expect("a request");
    let evil = "https://evil.example".parse().expect("a header");
    request.headers_mut().insert("origin", evil);
    match tokio_tungstenite::connect_async(request).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        other => panic!("a page of another origin: {other:?}"),
    }
    assert_eq!(gateway.log().await.len(), 1);
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_streams_and_no_other_key_sees_them() {
    let gateway = public_gateway().await;
    let key = gateway.key(&[Scope::Produce], None).await;
    let other = gateway.key(&[Scope::Produce], None).await;
    let request = gateway.post("/api/v1/streams", &json!({}));
    let stream = body(send(request.basic_auth("", Some(&key))).await).await;
    let others = gateway.get("/api/v1/user/streams").basic_auth("", Some(&other));
    assert_eq!(body(send(others).await).await, json!([]));
    let path = format!("/api/v1/streams/{}", stream["id"]);
    let change = gateway
        .request(Method::PATCH, &path)
        .json(&json!({"title": "mine"}));
    let change = send(change.basic_auth("", Some(&other))).await;
    assert_eq!(problem(change).await.0, 404);

    let mut producer = Producer::begin(url(&stream), 0, "").await;
    producer.print(1, "one").await;
    log(&gateway, 3).await;
    let id = key.split('_').nth(1).expect("an id");
    assert!(
        control::revoke_key(&gateway.database.pool, id)
            .await
            .expect("revoked")
    );
    let mut number = 1;
    let code = wait_until_some("the stream is refused", async || {
        number += 1;
        let frame = Message::binary(vec![b'o', number, 1, 1, b'x']);
        producer.0.send(frame).await.ok()?;
        let answer = tokio::time::timeout(Duration::from_millis(100), producer.0.next()).await;
        match answer.ok()?? {
            Ok(Message::Close(close)) => Some(u16::from(close.expect("a code").code)),
            _ => None,
        }
    })
    .await;
    assert_eq!(code, 4030);
    let again = Producer::connect(url(&stream)).await.expect("a socket");
    assert_eq!(again.closed().await, 4030);
}
