//! Rebuilding on real servers: the rows are what the log says, whatever became of them, while it is written.

#![expect(clippy::unwrap_used, reason = "the lint knows tests, not their helpers")]

mod support;

use kulti_consumers::replay::rebuild::{RebuildContext, RebuildProgress, RebuildReport, rebuild};
use kulti_schemas::{Event, SessionId, Source};
use kulti_test_support::{event, wait_until};
use serde_json::json;
use support::World;

fn session(name: &str, events: usize) -> Vec<Event> {
    let mut session = vec![event(name).started("a task")];
    session.extend((0..events).map(|number| match number % 3 {
        0 => event(name).kind("usage", json!({"model": "m", "input": number, "cost_usd": 0.25})),
        1 => event(name).thought(&format!("thought {number}")),
        _ => event(name).output(&format!("line {number}\n")),
    }));
    session
}

/// Sessions of every sort, and what viewers and admins did to them.
fn log() -> Vec<Event> {
    let mut log: Vec<Event> = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .flat_map(|name| session(name, 40))
        .collect();
    let redacted = log.iter().find(|event| event.kind.name() == "thought").unwrap();
    let target = json!({"event": redacted.meta.event_id.to_string(), "field": "/content"});
    let name = redacted.meta.session_id.as_str().to_owned();
    let viewer = |name: &str| event(name).source(Source::Viewer);
    log.push(viewer(&name).kind("redaction", json!({"events": [target]})));
    log.push(viewer("f").kind("session.erased", json!({})));
    log.push(event("f").thought("too late"));
    log.push(event("b").ended("completed"));
    log
}

async fn dump(world: &World) -> Vec<String> {
    let mut rows = Vec::new();
    for table in ["events", "sessions", "erased_sessions", "awaited_redactions"] {
        // How far the sealer has come is not of the log.
        let statement = format!(
            "select '{table} ' || (to_jsonb(t) - 'seal_at' - 'fold_version')::text from {table} t order by 1"
        );
        let texts: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
        rows.extend(texts);
    }
    rows
}

async fn run(world: &World, session: Option<&str>) -> RebuildReport {
    let session = session.map(|id| SessionId::parse(id).unwrap());
    rebuild(&context(world), session.as_ref(), |_| ()).await.unwrap()
}

fn partition_of(progress: RebuildProgress) -> Option<i32> {
    match progress {
        RebuildProgress::Log { partition, .. } => Some(partition),
        RebuildProgress::Segments { .. } => None,
    }
}

fn context(world: &World) -> RebuildContext {
    RebuildContext {
        kafka: world.topics.config.clone(),
        pool: world.database.pool.clone(),
    }
}

async fn execute(world: &World, statement: &'static str) {
    let done = sqlx::query(statement)
        .execute(&world.database.pool)
        .await
        .unwrap();
    assert!(done.rows_affected() > 0, "{statement}");
}

async fn projected(world: &World, records: usize) {
    wait_until("all is projected", async || {
        let offsets: i64 =
            sqlx::query_scalar("select coalesce(sum(next_offset), 0)::bigint from projection_partitions")
                .fetch_one(&world.database.pool)
                .await
                .unwrap();
        offsets == records as i64
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_the_same_rows_and_mends_those_that_are_others() {
    let world = World::with_partitions(3).await;
    let runner = world.start();
    let events = log();
    world.topics.write(&events).await;
    projected(&world, events.len()).await;
    let before = dump(&world).await;
    let report = run(&world, None).await;
    assert_eq!(
        (report.sessions, report.mended, report.not_in_log),
        (5, vec![], vec![])
    );
    assert_eq!(dump(&world).await, before);

    execute(
        &world,
        "update events set data = '{\"content\": \"forged\"}' where session_id = 'a' and position = 3",
    )
    .await;
    execute(
        &world,
        "delete from events where session_id = 'b' and position in (5, 41)",
    )
    .await;
    execute(
        &world,
        "update events set kind = 'unreadable' where session_id = 'c' and position = 7",
    )
    .await;
    execute(
        &world,
        "update sessions set title = 'forged', tokens = 1 where id = 'd'",
    )
    .await;
    execute(&world, "delete from events where session_id = 'e'").await;
    execute(&world, "delete from sessions where id = 'e'").await;
    execute(&world, "delete from erased_sessions").await;
    execute(&world, "insert into sessions select (jsonb_populate_record(s, '{\"id\": \"f\"}')).* from sessions s where id = 'a'").await;
    execute(&world, "update sessions f set partition = e.partition from (select partition from sessions) e where f.id = 'f'").await;
    let one = run(&world, Some("a")).await;
    assert_eq!(one.mended, [("a".to_owned(), 1)]);
    let report = run(&world, None).await;
    let mended: Vec<&str> = report
        .mended
        .iter()
        .map(|(session, _)| session.as_str())
        .collect();
    assert_eq!(mended.len(), 5, "{mended:?}");
    assert_eq!(dump(&world).await, before);
    // Replay goes on from what is there now.
    world
        .topics
        .write(&[event("e").kind("usage", json!({"model": "m", "input": 1}))])
        .await;
    projected(&world, events.len() + 1).await;
    assert_eq!(run(&world, None).await.mended, []);
    assert!(runner.problem().is_none(), "{:?}", runner.problem());
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_while_events_come_changes_nothing_that_is_right() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    let events = session("s", 500);
    world.topics.write(&events).await;
    projected(&world, events.len()).await;
    execute(
        &world,
        "update events set data = '{\"content\": \"forged\"}' where position = 3",
    )
    .await;
    let more: Vec<Vec<Event>> = (0..20).map(|_| session("s", 30)[1..].to_vec()).collect();
    let writing = async {
        for part in &more {
            world.topics.write(part).await;
        }
    };
    let (report, ()) = tokio::join!(run(&world, None), writing);
    assert_eq!(report.mended, [("s".to_owned(), 1)]);
    let all = events.len() + 20 * 30;
    projected(&world, all).await;
    let expected: Vec<(i64, uuid::Uuid)> = (1..)
        .zip(
            events
                .iter()
                .chain(more.iter().flatten())
                .map(|event| event.meta.event_id.uuid()),
        )
        .collect();
    assert_eq!(world.transcript("s").await, expected);
    assert_eq!(run(&world, None).await.mended, []);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_was_broken_off_goes_on_where_it_was() {
    let world = World::with_partitions(4).await;
    let runner = world.start();
    let events = log();
    world.topics.write(&events).await;
    projected(&world, events.len()).await;
    let context = context(&world);
    let told = std::sync::Mutex::new(Vec::new());
    let begun = rebuild(&context, None, |progress| {
        told.lock().unwrap().extend(partition_of(progress))
    });
    tokio::select! {
        biased;
        () = wait_until("a partition is read", async || !told.lock().unwrap().is_empty()) => {}
        _ = begun => {}
    }
    let first = told.lock().unwrap().clone();
    let second = std::sync::Mutex::new(Vec::new());
    wait_until("the broken one has let go", async || {
        second.lock().unwrap().clear();
        let again = rebuild(&context, None, |progress| {
            second.lock().unwrap().extend(partition_of(progress));
        });
        again.await.is_ok()
    })
    .await;
    let second = second.into_inner().unwrap();
    if first.len() < 3 {
        assert!(
            second.iter().all(|partition| !first.contains(partition)),
            "{first:?} {second:?}"
        );
    }
    let left: i64 =
        sqlx::query_scalar("select count(*) from pg_namespace where nspname like 'kulti_rebuild%'")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    assert_eq!(left, 0);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_no_longer_has_stays_as_it_is() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    world.topics.write(&session("s", 5)).await;
    projected(&world, 6).await;
    execute(
        &world,
        "insert into events (session_id, position, event_id, agent_id, kind, source, time, received, clock, data)
         select session_id, 7, '01a1fb99-70d8-7778-bc66-4c9df322dc39', agent_id, kind, source, time, received, clock,
             data from events where position = 6",
    )
    .await;
    execute(&world, "update sessions set position = 7").await;
    execute(&world, "update events set data = '{}' where position = 2").await;
    let before = dump(&world).await;
    assert_eq!(run(&world, None).await.not_in_log, ["s"]);
    assert_eq!(dump(&world).await, before);
    runner.stop().await;
}
