//! What was redacted or erased is in no table and in no frame, whoever asks and however late.

use kulti_test_support::wait_until;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Gateway};
use crate::producer::session_id;
use crate::viewer::Viewer;

const SECRET: &str = "hunter2-the-password";

fn event(session: &str, kind: &str, data: Value) -> Value {
    json!({"id": uuid::Uuid::now_v7(), "session": session, "agent": "nex", "kind": kind, "data": data})
}

fn leaky(session: &str) -> Vec<Value> {
    vec![
        event(
            session,
            "session.started",
            json!({"task": "t", "title": format!("the {SECRET}")}),
        ),
        event(session, "thought", json!({"content": format!("it is {SECRET}.")})),
        event(
            session,
            "terminal.output",
            json!({"text": format!("$ echo {SECRET}\n")}),
        ),
        event(
            session,
            "tool.started",
            json!({"call": "c", "name": "sh", "input": {"env": [SECRET]}}),
        ),
        event(session, "thought", json!({"content": "done"})),
    ]
}

fn hides(events: &[Value]) -> Value {
    let id = |index: usize| events[index]["id"].clone();
    let length = SECRET.len() as u64;
    json!({"reason": "a password", "events": [
        {"event": id(0), "field": "/title", "spans": [[4, 4 + length]]},
        {"event": id(1), "field": "/content", "spans": [[6, 6 + length]]},
        {"event": id(2)},
        {"event": id(3), "field": "/input/env/0"},
    ]})
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> (u16, Value) {
    let answer = gateway.client.post(gateway.url(path)).json(body).send().await;
    let answer = answer.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn get(gateway: &Gateway, path: &str) -> (u16, String) {
    let answer = gateway
        .client
        .get(gateway.url(path))
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// Everything that Postgres has, as text.
async fn dump(cluster: &Cluster) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('public', 'control') and c.relkind in ('r', 'p') and not c.relispartition order by 1",
    )
    .fetch_all(&cluster.database.pool)
    .await
    .expect("tables");
    let mut text = String::new();
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select t::text from {table} t")))
                .fetch_all(&cluster.database.pool)
                .await
                .expect("rows");
        text.extend(rows);
    }
    text
}

/// Frames from the start until live, as text.
async fn replayed(gateway: &Gateway, session: &str) -> String {
    let mut viewer = Viewer::watch(gateway.address, session, json!("start")).await;
    let mut text = String::new();
    loop {
        let frame = viewer.frame().await;
        assert_ne!(frame["type"], "gap", "{frame}");
        text.push_str(&frame.to_string());
        if frame["type"] == "caught_up" {
            return text;
        }
    }
}

async fn streamed(gateway: &Gateway, session: &str) -> String {
    let path = format!("/v1/sessions/{session}/stream?from=start");
    let mut answer = gateway
        .client
        .get(gateway.url(&path))
        .send()
        .await
        .expect("an answer");
    let mut text = String::new();
    while !text.contains("event: caught_up") {
        let chunk = answer.chunk().await.expect("a chunk").expect("more");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    text
}

fn positions(transcript: &str) -> Vec<String> {
    transcript
        .split("\"position\":")
        .skip(1)
        .map(|rest| rest.split([',', '}']).next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_redacted_is_in_no_table_and_in_no_frame_sent_afterwards() {
    let cluster = Cluster::create(2).await;
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    let _replay = cluster.replay();
    one.ready().await;
    two.ready().await;
    let session = session_id();
    let events = leaky(&session);
    one.send(&events).await;
    cluster.wait_for_rows(&session, 5).await;
    let before = replayed(&one, &session).await;
    assert!(before.contains(SECRET));
    let mut live = Viewer::watch(two.address, &session, json!("live")).await;
    live.frame_of("caught_up").await;

    let (status, answer) = post(
        &two,
        &format!("/v1/sessions/{session}/redactions"),
        &hides(&events),
    )
    .await;
    assert_eq!(
        (status, &answer["applied"], &answer["redacted"]),
        (201, &json!(true), &json!(4)),
        "{answer}"
    );

    assert_eq!(live.frame_of("events").await["events"][0]["kind"], "redaction");
    assert!(!dump(&cluster).await.contains(SECRET));
    for gateway in [&one, &two] {
        let transcript = replayed(gateway, &session).await;
        for text in [
            transcript.clone(),
            streamed(gateway, &session).await,
            get(gateway, &format!("/v1/sessions/{session}/events")).await.1,
            get(gateway, &format!("/v1/sessions/{session}")).await.1,
            get(gateway, "/v1/sessions").await.1,
            get(gateway, &format!("/v1/sessions/{session}/export?format=ndjson"))
                .await
                .1,
            get(gateway, &format!("/v1/sessions/{session}/outline")).await.1,
        ] {
            assert!(!text.contains(SECRET), "{text}");
        }
        assert!(transcript.contains("it is ████████████████████."), "{transcript}");
        assert_eq!(positions(&transcript)[..5], positions(&before)[..5]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_redacted_before_replay_has_it_is_in_no_frame_either() {
    let cluster = Cluster::create(1).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let events = leaky(&session);
    gateway.send(&events[..2]).await;
    cluster.wait_for_rows(&session, 2).await;
    let held = cluster.hold_replay().await;
    gateway.send(&events[2..]).await;
    let mut live = Viewer::watch(gateway.address, &session, json!("start")).await;
    live.events_until(events[4]["id"].as_str().expect("an id")).await;
    // The rows of the first two are as they were, and the others are in the log alone.
    let writing = async {
        post(
            &gateway,
            &format!("/v1/sessions/{session}/redactions"),
            &hides(&events),
        )
        .await
    };
    let watching = async {
        assert_eq!(live.frame_of("events").await["events"][0]["kind"], "redaction");
        let transcript = replayed(&gateway, &session).await;
        assert!(!transcript.contains(SECRET), "{transcript}");
        assert!(transcript.contains("redaction"), "{transcript}");
        assert!(!streamed(&gateway, &session).await.contains(SECRET));
        drop(held);
    };
    let ((status, answer), ()) = tokio::join!(writing, watching);
    assert_eq!((status, &answer["applied"]), (201, &json!(true)), "{answer}");
    assert!(!dump(&cluster).await.contains(SECRET));
    // A gateway that was not there: what waits for its event comes from the rows.
    let other = cluster.gateway().await;
    other.ready().await;
    assert!(!replayed(&other, &session).await.contains(SECRET));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_session_is_nowhere_at_once_and_takes_nothing() {
    let cluster = Cluster::create(2).await;
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    let _replay = cluster.replay();
    one.ready().await;
    two.ready().await;
    let session = session_id();
    let events = leaky(&session);
    one.send(&events).await;
    cluster.wait_for_rows(&session, 5).await;
    let mut live = Viewer::watch(two.address, &session, json!("live")).await;
    live.frame_of("caught_up").await;
    let request = one.client.delete(one.url(&format!("/v1/sessions/{session}")));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.expect("JSON");
    assert_eq!(
        (&answer["applied"], &answer["log"]["kept"]),
        (&json!(true), &json!("forever")),
        "{answer}"
    );
    let frame = live.frame().await;
    let error = if frame["type"] == "viewers" {
        live.frame().await
    } else {
        frame
    };
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!("session_expired")),
        "{error}"
    );
    assert_eq!(live.frame().await["reason"], "erased");
    wait_until("the other gateway has heard of it", async || {
        get(&two, &format!("/v1/sessions/{session}")).await.0 == 404
    })
    .await;
    // One that starts later knows it too.
    let three = cluster.gateway().await;
    three.ready().await;
    for gateway in [&one, &two, &three] {
        for path in [
            "",
            "/events",
            "/stream",
            "/markers",
            "/clips",
            "/outline",
            "/export?format=ndjson",
        ] {
            let (status, body) = get(gateway, &format!("/v1/sessions/{session}{path}")).await;
            assert_eq!(status, 404, "{path}: {body}");
        }
        assert!(!get(gateway, "/v1/sessions").await.1.contains(&session));
        let late = gateway
            .post_events(&[
                event(&session, "thought", json!({"content": "x"})),
                event("other", "thought", json!({"content": "y"})),
            ])
            .await;
        assert_eq!(late["results"][0]["code"], "session_expired", "{late}");
        assert_eq!(late["results"][1]["status"], "accepted", "{late}");
        let mut viewer = Viewer::watch(gateway.address, &session, json!("start")).await;
        assert_eq!(viewer.frame().await["code"], "not_found");
        let (status, _) = post(
            gateway,
            &format!("/v1/sessions/{session}/redactions"),
            &hides(&events),
        )
        .await;
        assert_eq!(status, 404);
    }
    let left = dump(&cluster).await;
    assert!(!left.contains(SECRET), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redaction_that_names_nothing_or_says_nothing_is_refused() {
    let cluster = Cluster::create(1).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let events = leaky(&session);
    gateway.send(&events).await;
    cluster.wait_for_rows(&session, 5).await;
    let id = &events[1]["id"];
    let path = format!("/v1/sessions/{session}/redactions");
    for (body, code) in [
        (json!({"events": []}), "invalid_field"),
        (
            json!({"events": [{"event": uuid::Uuid::now_v7()}]}),
            "invalid_field",
        ),
        (
            json!({"events": [{"event": id, "field": "content"}]}),
            "invalid_field",
        ),
        (
            json!({"events": [{"event": id, "spans": [[0, 1]]}]}),
            "invalid_field",
        ),
        (
            json!({"events": [{"event": id, "field": "/content", "spans": [[2, 1]]}]}),
            "invalid_field",
        ),
        (
            json!({"events": [{"event": id}], "pattern": SECRET}),
            "invalid_json",
        ),
        (
            json!({"events": [{"event": id}], "reason": "a\u{7}"}),
            "invalid_field",
        ),
    ] {
        let (status, problem) = post(&gateway, &path, &body).await;
        assert_eq!(problem["code"], code, "{status} {problem}");
        assert!(!problem.to_string().contains(SECRET), "{problem}");
    }
    assert_eq!(cluster.rows(&session).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_redacted_while_it_waits_to_be_shown_is_not_shown() {
    let recorded = crate::playback::recorded(20).await;
    let session = &recorded.session;
    let mut viewer = recorded.viewer(json!({"speed": 2})).await;
    // The page with the twelfth event is read by now, and due in five seconds.
    viewer.frame_of("events").await;
    let body =
        json!({"reason": "a password", "events": [{"event": recorded.transcript[11], "field": "/content"}]});
    let path = format!("/v1/sessions/{session}/redactions");
    let (status, answer) = post(&recorded.gateway, &path, &body).await;
    assert!(status < 300, "{status} {answer}");
    viewer.say(json!({"op": "ping", "id": "redacted"})).await;
    while viewer.frame().await["id"] != "redacted" {}
    viewer.say(json!({"op": "speed", "speed": 16})).await;
    let mut shown = String::new();
    while !shown.contains(&recorded.transcript[15]) {
        shown.push_str(&viewer.frame_of("events").await.to_string());
    }
    assert!(shown.contains(&recorded.transcript[11]), "{shown}");
    assert!(!shown.contains("step 12\""), "{shown}");
    viewer
        .say(json!({"op": "seek", "to": {"position": 15}, "id": 1}))
        .await;
    let state = viewer.frame_of("state").await["thoughts"].to_string();
    assert!(
        state.contains("step 13\"") && !state.contains("step 12\""),
        "{state}"
    );
}
