//! What was redacted or erased is in no segment, no keyframe, no stored file and no export of a sealed session.

use kulti_consumers::segments::seal_session;
use kulti_schemas::{Event, Source};
use kulti_tables::segments::SegmentText;
use kulti_test_support::{event, wait_until};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Gateway};
use crate::producer::{session_id, work};
use crate::viewer::Viewer;

const SECRET: &str = "hunter2-the-password";

/// Where the secret is said: kind, data, and the field that has it.
fn leaks(session: &str) -> Vec<(Event, &'static str)> {
    let file =
        json!({"path": "src/secret.rs", "action": "create", "content": format!("one\n{SECRET}\nthree\n")});
    let plan = json!({"title": "t", "plan": [{"text": format!("use {SECRET}"), "state": "doing"}]});
    let call = json!({"call": "c", "name": "sh", "input": {"env": [SECRET]}});
    let said = json!({"message": "m", "role": "assistant", "content": format!("it is {SECRET}")});
    vec![
        (event(session).kind("code.changed", file), "/content"),
        (event(session).kind("progress", plan), "/plan/0/text"),
        (event(session).kind("tool.started", call), "/input/env/0"),
        (event(session).kind("message.completed", said), "/content"),
        (event(session).thought(&format!("it is {SECRET}.")), "/content"),
        (event(session).output(&format!("$ echo {SECRET}\r\n")), "/text"),
        (
            event(session)
                .source(Source::Viewer)
                .kind("chat", json!({"text": SECRET})),
            "/text",
        ),
    ]
}

/// Everything that Postgres has, as text; what is packed, unpacked.
async fn dump(cluster: &Cluster) -> String {
    let tables: Vec<(String, Vec<String>)> = sqlx::query_as(
        "select format('%I.%I', n.nspname, c.relname),
             array(select quote_ident(attname) from pg_attribute where attrelid = c.oid and atttypid = 'bytea'::regtype)
         from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
             and c.relkind in ('r', 'p', 'm') and not c.relispartition order by 1",
    )
    .fetch_all(&cluster.database.pool)
    .await
    .expect("tables");
    assert!(tables.iter().any(|(table, _)| table == "public.segments"));
    let mut text = String::new();
    for (table, packed) in tables {
        let statement = sqlx::AssertSqlSafe(format!("select t::text from {table} t"));
        let rows: Vec<String> = sqlx::query_scalar(statement)
            .fetch_all(&cluster.database.pool)
            .await
            .expect("rows");
        text.extend(rows);
        for column in packed {
            let statement =
                sqlx::AssertSqlSafe(format!("select {column} from {table} where {column} is not null"));
            let values: Vec<Vec<u8>> = sqlx::query_scalar(statement)
                .fetch_all(&cluster.database.pool)
                .await
                .expect("values");
            for value in values {
                match SegmentText::unpack(&value) {
                    Ok(unpacked) => {
                        text.push_str(unpacked.keyframe());
                        text.extend(unpacked.events());
                    }
                    Err(_) => text.push_str(&String::from_utf8_lossy(&value)),
                }
            }
        }
    }
    text
}

async fn get(gateway: &Gateway, path: &str) -> (u16, String) {
    let answer = gateway.client.get(gateway.url(path)).send().await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Paths below a session that tell what was said in it, then and now.
fn paths(events: usize) -> Vec<String> {
    let mut paths: Vec<String> = [
        "/markers",
        "/outline",
        "/chat",
        "/cost",
        "/segments",
        "/export?format=ndjson",
        "/export?format=markdown",
        "/export?format=asciicast",
        "/export?format=parquet",
    ]
    .map(str::to_owned)
    .into();
    for at in [20, events / 2, events] {
        for path in ["/state", "/screen", "/files", "/files/src%2Fsecret.rs"] {
            paths.push(format!("{path}?at={at}"));
        }
        paths.push(format!("/events?after={at}&limit=1000"));
    }
    paths
}

/// What all of them say, all segments, and all frames from the start.
async fn told(gateway: &Gateway, session: &str, events: usize) -> Vec<(String, String)> {
    let below = format!("/v1/sessions/{session}");
    let mut told = vec![(String::new(), get(gateway, &below).await.1)];
    for path in paths(events) {
        let (status, text) = get(gateway, &format!("{below}{path}")).await;
        assert_eq!(status, 200, "{path}: {text}");
        told.push((path, text));
    }
    let (_, page) = get(gateway, &format!("{below}/segments")).await;
    let page: Value = serde_json::from_str(&page).expect("JSON");
    for item in page["items"].as_array().expect("segments") {
        let url = item["url"].as_str().expect("a URL");
        told.push((url.to_owned(), get(gateway, url).await.1));
    }
    let mut viewer = Viewer::watch(gateway.address, session, json!("start")).await;
    let mut frames = String::new();
    while !frames.contains("\"caught_up\"") {
        frames.push_str(&viewer.frame().await.to_string());
    }
    told.push(("frames".to_owned(), frames));
    told
}

fn telling(told: &[(String, String)]) -> Vec<&str> {
    let with_secret = told.iter().filter(|(_, text)| text.contains(SECRET));
    with_secret.map(|(path, _)| path.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_redacted_or_erased_is_in_nothing_that_was_folded_from_it() {
    let cluster = Cluster::create(1).await;
    let (one, two) = (cluster.gateway().await, cluster.gateway().await);
    let _replay = cluster.replay();
    one.ready().await;
    two.ready().await;
    let session = session_id();
    let leaks = leaks(&session);
    let mut events = work(&session, 1_200);
    for (number, (event, _)) in leaks.iter().enumerate() {
        events.insert(10 + number, event.clone());
    }
    let count = events.len();
    cluster.topics.write(&events).await;
    cluster.wait_for_rows(&session, count as i64).await;
    let sealed = seal_session(&cluster.database.pool, &session)
        .await
        .expect("sealed");
    assert!(sealed.segments >= 2, "{sealed:?}");
    let before = dump(&cluster).await;
    assert!(
        before.matches(SECRET).count() > 2 * leaks.len(),
        "rows and segments have it"
    );
    for gateway in [&one, &two] {
        assert!(telling(&told(gateway, &session, count).await).len() > 5);
    }

    let named: Vec<Value> = leaks
        .iter()
        .map(|(event, field)| json!({"event": event.meta.event_id.to_string(), "field": field}))
        .collect();
    let answer = two
        .client
        .post(two.url(&format!("/v1/sessions/{session}/redactions")))
        .json(&json!({"events": named}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    for sealed_again in [false, true] {
        if sealed_again {
            let again = seal_session(&cluster.database.pool, &session)
                .await
                .expect("sealed");
            assert_eq!(again.segments, sealed.segments);
        }
        assert!(
            !dump(&cluster).await.contains(SECRET),
            "sealed again: {sealed_again}"
        );
        for gateway in [&one, &two] {
            let told = told(gateway, &session, count).await;
            assert!(telling(&told).is_empty(), "{:?}", telling(&told));
        }
    }

    let erased = one.client.delete(one.url(&format!("/v1/sessions/{session}")));
    assert_eq!(erased.send().await.expect("an answer").status(), 200);
    for gateway in [&one, &two] {
        wait_until("the gateway has heard of it", async || {
            get(gateway, &format!("/v1/sessions/{session}")).await.0 == 404
        })
        .await;
        for path in paths(count) {
            let (status, text) = get(gateway, &format!("/v1/sessions/{session}{path}")).await;
            assert_eq!(status, 404, "{path}: {text}");
        }
    }
    for table in ["segments", "file_contents", "events", "awaited_redactions"] {
        let statement = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        let left: i64 = sqlx::query_scalar(statement)
            .fetch_one(&cluster.database.pool)
            .await
            .expect("a count");
        assert_eq!(left, 0, "{table}");
    }
}
