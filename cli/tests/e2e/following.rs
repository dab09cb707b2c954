//! Who follows an agent is taken along from one of its sessions to the next and misses nothing of either.

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::producer::{ids, session_id, thought};
use crate::viewer::Viewer;

fn ended(session: &str) -> Value {
    json!({"id": uuid::Uuid::now_v7(), "session": session, "agent": "tester", "kind": "session.ended",
        "data": {"reason": "completed"}})
}

async fn following(viewer: &mut Viewer) -> Value {
    viewer.frame_of("following").await["session"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_goes_on_to_the_agents_next_session_and_sees_it_from_its_beginning() {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let mut viewer = Viewer::connect(gateway.address).await;
    viewer
        .say(json!({"op": "subscribe", "sub": "f", "agent": "tester", "from": "start"}))
        .await;
    assert_eq!(following(&mut viewer).await, Value::Null);
    let mut all = Vec::new();
    for _ in 0..3 {
        let session = session_id();
        let mut events: Vec<Value> = (0..20).map(|_| thought(&session, "step")).collect();
        events.push(ended(&session));
        gateway.send(&events[..15]).await;
        assert_eq!(following(&mut viewer).await, json!(session));
        gateway.send(&events[15..]).await;
        let last = events.last().expect("events")["id"].as_str().expect("an id");
        let seen = viewer.events_until(last).await;
        assert_eq!(seen[0].0, 1);
        assert_eq!(
            seen.into_iter().map(|(_, id)| id).collect::<Vec<_>>(),
            ids(&events)
        );
        all.push(session);
    }

    // Whoever comes later is on the newest one that is open, and not torn away from where it looks.
    let open = session_id();
    gateway
        .send(&[thought(&open, "one"), thought(&open, "two")])
        .await;
    assert_eq!(following(&mut viewer).await, json!(open));
    viewer.say(json!({"op": "pause", "sub": "f", "id": 1})).await;
    while viewer.frame().await["id"] != 1 {}
    let next = session_id();
    gateway.send(&[thought(&next, "one")]).await;
    let mut second = Viewer::connect(gateway.address).await;
    second
        .say(json!({"op": "subscribe", "agent": "tester", "state": true}))
        .await;
    // Replay may still have the session before as the newest.
    let mut on = following(&mut second).await;
    while on != json!(next) {
        on = following(&mut second).await;
    }
    viewer.say(json!({"op": "ping", "id": 2})).await;
    assert_eq!(viewer.frame().await["type"], "pong");
    viewer.say(json!({"op": "play", "sub": "f"})).await;
    assert_eq!(following(&mut viewer).await, json!(next));
    viewer.say(json!({"op": "unsubscribe", "sub": "f"})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_followed_over_server_sent_events_too() {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let url = gateway.url("/v1/agents/tester/stream?from=start");
    let response = gateway.client.get(url).send().await.expect("an answer");
    assert!(response.status().is_success());
    let mut body = response.bytes_stream();
    let mut text = String::new();
    for _ in 0..2 {
        let session = session_id();
        let events = [thought(&session, "one"), ended(&session)];
        gateway.send(&events).await;
        let last = events[1]["id"].as_str().expect("an id");
        // The session may have ended before it was looked for: then there is nothing to follow.
        let more = [thought(&session, "more")];
        gateway.send(&more).await;
        let more = more[0]["id"].as_str().expect("an id");
        while !text.contains(last) || !text.contains(more) {
            let chunk = body.next().await.expect("the stream goes on").expect("bytes");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        assert!(text.contains(&format!("\"session\":\"{session}\"")));
    }
    assert!(text.contains("event: following"));
}
