use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::accept_async;

use super::*;
use crate::client::parse_url;

/// The server's side of the socket, by hand.
struct Server {
    listener: TcpListener,
}

type Peer = WebSocketStream<TcpStream>;

impl Server {
    async fn start() -> (Self, Client) {
        rustls::crypto::ring::default_provider().install_default().ok();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let client = Client::new(parse_url(&address).expect("a URL"), None).expect("a client");
        (Server { listener }, client)
    }

    /// A viewer, and how it subscribed.
    async fn accept(&self) -> (Peer, Value) {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        let mut peer = accept_async(stream).await.expect("a socket");
        let text = peer.next().await.expect("a message").expect("no error");
        let subscribe = serde_json::from_str(text.to_text().expect("text")).expect("JSON");
        say(&mut peer, json!({"type": "hello"})).await;
        (peer, subscribe)
    }
}

async fn say(peer: &mut Peer, frame: Value) {
    peer.send(Message::text(frame.to_string())).await.expect("sent");
}

fn event(position: i64) -> Value {
    json!({"position": position, "id": format!("id-{position}"), "session": "s", "kind": "thought", "data": {}})
}

async fn say_events(peer: &mut Peer, positions: &[i64]) {
    let events: Vec<Value> = positions.iter().map(|position| event(*position)).collect();
    say(peer, json!({"type": "events", "session": "s", "events": events})).await;
}

async fn position(watcher: &mut Watcher) -> i64 {
    match watcher.next().await.expect("an update") {
        Update::Event(event) => event.position,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_after_the_last_event() {
    let (server, client) = Server::start().await;
    let mut watcher = Watcher::new(client, "s".to_owned(), Start::Beginning);
    let serving = tokio::spawn(async move {
        let (mut peer, first) = server.accept().await;
        say_events(&mut peer, &[1, 2]).await;
        drop(peer);
        let (mut peer, second) = server.accept().await;
        say_events(&mut peer, &[2, 3]).await;
        (first, second, peer)
    });
    assert_eq!(
        (position(&mut watcher).await, position(&mut watcher).await),
        (1, 2)
    );
    assert!(matches!(
        watcher.next().await.expect("an update"),
        Update::Lost { .. }
    ));
    assert_eq!(watcher.next().await.expect("an update"), Update::Back);
    assert_eq!(position(&mut watcher).await, 3);
    let (first, second, _peer) = serving.await.expect("served");
    assert_eq!(
        (&first["session"], &first["from"]),
        (&json!("s"), &json!("start"))
    );
    assert_eq!(second["from"], json!({"position": 2, "id": "id-2"}));
}

#[tokio::test]
async fn a_hole_is_said_before_what_follows_it() {
    let (server, client) = Server::start().await;
    let mut watcher = Watcher::new(client, "s".to_owned(), Start::After(4));
    let serving = tokio::spawn(async move {
        let (mut peer, subscribe) = server.accept().await;
        say_events(&mut peer, &[5, 8]).await;
        say(
            &mut peer,
            json!({"type": "gap", "session": "s", "from": 9, "to": 11, "reason": "log_truncated"}),
        )
        .await;
        say_events(&mut peer, &[12]).await;
        (subscribe, peer)
    });
    assert_eq!(position(&mut watcher).await, 5);
    assert!(matches!(
        watcher.next().await.expect("an update"),
        Update::Gap { from: 6, to: 7, .. }
    ));
    assert_eq!(position(&mut watcher).await, 8);
    assert!(matches!(
        watcher.next().await.expect("an update"),
        Update::Gap { from: 9, to: 11, .. }
    ));
    assert_eq!(position(&mut watcher).await, 12);
    assert_eq!(serving.await.expect("served").0["from"], json!({"position": 4}));
}

#[tokio::test]
async fn an_ended_session_is_never_called_live() {
    let (server, client) = Server::start().await;
    let mut watcher = Watcher::new(client, "s".to_owned(), Start::Beginning);
    let serving = tokio::spawn(async move {
        let (mut peer, _) = server.accept().await;
        say_events(&mut peer, &[1]).await;
        say(
            &mut peer,
            json!({"type": "caught_up", "session": "s", "position": 1}),
        )
        .await;
        say(
            &mut peer,
            json!({"type": "ended", "session": "s", "position": 1, "reason": "completed"}),
        )
        .await;
        say(
            &mut peer,
            json!({"type": "viewers", "session": "s", "sub": "a", "count": 1}),
        )
        .await;
        peer
    });
    assert_eq!(position(&mut watcher).await, 1);
    assert_eq!(watcher.next().await.expect("an update"), Update::Ended);
    drop(serving.await);
}

#[tokio::test]
async fn a_live_session_is_called_live() {
    let (server, client) = Server::start().await;
    let mut watcher = Watcher::new(client, "s".to_owned(), Start::Live);
    let serving = tokio::spawn(async move {
        let (mut peer, subscribe) = server.accept().await;
        say(
            &mut peer,
            json!({"type": "caught_up", "session": "s", "sub": "a", "position": 7}),
        )
        .await;
        say(
            &mut peer,
            json!({"type": "viewers", "session": "s", "sub": "a", "count": 1}),
        )
        .await;
        say_events(&mut peer, &[8]).await;
        (subscribe, peer)
    });
    assert_eq!(watcher.next().await.expect("an update"), Update::CaughtUp);
    assert_eq!(position(&mut watcher).await, 8);
    assert_eq!(serving.await.expect("served").0["from"], json!("live"));
}

#[tokio::test]
async fn what_will_not_pass_is_an_error_and_what_will_is_tried_again() {
    let (server, client) = Server::start().await;
    let mut watcher = Watcher::new(client, "s".to_owned(), Start::Live);
    let serving = tokio::spawn(async move {
        let (mut peer, _) = server.accept().await;
        say(
            &mut peer,
            json!({"type": "error", "code": "not_ready", "detail": "later", "retryable": true}),
        )
        .await;
        let (mut again, _) = server.accept().await;
        say(
            &mut again,
            json!({"type": "error", "code": "not_found", "detail": "no \u{1b}[2Jsession"}),
        )
        .await;
        (peer, again)
    });
    assert!(matches!(
        watcher.next().await.expect("an update"),
        Update::Lost { .. }
    ));
    let error = watcher.next().await.expect_err("not there");
    assert_eq!(error.to_string(), "no session (not_found)");
    drop(serving.await);
}

#[tokio::test]
async fn a_server_that_was_never_there_is_an_error_at_once() {
    let (server, client) = Server::start().await;
    drop(server);
    let mut watcher = Watcher::new(client, "s".to_owned(), Start::Live);
    let error = watcher.next().await.expect_err("nobody there");
    assert!(error.to_string().contains("kulti serve"), "{error}");
}

#[test]
fn the_range_of_a_close_code_says_whether_to_come_back() {
    assert!(
        [1000, 1001, 1006, 1011, 1012, 1013, 4000, 4499]
            .into_iter()
            .all(may_come_back)
    );
    assert!(![1002, 1007, 1008, 4500, 4999].into_iter().any(may_come_back));
}

#[test]
fn positions_name_the_first_event_to_show() {
    assert_eq!("1".parse(), Ok(Start::After(0)));
    assert_eq!("live".parse(), Ok(Start::Live));
    assert!("0".parse::<Start>().is_err() && "-3".parse::<Start>().is_err() && "x".parse::<Start>().is_err());
}
