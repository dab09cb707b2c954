//! The replay projection on real servers: what is an event, where, and once.

#![expect(clippy::unwrap_used, reason = "the lint knows tests, not their helpers")]

mod support;

use std::time::Duration;

use kulti_pipeline::{DeadLetterHeaders, OutRecord};
use kulti_schemas::{Event, EventId, Source, Timestamp, encode_record};
use kulti_test_support::{event, wait_until, wait_until_some};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use support::World;
use uuid::Uuid;

fn record(event: &Event) -> OutRecord {
    OutRecord {
        key: event.meta.session_id.as_str().as_bytes().to_vec(),
        value: encode_record(event).expect("an event that can be written"),
        headers: Vec::new(),
    }
}

fn ids(events: &[Event]) -> Vec<(i64, Uuid)> {
    events
        .iter()
        .enumerate()
        .map(|(index, event)| (index as i64 + 1, event.meta.event_id.uuid()))
        .collect()
}

/// A UUIDv7 of this moment.
fn id_at(seconds_ago: u64) -> EventId {
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .expect("a clock after 1970")
        .as_secs();
    let moment = uuid::Timestamp::from_unix(uuid::NoContext, now - seconds_ago, 0);
    EventId::from_uuid(Uuid::new_v7(moment)).expect("a version 7")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_get_positions_without_holes_in_log_order() {
    let world = World::with_partitions(4).await;
    let mut events = Vec::new();
    for number in 0..300 {
        for session in ["one", "two", "three"] {
            events.push(event(session).thought(&format!("{session} {number}")));
        }
    }
    world.topics.write(&events).await;
    let runner = world.start();
    world.wait_for_events(900).await;
    for session in ["one", "two", "three"] {
        let of_session: Vec<Event> = events
            .iter()
            .filter(|event| event.meta.session_id.as_str() == session)
            .cloned()
            .collect();
        assert_eq!(world.transcript(session).await, ids(&of_session));
    }
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_reaches_its_row_unchanged() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    let cause = EventId::generate();
    let mut written = event("s")
        .agent("an agent")
        .at(Timestamp(1_700_000_000_123_456))
        .source(Source::Viewer)
        .producer("runner", 3, 7)
        .meta(|meta| {
            meta.cause = Some(cause);
            meta.attributes
                .insert("colour".to_owned(), "green \"x\"".to_owned());
        })
        .kind(
            "custom",
            json!({"name": "n", "value": {"nul": "a\u{0}b", "number": 1.0, "none": null}}),
        );
    written.raw = Some("the line".to_owned());
    world.topics.write(std::slice::from_ref(&written)).await;
    world.wait_for_events(1).await;
    let row: (String, i64, Uuid, String, String, String) =
        sqlx::query_as("select session_id, position, event_id, agent_id, kind, source from events")
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
    let expected = (
        "s",
        1,
        written.meta.event_id.uuid(),
        "an agent",
        "custom",
        "viewer",
    );
    assert_eq!(
        (
            row.0.as_str(),
            row.1,
            row.2,
            row.3.as_str(),
            row.4.as_str(),
            row.5.as_str()
        ),
        expected
    );
    let row: (i64, i64, i64, String, i64, i64, Uuid, String, String, String, bool) = sqlx::query_as(
        "select (extract(epoch from time) * 1000000)::bigint, (extract(epoch from received) * 1000000)::bigint,
             (extract(epoch from clock) * 1000000)::bigint, producer, generation, seq, cause, attributes::text,
             data::text, raw, record is null from events",
    )
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(
        (row.0, row.1, row.2),
        (
            1_700_000_000_123_456,
            1_700_000_000_123_456,
            1_700_000_000_123_456
        )
    );
    assert_eq!(
        (row.3.as_str(), row.4, row.5, row.6),
        ("runner", 3, 7, cause.uuid())
    );
    assert_eq!(row.7, r#"{"colour":"green \"x\""}"#);
    assert_eq!(
        row.8,
        r#"{"name":"n","value":{"none":null,"nul":"a\u0000b","number":1.0}}"#
    );
    assert_eq!((row.9.as_str(), row.10), ("the line", true));
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_no_row_at_once_later_or_after_a_restart() {
    let world = World::with_partitions(1).await;
    let year_old = event("s").id(id_at(365 * 24 * 3600)).thought("a year old");
    let first = event("s").thought("first");
    // Longer than what a sequencer remembers, so that the rows have to be asked.
    let many: Vec<Event> = (0..3_000)
        .map(|number| event("s").thought(&format!("{number}")))
        .collect();
    let late = event("s").id(id_at(3600)).thought("an hour late");

    world
        .topics
        .write(&[first.clone(), first.clone(), year_old.clone(), year_old.clone()])
        .await;
    let runner = world.start();
    world.topics.write(&many).await;
    world
        .topics
        .write(&[
            first.clone(),
            late.clone(),
            year_old.clone(),
            late.clone(),
            many[5].clone(),
        ])
        .await;
    world.wait_for_events(3_003).await;
    runner.stop().await;

    let runner = world.start();
    let last = event("s").thought("last");
    world
        .topics
        .write(&[
            year_old.clone(),
            first.clone(),
            late.clone(),
            many[2_999].clone(),
            last.clone(),
        ])
        .await;
    world.wait_for_events(3_004).await;
    let expected: Vec<Event> = [first, year_old]
        .into_iter()
        .chain(many)
        .chain([late, last])
        .collect();
    assert_eq!(world.transcript("s").await, ids(&expected));
    assert_eq!(runner.metric("kulti_replay_copies_total"), 4.0);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_longer_than_the_memory_knows_its_own_copies() {
    let world = World::with_partitions(1).await;
    let old = event("s").id(id_at(3600)).thought("old");
    let many: Vec<Event> = (0..1_500)
        .map(|number| event("s").thought(&format!("{number}")))
        .collect();
    let mut log = vec![old.clone()];
    log.extend(many.iter().cloned());
    log.extend([
        old.clone(),
        many[0].clone(),
        event("s").id(id_at(1800)).thought("late"),
    ]);
    log.push(log[log.len() - 1].clone());
    world.topics.write(&log).await;
    let runner = world.start();
    world.wait_for_events(1_502).await;
    let (_, _, next_offset, _) = world.partition_row(0).await;
    assert_eq!(next_offset, log.len() as i64);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_row_is_the_fold_of_its_events() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    let at = |seconds: i64| Timestamp(1_700_000_000_000_000 + seconds * 1_000_000);
    world
        .topics
        .write(&[
            event("s").agent("nex").at(at(0)).kind(
                "session.started",
                json!({"task": "build", "agent_name": "Nex", "tags": ["a", "b\"c"], "visibility": "public"}),
            ),
            event("s").at(at(1)).kind(
                "usage",
                json!({"model": "m", "input": 100, "output": 20, "cost_usd": 0.5}),
            ),
            event("s")
                .at(at(2))
                .kind("status.changed", json!({"status": "working"})),
            event("s")
                .at(at(3))
                .kind("session.updated", json!({"title": "A title"})),
            event("s").at(at(4)).ended("completed"),
            event("s")
                .at(at(5))
                .source(Source::Viewer)
                .kind("chat", json!({"text": "well done"})),
        ])
        .await;
    world.wait_for_events(6).await;
    type Row = (
        String,
        Option<String>,
        Option<String>,
        Option<String>,
        Vec<String>,
        Option<String>,
    );
    let row: Row = sqlx::query_as("select agent_id, agent_name, title, task, tags, visibility from sessions")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(
        (row.0.as_str(), row.1.as_deref(), row.2.as_deref()),
        ("nex", Some("Nex"), Some("A title"))
    );
    assert_eq!(
        (row.3.as_deref(), row.5.as_deref()),
        (Some("build"), Some("public"))
    );
    assert_eq!(row.4, ["a", "b\"c"]);
    let seconds =
        |column: &str| format!("extract(epoch from {column} - timestamptz '2023-11-14 22:13:20Z')::int");
    let query = format!(
        "select position, {}, {}, {}, {}, end_reason, status, tokens, cost_usd from sessions",
        seconds("started_at"),
        seconds("received_at"),
        seconds("agent_event_at"),
        seconds("ended_at"),
    );
    type Times = (
        i64,
        i32,
        i32,
        i32,
        Option<i32>,
        Option<String>,
        Option<String>,
        i64,
        f64,
    );
    let read = async || -> Times {
        sqlx::query_as(sqlx::AssertSqlSafe(query.clone()))
            .fetch_one(&world.database.pool)
            .await
            .unwrap()
    };
    let reason = |text: &str| Some(text.to_owned());
    assert_eq!(
        read().await,
        (
            6,
            0,
            5,
            4,
            Some(4),
            reason("completed"),
            reason("working"),
            120,
            0.5
        )
    );

    let usage = json!({"model": "m", "input": 1, "cost_usd": 0.25});
    world
        .topics
        .write(&[event("s").at(at(9)).kind("usage", usage)])
        .await;
    world.wait_for_events(7).await;
    assert_eq!(
        read().await,
        (7, 0, 9, 9, None, None, reason("working"), 121, 0.75)
    );
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_goes_to_the_dead_letters_and_neighbours_stay() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    let (before, after) = (event("s").thought("before"), event("s").thought("after"));
    let mut bad_meta = record(&event("s").thought("x"));
    bad_meta.value.truncate(9);
    let mut other_key = record(&event("s").thought("y"));
    other_key.key = b"t".to_vec();
    let not_ours = OutRecord {
        key: b"s".to_vec(),
        value: b"hello".to_vec(),
        headers: Vec::new(),
    };
    world
        .topics
        .write_records(vec![
            record(&before),
            not_ours,
            bad_meta,
            other_key,
            record(&after),
        ])
        .await;
    world.wait_for_events(2).await;
    assert_eq!(world.transcript("s").await, ids(&[before, after]));

    let letters = read_dead_letters(&world, 3).await;
    let found: Vec<(i64, &str)> = letters
        .iter()
        .map(|(headers, _)| (headers.offset, headers.reason.as_str()))
        .collect();
    assert_eq!(found, [(1, "framing"), (2, "meta"), (3, "key")]);
    assert_eq!(letters[0].1, b"hello");
    assert_eq!(
        (letters[0].0.topic.as_str(), letters[0].0.partition),
        (world.topics.session_events().as_str(), 0)
    );
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_kinds_and_unreadable_bodies_keep_their_place_and_bytes() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    let events: Vec<Event> = (0..4)
        .map(|number| event("s").thought(&format!("{number}")))
        .collect();
    let mut records: Vec<OutRecord> = events.iter().map(record).collect();
    // A kind number that only a later build has; and a body that ends too early.
    records[1].value[3] = 0xee;
    let shorter = records[2].value.len() - 4;
    records[2].value.truncate(shorter);
    let (unknown, unreadable) = (records[1].value.clone(), records[2].value.clone());
    world.topics.write_records(records).await;
    world.wait_for_events(4).await;
    assert_eq!(world.transcript("s").await, ids(&events));
    let kept: Vec<(i64, String, Vec<u8>)> = sqlx::query_as(
        "select position, kind, record from events where record is not null order by position",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(kept.len(), 2);
    assert_eq!((kept[0].0, &kept[0].2), (2, &unknown));
    assert_eq!(
        (kept[1].0, kept[1].1.as_str(), &kept[1].2),
        (3, "unreadable", &unreadable)
    );
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_database_refuses_is_kept_with_its_bytes_and_delays_nobody() {
    let world = World::with_partitions(1).await;
    // Stands for whatever a database may object to in one row of a batch.
    sqlx::query("alter table events add check (kind <> 'thought' or data->>'content' <> 'refused')")
        .execute(&world.database.pool)
        .await
        .unwrap();
    let mut events: Vec<Event> = (0..200)
        .map(|number| event("s").thought(&format!("{number}")))
        .collect();
    events[77] = event("s").thought("refused");
    events[78] = event("t").thought("refused");
    world.topics.write(&events).await;
    let runner = world.start();
    world.wait_for_events(200).await;
    let refused: Vec<(String, i64, String, String)> = sqlx::query_as(
        "select session_id, position, data->>'code', data->>'base64' from events where kind = 'unreadable'
         order by session_id",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(refused.len(), 2);
    assert_eq!(
        (refused[0].0.as_str(), refused[0].1, refused[0].2.as_str()),
        ("s", 78, "constraint")
    );
    assert_eq!((refused[1].0.as_str(), refused[1].1), ("t", 1));
    assert_eq!(runner.metric("kulti_pipeline_projection_unreadable_total"), 2.0);
    assert_eq!(runner.metric("kulti_pipeline_projection_dead_letters_total"), 0.0);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_the_rows_contradict_is_read_anew() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    world.topics.write(&[event("s").thought("one")]).await;
    world.wait_for_events(1).await;
    // Somebody else wrote position 2 behind the runner's back.
    sqlx::query(
        "with copied as (
             insert into events select session_id, 2, gen_random_uuid(), agent_id, kind, source, time, received, clock,
                 producer, generation, seq, cause, attributes, data, raw, record from events returning event_id)
         update sessions set position = 2",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();
    sqlx::query("update events set event_id = $1 where position = 2")
        .bind(EventId::generate().uuid())
        .execute(&world.database.pool)
        .await
        .unwrap();
    let third = event("s").thought("three");
    world.topics.write(std::slice::from_ref(&third)).await;
    world.wait_for_events(3).await;
    assert_eq!(world.transcript("s").await[2], (3, third.meta.event_id.uuid()));
    assert_eq!(runner.metric("kulti_pipeline_projection_unreadable_total"), 0.0);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_sessions_than_fit_in_memory_are_numbered_alike() {
    let world = World::with_partitions(2).await;
    let runner = world.start_with_state_bytes(20_000);
    let mut events = Vec::new();
    for round in 0..4 {
        for session in 0..200 {
            events.push(event(&format!("s{session}")).thought(&format!("{round}")));
        }
        world.topics.write(&events[events.len() - 200..]).await;
        world.wait_for_events(events.len() as i64).await;
    }
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from (select 1 from events group by session_id
             having count(*) <> 4 or max(position) <> 4 or min(position) <> 1) as wrong",
    )
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(wrong, 0);
    assert!(runner.metric("kulti_replay_sessions_loaded_total") > 200.0);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_dead_letters_stops_its_partition_until_it_is_released() {
    let world = World::with_partitions(1).await;
    let not_ours = || OutRecord {
        key: b"s".to_vec(),
        value: b"hello".to_vec(),
        headers: Vec::new(),
    };
    world
        .topics
        .write_records((0..1_500).map(|_| not_ours()).collect())
        .await;
    let runner = world.start();
    world.wait_for_stop(0, "dead_letters").await;
    wait_until("readiness says so", async || {
        runner
            .problem()
            .is_some_and(|problem| problem.contains("dead_letters"))
    })
    .await;
    world.topics.write(&[event("s").thought("after")]).await;
    sqlx::query("update projection_partitions set stopped = null")
        .execute(&world.database.pool)
        .await
        .unwrap();
    world.wait_for_events(1).await;
    wait_until("it is ready again", async || runner.problem().is_none()).await;
    runner.stop().await;
}

async fn read_dead_letters(world: &World, count: usize) -> Vec<(DeadLetterHeaders, Vec<u8>)> {
    let consumer: BaseConsumer = world
        .topics
        .config
        .client_config()
        .set("group.id", "test-letters")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(&world.topics.dead_letters(), 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&assignment).unwrap();
    let mut letters = Vec::new();
    wait_until_some("the dead letters are there", async || {
        if let Some(Ok(message)) = consumer.poll(Duration::ZERO) {
            let headers = message.headers().unwrap();
            let headers = headers
                .iter()
                .map(|header| (header.key, header.value.unwrap_or_default()));
            let headers = DeadLetterHeaders::from_headers(headers).expect("typed headers");
            letters.push((headers, message.payload().unwrap_or_default().to_vec()));
        }
        (letters.len() == count).then(|| std::mem::take(&mut letters))
    })
    .await
}
