//! A viewer of its own making: plain WebSocket and JSON, no code of the product.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// No viewer waits longer for anything.
const LIMIT: Duration = Duration::from_secs(60);

/// One socket.
pub struct Viewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Viewer {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/v1/watch"))
            .await
            .expect("a socket");
        let mut viewer = Viewer { socket };
        assert_eq!(viewer.frame().await["type"], "hello");
        viewer
    }

    /// Says something.
    pub async fn say(&mut self, message: Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .expect("sent");
    }

    /// Connects and subscribes.
    pub async fn watch(address: SocketAddr, session: &str, from: Value) -> Self {
        let mut viewer = Viewer::connect(address).await;
        viewer
            .say(json!({"op": "subscribe", "sub": "a", "session": session, "from": from, "speed": "max"}))
            .await;
        viewer
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Value {
        self.next_frame().await.expect("the socket is open")
    }

    /// The next frame; `None` when the socket was closed.
    pub async fn next_frame(&mut self) -> Option<Value> {
        // Pings are no frames: they do not make the wait longer.
        let deadline = Instant::now() + LIMIT;
        loop {
            let message = tokio::time::timeout_at(deadline, self.socket.next())
                .await
                .expect("a frame in time");
            match message {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next frame of one type; others are passed over, but for errors and gaps.
    pub async fn frame_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == kind {
                return frame;
            }
            assert!(frame["type"] != "error" && frame["type"] != "gap", "{frame}");
        }
    }

    /// Events until one has this id: (position, id) in the order they came.
    pub async fn events_until(&mut self, last: &str) -> Vec<(i64, String)> {
        let mut seen = Vec::new();
        while seen.last().is_none_or(|(_, id)| id != last) {
            let frame = self.frame_of("events").await;
            seen.extend(positions(&frame));
        }
        seen
    }
}

/// (position, id) of the events in a frame.
pub fn positions(frame: &Value) -> Vec<(i64, String)> {
    let events = frame["events"].as_array().expect("events");
    let pair = |event: &Value| {
        (
            event["position"].as_i64().expect("a position"),
            event["id"].as_str().expect("an id").to_owned(),
        )
    };
    events.iter().map(pair).collect()
}

/// Checks that events are exactly those of the transcript from their first position to its end.
pub fn assert_part_of(transcript: &[String], seen: &[(i64, String)], who: &str) {
    let (first, _) = seen.first().unwrap_or_else(|| panic!("{who} saw nothing"));
    let expected = (*first..).zip(&transcript[(*first - 1) as usize..]);
    for (count, ((position, id), expected)) in seen.iter().zip(expected).enumerate() {
        assert_eq!((*position, id), expected, "{who}: after {count} events");
    }
    assert_eq!(
        seen.len() as i64,
        transcript.len() as i64 - first + 1,
        "{who}: up to the end"
    );
}
