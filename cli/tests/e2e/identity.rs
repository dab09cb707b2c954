//! The same list of (position, id, data) everywhere: what the producer sent, Postgres, live, replayed, SSE, rows over HTTP.

use kulti_test_support::wait_until;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::producer::{events, session_id};
use crate::viewer::Viewer;

const COUNT: usize = 2000;

/// (position, id, data with sorted keys).
type Entry = (i64, String, String);

fn entry(position: i64, event: &Value) -> Entry {
    // serde_json sorts an object's keys; numbers keep the text that tells 1 from 1.0.
    (
        position,
        event["id"].as_str().expect("an id").to_owned(),
        event["data"].to_string(),
    )
}

fn entries_of(frame: &Value) -> Vec<Entry> {
    let events = frame["events"].as_array().expect("events");
    events
        .iter()
        .map(|event| entry(event["position"].as_i64().expect("a position"), event))
        .collect()
}

async fn watch_all(viewer: &mut Viewer) -> Vec<Entry> {
    let mut seen = Vec::new();
    while seen.len() < COUNT {
        seen.extend(entries_of(&viewer.frame_of("events").await));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_transcript_in_postgres_live_replayed_and_over_http() {
    let cluster = Cluster::create(4).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let sent = events(&session, COUNT);
    let expected: Vec<Entry> = (1..)
        .zip(&sent)
        .map(|(position, event)| entry(position, event))
        .collect();

    gateway.send(&sent[..10]).await;
    cluster.wait_for_rows(&session, 10).await;
    let mut live = Viewer::watch(gateway.address, &session, json!("start")).await;
    for batch in sent[10..].chunks(100) {
        gateway.send(batch).await;
    }
    assert_eq!(watch_all(&mut live).await, expected, "live");

    cluster.wait_for_rows(&session, COUNT as i64).await;
    let rows: Vec<(i64, sqlx::types::Uuid, String)> = sqlx::query_as(
        "select position, event_id, data::text from events where session_id = $1 order by position",
    )
    .bind(&session)
    .fetch_all(&cluster.database.pool)
    .await
    .expect("rows");
    let rows: Vec<Entry> = rows
        .into_iter()
        .map(|(position, id, data)| {
            let data: Value = serde_json::from_str(&data).expect("JSON");
            (position, id.to_string(), data.to_string())
        })
        .collect();
    assert_eq!(rows, expected, "postgres");

    let mut replayed = Viewer::watch(gateway.address, &session, json!("start")).await;
    assert_eq!(watch_all(&mut replayed).await, expected, "replayed");

    let mut over_http = Vec::new();
    while over_http.len() < COUNT {
        let path = format!(
            "/v1/sessions/{session}/events?after={}&limit=700",
            over_http.len()
        );
        let page: Value = gateway
            .client
            .get(gateway.url(&path))
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let items = page["items"].as_array().expect("items");
        over_http.extend(
            items
                .iter()
                .map(|event| entry(event["position"].as_i64().expect("a position"), event)),
        );
    }
    assert_eq!(over_http, expected, "over HTTP");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sse_shows_the_same_events_ends_with_the_session_and_tells_a_returning_client_to_stay_away() {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let sent = events(&session, 300);
    gateway.send(&sent).await;
    let end = json!({"session": session, "agent": "tester", "kind": "session.ended", "data": {"reason": "completed"}});
    gateway.send(&[end]).await;
    cluster.wait_for_rows(&session, 301).await;

    let url = gateway.url(&format!("/v1/sessions/{session}/stream"));
    let text = gateway
        .client
        .get(&url)
        .header("last-event-id", "100")
        .send()
        .await
        .expect("an answer")
        .text()
        .await;
    let text = text.expect("the stream ends with the session");
    let mut seen = Vec::new();
    for message in text
        .split("\n\n")
        .filter(|message| message.contains("event: events"))
    {
        let data = message
            .lines()
            .find_map(|line| line.strip_prefix("data: "))
            .expect("data");
        let frame: Value = serde_json::from_str(data).expect("JSON");
        let last = frame["events"]
            .as_array()
            .and_then(|events| events.last())
            .expect("events")["position"]
            .clone();
        assert!(
            message.lines().any(|line| line == format!("id: {last}")),
            "the id is the last position"
        );
        seen.extend(entries_of(&frame));
    }
    assert!(text.contains("event: caught_up") && text.contains("event: ended"));
    let expected: Vec<Entry> = (101..)
        .zip(&sent[100..])
        .map(|(position, event)| entry(position, event))
        .collect();
    assert_eq!(seen[..200], expected[..]);
    assert_eq!(seen.len(), 201);

    wait_until("a client that has everything is told to stay away", async || {
        let answer = gateway
            .client
            .get(&url)
            .header("last-event-id", "301")
            .send()
            .await
            .expect("an answer");
        answer.status() == 204
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_hides_other_kinds_and_says_which_positions_it_covers() {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let sent = events(&session, 1000);
    gateway.send(&sent[..500]).await;
    cluster.wait_for_rows(&session, 500).await;
    let mut viewer = Viewer::connect(gateway.address).await;
    viewer
        .say(json!({"op": "subscribe", "session": session, "from": "start", "kinds": ["thought"]}))
        .await;
    let mut covered = 0;
    let mut seen = 0;
    while covered < 1000 {
        let frame = viewer.frame_of("events").await;
        assert_eq!(frame["from"], covered + 1, "ranges join");
        covered = frame["to"].as_i64().expect("a range");
        let events = frame["events"].as_array().expect("events");
        assert!(events.iter().all(|event| event["kind"] == "thought"));
        seen += events.len();
        if covered == 500 {
            gateway.send(&sent[500..]).await;
        }
    }
    assert_eq!(seen, 200);
}
