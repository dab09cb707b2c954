//! Redactions and erasures on real servers: what is hidden is in no table, whatever the order and the batches.

#![expect(clippy::unwrap_used, reason = "the lint knows tests, not their helpers")]

mod support;

use kulti_pipeline::RunnerOptions;
use kulti_schemas::{Event, EventId, Source};
use kulti_test_support::{event, wait_until};
use serde_json::{Value, json};
use support::World;

const SECRET: &str = "hunter2";

fn redaction(session: &str, events: Value) -> Event {
    event(session)
        .source(Source::Viewer)
        .kind("redaction", json!({"events": events}))
}

fn id(event: &Event) -> String {
    event.meta.event_id.to_string()
}

/// A session that says the secret everywhere, and what hides it.
fn leaky(session: &str) -> (Vec<Event>, Vec<Event>) {
    let started = event(session).kind(
        "session.started",
        json!({"task": "t", "title": format!("with {SECRET}"), "visibility": "private"}),
    );
    let mut thought = event(session).thought(&format!("it is {SECRET}, they say"));
    thought.raw = Some(format!("raw {SECRET}"));
    thought
        .meta
        .attributes
        .insert("note".to_owned(), SECRET.to_owned());
    let tool = event(session).kind(
        "tool.started",
        json!({"call": "c", "name": "sh", "input": {"env": {"KEY": SECRET}}}),
    );
    let usage = event(session).kind("usage", json!({"model": SECRET, "input": 10, "cost_usd": 0.5}));
    // "say hunter2"
    let bytes = event(session).kind("terminal.output", json!({"base64": "c2F5IGh1bnRlcjI="}));
    let status = event(session).kind("status.changed", json!({"status": "working"}));
    let hiding = vec![
        redaction(
            session,
            json!([{"event": id(&started), "field": "/title", "spans": [[5, 12]]}, {"event": id(&usage)}]),
        ),
        redaction(
            session,
            json!([{"event": id(&thought), "field": "/content", "spans": [[6, 13]]},
                {"event": id(&tool), "field": "/input/env/KEY"}, {"event": id(&bytes), "field": "/base64", "spans": [[4, 11]]},
                {"event": EventId::generate().to_string(), "field": "/text"}]),
        ),
    ];
    (vec![started, thought, tool, usage, bytes, status], hiding)
}

/// Every row of every read model, as text.
async fn dump(world: &World) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
             and c.relname not in ('projection_partitions', '_sqlx_migrations') order by 1",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    let mut rows = Vec::new();
    for table in tables {
        let statement = format!("select '{table} ' || t::text from {table} t order by 1");
        let texts: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
        rows.extend(texts);
    }
    rows
}

fn assert_hidden(rows: &[String]) {
    for row in rows {
        for secret in [SECRET, "aHVudGVyMg", "c2F5IGh1bnRlcjI"] {
            assert!(!row.contains(secret), "{row}");
        }
    }
}

async fn projected(events: &[Event], batch_records: usize) -> Vec<String> {
    let world = World::with_partitions(1).await;
    world.topics.write(events).await;
    let options = RunnerOptions {
        batch_records,
        ..RunnerOptions::default()
    };
    let runner = world.start_on(world.database.pool.clone(), options);
    wait_until("all is projected", async || {
        world.partition_row(0).await.2 == events.len() as i64
    })
    .await;
    runner.stop().await;
    // How often rows changed, and when the sealer looks again, may differ: no reader is told of either.
    sqlx::query("update sessions set seal_at = 0, fold_version = 0")
        .execute(&world.database.pool)
        .await
        .unwrap();
    dump(&world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redacted_is_in_no_table_and_positions_stay() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    let (events, hiding) = leaky("s");
    world.topics.write(&events).await;
    world.wait_for_events(6).await;
    let before = world.transcript("s").await;
    world.topics.write(&hiding).await;
    world.wait_for_events(8).await;
    assert_hidden(&dump(&world).await);
    assert_eq!(world.transcript("s").await[..6], before);
    let (title, visibility, status, tokens, cost): (String, String, String, i64, f64) =
        sqlx::query_as("select title, visibility, status, tokens, cost_usd from sessions")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(
        (title.as_str(), visibility.as_str(), status.as_str(), tokens, cost),
        ("with ███████", "private", "working", 10, 0.5)
    );
    // Goes on from what is left.
    world
        .topics
        .write(&[event("s").kind("usage", json!({"model": "m", "input": 5}))])
        .await;
    world.wait_for_events(9).await;
    let tokens: i64 = sqlx::query_scalar("select tokens from sessions")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(tokens, 15);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_the_same_whatever_the_batches_are() {
    let (events, hiding) = leaky("s");
    let (others, _) = leaky("another");
    // Named before they come, after, and by a session that they do not belong to.
    let foreign = redaction("another", json!([{"event": id(&events[5])}]));
    let log: Vec<Event> = [
        &events[..2],
        &hiding[..],
        &[foreign],
        &events[2..],
        &others[..1],
        &hiding[..1],
        &events[..1],
    ]
    .concat();
    let (whole, single, pairs) = tokio::join!(projected(&log, 5_000), projected(&log, 1), projected(&log, 2));
    let of_session: Vec<String> = whole.iter().filter(|row| row.contains("(s,")).cloned().collect();
    assert_hidden(&of_session);
    assert_eq!(whole, single);
    assert_eq!(whole, pairs);
    assert!(
        whole.iter().any(|row| row.contains("working")),
        "not by another session"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_session_has_no_row_and_gets_none() {
    let (events, hiding) = leaky("s");
    let erased = event("s")
        .source(Source::Viewer)
        .kind("session.erased", json!({"reason": "asked for"}));
    let log = [
        &events[..],
        &hiding[..],
        std::slice::from_ref(&erased),
        &events[..2],
        &[
            event("s").thought("later"),
            erased.clone(),
            event("other").thought("stays"),
        ],
    ]
    .concat();
    let (whole, single) = tokio::join!(projected(&log, 5_000), projected(&log, 1));
    assert_eq!(whole, single);
    let left: Vec<&String> = whole.iter().filter(|row| row.contains("(s,")).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with("erased_sessions (s,0,"), "{left:?}");
    assert!(whole.iter().any(|row| row.starts_with("events (other,1,")));
}
