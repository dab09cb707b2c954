//! A session as it was: state, screen, files and segments, on real rows.

use kulti_consumers::segments::seal_session;
use kulti_gateway::control::Scope;
use kulti_gateway::store::events_page;
use kulti_schemas::{PositionedEvent, SessionId};
use kulti_session::workspace::EventTexts;
use kulti_session::{Keyframe, Workspace};
use reqwest::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Gateway, body, gateway, problem, public_gateway, send};

/// Kind and data of a session that edits, prints, thinks and spends.
fn event_at(number: i64) -> (&'static str, Value) {
    match number % 7 {
        _ if number == 1 => ("session.started", json!({"task": "a task", "title": "first"})),
        0 => (
            "thought",
            json!({"content": format!("thought {number} about what to do next")}),
        ),
        1 => (
            "code.changed",
            json!({"path": format!("src/{}.rs", number % 5), "action": "create", "content": format!("one\n{number}\n")}),
        ),
        2 => (
            "code.changed",
            json!({"path": format!("src/{}.rs", (number - 1) % 5), "action": "edit",
                "patch": format!("@@ -1,2 +1,2 @@\n one\n-{}\n+{number} edited\n", number - 1)}),
        ),
        3 => ("usage", json!({"model": "m", "input": number, "cost_usd": 0.25})),
        4 => (
            "message.completed",
            json!({"message": format!("m{number}"), "role": "assistant", "content": "done"}),
        ),
        _ => (
            "terminal.output",
            json!({"text": format!("\u{1b}[3{}mline {number}\u{1b}[0m of a long build\r\n", number % 8)}),
        ),
    }
}

async fn session(gateway: &Gateway, id: &str, visibility: Option<&str>, count: i64) {
    gateway.insert_session(id, visibility).await;
    let (kinds, data): (Vec<&str>, Vec<Value>) = (1..=count).map(event_at).unzip();
    sqlx::query(
        "insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
         select $1, n, id, 'nex', kind, 'agent', c, c, c, data
         from (select n, id, kind, data, timestamptz '2026-01-31T12:00:00Z' + make_interval(secs => n) as c
               from unnest($2::uuid[], $3::text[], $4::json[]) with ordinality as given (id, kind, data, n)) as events",
    )
    .bind(id)
    .bind((0..count).map(|_| uuid::Uuid::now_v7()).collect::<Vec<_>>())
    .bind(kinds)
    .bind(data)
    .execute(&gateway.database.pool)
    .await
    .expect("events");
    sqlx::query("update sessions s set position = $2, clock = e.clock from events e where id = $1 and session_id = id and e.position = $2")
        .bind(id)
        .bind(count)
        .execute(&gateway.database.pool)
        .await
        .expect("the session");
}

async fn seal(gateway: &Gateway, id: &str) -> u64 {
    let sealed = seal_session(&gateway.database.pool, id).await.expect("sealed");
    sealed.segments
}

async fn rows(gateway: &Gateway, id: &str) -> Vec<PositionedEvent> {
    let id = SessionId::parse(id).expect("an id");
    let page = events_page(&gateway.database.pool, &id, 0, 1_000_000, usize::MAX);
    page.await.expect("rows")
}

async fn text(gateway: &Gateway, path: &str) -> String {
    let answer = send(gateway.get(path)).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("a text")
}

async fn json_of(gateway: &Gateway, path: &str) -> Value {
    serde_json::from_str(&text(gateway, path).await).expect("JSON")
}

#[tokio::test]
async fn the_state_at_any_position_is_the_fold_from_the_start() {
    let gateway = gateway().await;
    session(&gateway, "s", None, 2_400).await;
    // In the first segment, on both sides of every segment's end, within, in the open one, and beyond.
    let mut positions = vec![0, 1, 2, 255, 256, 257, 2_399, 2_400];
    assert!(seal(&gateway, "s").await >= 4);
    let segments = json_of(&gateway, "/v1/sessions/s/segments").await;
    for segment in segments["items"].as_array().expect("items") {
        let (from, to) = (
            segment["from"].as_i64().expect("from"),
            segment["to"].as_i64().expect("to"),
        );
        positions.extend([from, (from + to) / 2, to, to + 1]);
    }
    positions.sort_unstable();
    positions.dedup();
    let rows = rows(&gateway, "s").await;
    let mut workspace = Workspace::new();
    let mut events = rows.iter();
    for position in positions {
        while workspace.position() < position {
            let event = events.next().expect("an event");
            let texts = EventTexts::of(event);
            workspace.apply(&texts.event(event));
        }
        let state = text(&gateway, &format!("/v1/sessions/s/state?at={position}")).await;
        assert_eq!(state, workspace.keyframe().to_json(), "at {position}");
        assert!(state.len() <= 256_000);
        let screen = json_of(&gateway, &format!("/v1/sessions/s/screen?at={position}")).await;
        match workspace.screen(None) {
            Some(expected) => assert_eq!(
                screen["lines"],
                serde_json::to_value(&expected.lines).expect("JSON")
            ),
            None => assert_eq!(screen["terminal"], Value::Null),
        }
        let files = json_of(&gateway, &format!("/v1/sessions/s/files?at={position}")).await;
        for file in workspace.files() {
            let path = format!("/v1/sessions/s/files/{}?at={position}", file.path);
            // The first edit is of a file that was never shown.
            let Some(hash) = file.sha256.as_deref() else {
                let code = problem(send(gateway.get(&path)).await).await.1;
                assert_eq!(code, "content_unknown");
                continue;
            };
            let content = workspace.content(hash).expect("a content").to_string();
            assert_eq!(text(&gateway, &path).await, content, "{path}");
            assert!(
                files["items"]
                    .as_array()
                    .expect("items")
                    .iter()
                    .any(|item| item["sha256"] == hash)
            );
        }
    }
}

#[tokio::test]
async fn a_seek_reads_one_segment_however_long_the_session_is() {
    let gateway = gateway().await;
    session(&gateway, "s", None, 6_000).await;
    seal(&gateway, "s").await;
    let segments = json_of(&gateway, "/v1/sessions/s/segments?limit=1000").await;
    let longest = segments["items"].as_array().expect("items").iter();
    let longest =
        longest.map(|item| item["to"].as_i64().expect("to") - item["from"].as_i64().expect("from") + 1);
    let longest = longest.max().expect("segments");
    let counters = async || {
        let metrics = text(&gateway, "/metrics").await;
        let value = |name: &str| -> i64 {
            let line = metrics
                .lines()
                .find(|line| line.starts_with(name))
                .expect("a metric");
            line.rsplit(' ')
                .next()
                .and_then(|value| value.parse().ok())
                .expect("a number")
        };
        (
            value("kulti_gateway_segments_read_total "),
            value("kulti_gateway_events_folded_total "),
        )
    };
    for position in [40, 700, 2_999, 4_300, 5_400, 5_990] {
        let before = counters().await;
        // All panels of one link.
        for panel in ["state", "screen", "files", "cost"] {
            text(&gateway, &format!("/v1/sessions/s/{panel}?at={position}")).await;
        }
        let after = counters().await;
        assert!(after.0 - before.0 <= 1, "segments at {position}");
        assert!(after.1 - before.1 <= longest, "events at {position}");
    }
}

#[tokio::test]
async fn panels_of_one_moment_agree() {
    let gateway = gateway().await;
    session(&gateway, "s", None, 1_000).await;
    seal(&gateway, "s").await;
    for at in ["90s", "777", "2026-01-31T12:05:00Z", "live"] {
        let state = json_of(&gateway, &format!("/v1/sessions/s/state?at={at}")).await;
        let position = state["position"].as_i64().expect("a position");
        for panel in ["screen", "files", "cost"] {
            let panel = json_of(&gateway, &format!("/v1/sessions/s/{panel}?at={at}")).await;
            assert_eq!(panel["position"], position, "{at}");
            assert_eq!(panel["time"], state["time"], "{at}");
        }
        let session = json_of(&gateway, &format!("/v1/sessions/s?at={at}")).await;
        // Of live, the session's row tells, which these tests do not write.
        if at != "live" {
            assert_eq!(session["title"], state["title"], "{at}");
            assert_eq!(session["tokens"], state["tokens"], "{at}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_or_was_never_told_says_so() {
    let gateway = gateway().await;
    gateway.insert_session("s", None).await;
    let changed = |position, data| gateway.insert_event("s", position, "code.changed", data);
    changed(
        1,
        json!({"path": "/abs/ä b.rs", "action": "create", "content": "<script>alert(1)</script>"}),
    )
    .await;
    changed(
        2,
        json!({"path": "seen.rs", "action": "edit", "patch": "@@ -1 +1 @@\n-a\n+b\n"}),
    )
    .await;
    changed(3, json!({"path": "/abs/ä b.rs", "action": "delete"})).await;
    let path = "/v1/sessions/s/files//abs/%C3%A4%20b.rs";
    let answer = send(gateway.get(&format!("{path}?at=2"))).await;
    assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    assert!(
        answer.headers()["content-security-policy"]
            .to_str()
            .expect("text")
            .contains("sandbox")
    );
    assert_eq!(answer.headers()["kulti-position"], "2");
    assert_eq!(answer.text().await.expect("a text"), "<script>alert(1)</script>");
    for (path, code) in [
        (path.to_owned(), "not_found"),
        ("/v1/sessions/s/files/seen.rs".to_owned(), "content_unknown"),
        ("/v1/sessions/s/files/never.rs".to_owned(), "not_found"),
        ("/v1/sessions/t/files/seen.rs".to_owned(), "not_found"),
        ("/v1/sessions/s/screen?terminal=none".to_owned(), "not_found"),
    ] {
        assert_eq!(
            problem(send(gateway.get(&path)).await).await,
            (404, code.to_owned()),
            "{path}"
        );
    }
    let answer = send(gateway.get("/v1/sessions/s/state?at=soon")).await;
    assert_eq!(problem(answer).await, (400, "invalid_parameter".to_owned()));
}

#[tokio::test]
async fn a_segment_is_the_keyframe_and_the_events_packed_or_not() {
    let gateway = gateway().await;
    session(&gateway, "s", Some("public"), 1_500).await;
    seal(&gateway, "s").await;
    let first = json_of(&gateway, "/v1/sessions/s/segments?limit=1").await;
    assert!(first["next"].is_string());
    let mut next = 1;
    let mut cursor = String::new();
    loop {
        let page = json_of(
            &gateway,
            &format!("/v1/sessions/s/segments?limit=2&cursor={cursor}"),
        )
        .await;
        for segment in page["items"].as_array().expect("items") {
            assert_eq!(segment["from"], next);
            let url = segment["url"].as_str().expect("a url");
            let plain = text(&gateway, url).await;
            let hash: String = Sha256::digest(&plain)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(segment["sha256"], hash);
            assert_eq!(segment["bytes"], plain.len());
            let packed = send(gateway.get(url).header(ACCEPT_ENCODING, "gzip, zstd;q=0.9")).await;
            assert_eq!(packed.headers()[CONTENT_ENCODING], "zstd");
            assert_eq!(packed.headers()[CACHE_CONTROL], "public, max-age=300");
            let etag = packed.headers()[ETAG].clone();
            let packed = packed.bytes().await.expect("bytes");
            assert!(packed.len() * 2 < plain.len());
            assert_eq!(zstd::decode_all(packed.as_ref()).expect("zstd"), plain.as_bytes());
            let known = send(gateway.get(url).header(IF_NONE_MATCH, etag)).await;
            assert_eq!(known.status(), 304);
            let (keyframe, events) = plain.split_once('\n').expect("lines");
            let keyframe = Keyframe::from_json(keyframe).expect("JSON").expect("this fold");
            assert_eq!(keyframe.now.position, next - 1);
            let to = segment["to"].as_i64().expect("to");
            assert_eq!(events.lines().count() as i64, to - next + 1);
            next = to + 1;
        }
        match page["next"].as_str() {
            Some(after) => cursor = after.to_owned(),
            None => break,
        }
    }
    assert!(next > 500);
    for missing in ["0".repeat(64), "x".to_owned()] {
        let answer = send(gateway.get(&format!("/v1/sessions/s/segments/{missing}"))).await;
        assert_eq!(problem(answer).await.0, 404);
    }
}

#[tokio::test]
async fn segments_of_private_sessions_are_for_their_readers_and_for_no_cache() {
    let gateway = public_gateway().await;
    let key = gateway.key(&[Scope::Admin], None).await;
    session(&gateway, "s", Some("private"), 600).await;
    assert!(seal(&gateway, "s").await > 0);
    let page = body(send(gateway.get("/v1/sessions/s/segments").bearer_auth(&key)).await).await;
    let url = page["items"][0]["url"].as_str().expect("a url").to_owned();
    let answer = send(gateway.get(&url).bearer_auth(&key)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-store");
    for path in [
        url.as_str(),
        "/v1/sessions/s/segments",
        "/v1/sessions/s/state",
        "/v1/sessions/s/screen",
        "/v1/sessions/s/files",
    ] {
        assert_eq!(problem(send(gateway.get(path)).await).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn what_was_folded_before_rows_changed_is_not_shown_any_more() {
    let gateway = gateway().await;
    session(&gateway, "s", None, 1_200).await;
    seal(&gateway, "s").await;
    let before = text(&gateway, "/v1/sessions/s/state?at=900").await;
    assert!(before.contains("thought 686 about"));
    let segments = json_of(&gateway, "/v1/sessions/s/segments").await;
    let holder = segments["items"].as_array().expect("items").iter();
    let holder = holder
        .filter(|item| item["to"].as_i64() >= Some(686))
        .map(|item| item["url"].clone());
    let urls: Vec<String> = holder
        .map(|url| url.as_str().expect("a url").to_owned())
        .collect();
    assert!(!urls.is_empty());
    let id = SessionId::parse("s").expect("an id");
    let mut transaction = gateway.database.pool.begin().await.expect("a transaction");
    sqlx::query("update events set data = '{\"content\": \"-\"}' where position = 686")
        .execute(&mut *transaction)
        .await
        .expect("redacted");
    kulti_consumers::segments::unseal(&mut transaction, &id, 686)
        .await
        .expect("unsealed");
    transaction.commit().await.expect("committed");
    for sealed_again in [false, true] {
        if sealed_again {
            assert!(seal(&gateway, "s").await > 0);
        }
        let after = text(&gateway, "/v1/sessions/s/state?at=900").await;
        assert!(!after.contains("thought 686 about"));
        assert!(after.contains("thought 693 about"));
    }
    for url in urls {
        assert_eq!(problem(send(gateway.get(&url)).await).await.0, 404);
    }
}
