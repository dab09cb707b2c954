//! Segments on real servers: what they hold, where they end, and that they are made again as they were.

#![expect(clippy::unwrap_used, reason = "the lint knows tests, not their helpers")]

mod support;

use kulti_consumers::segments::{KEYFRAMES, MIN_EVENTS, RebuiltSegments, Sealed, rebuild, seal_session};
use kulti_schemas::{Event, PositionedEvent, SessionId, Source};
use kulti_session::workspace::EventTexts;
use kulti_session::{Keyframe, Workspace};
use kulti_tables::events::events_page;
use kulti_tables::segments::{SegmentText, StoredSegment, file_content, segment_at};
use kulti_test_support::{event, wait_until};
use serde_json::json;
use sha2::{Digest, Sha256};
use support::World;

const SECRET: &str = "hunter2-hunter2";

/// A session that edits, prints, thinks, and knows a secret.
fn session(name: &str, events: usize) -> Vec<Event> {
    let mut session = vec![event(name).started("a task")];
    session.extend((0..events).map(|number| match number % 7 {
        0 => event(name).thought(&format!("thought {number} about what to do next")),
        1 => event(name).kind(
            "code.changed",
            json!({"path": format!("src/{}.rs", number % 5), "action": "create", "content": format!("one\n{number}\nthree\n")}),
        ),
        2 => event(name).kind(
            "code.changed",
            json!({"path": format!("src/{}.rs", (number - 1) % 5), "action": "edit",
                "patch": format!("@@ -1,3 +1,3 @@\n one\n-{}\n+{number} edited\n three\n", number - 1)}),
        ),
        3 if number == 703 => event(name).output(&format!("password {SECRET}\r\n")),
        3 => event(name).kind("usage", json!({"model": "m", "input": number, "cost_usd": 0.25})),
        4 => event(name).kind("message.completed", json!({"message": format!("m{number}"), "role": "assistant", "content": "done"})),
        _ => event(name).output(&format!("\x1b[3{}mline {number}\x1b[0m of a build that prints a lot\r\n", number % 8)),
    }));
    session
}

async fn world_with(events: &[Event]) -> (World, support::Runner) {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    world.topics.write(events).await;
    world.wait_for_events(events.len() as i64).await;
    (world, runner)
}

async fn seal(world: &World, name: &str) -> Sealed {
    seal_session(&world.database.pool, name).await.unwrap()
}

/// All segments, in order.
async fn segments(world: &World, name: &str) -> Vec<StoredSegment> {
    sqlx::query_as(
        "select first_position, last_position, content, bytes, sha256 from segments
         where session_id = $1 order by first_position",
    )
    .bind(name)
    .fetch_all(&world.database.pool)
    .await
    .unwrap()
}

async fn rows(world: &World, name: &str) -> Vec<PositionedEvent> {
    let id = SessionId::parse(name).unwrap();
    events_page(&world.database.pool, &id, 0, 1_000_000, usize::MAX)
        .await
        .unwrap()
}

fn identities(segments: &[StoredSegment]) -> Vec<(i64, Option<i64>, Vec<u8>)> {
    segments
        .iter()
        .map(|segment| {
            (
                segment.first_position,
                segment.last_position,
                segment.sha256.clone(),
            )
        })
        .collect()
}

/// Compares all segments with a fold from the start.
async fn assert_true_to_rows(world: &World, name: &str) {
    let rows = rows(world, name).await;
    let segments = segments(world, name).await;
    let mut workspace = Workspace::new();
    let mut next = 1;
    for segment in &segments {
        assert_eq!(segment.first_position, next);
        let text = SegmentText::unpack(&segment.content).unwrap();
        assert_eq!(text.keyframe(), workspace.keyframe().to_json(), "at {next}");
        assert_eq!(text.bytes() as i64, segment.bytes);
        let mut lines = Vec::new();
        for row in rows.iter().filter(|row| {
            row.position >= next && segment.last_position.is_some_and(|last| row.position <= last)
        }) {
            let texts = EventTexts::of(row);
            workspace.apply(&texts.event(row));
            let mut line = Vec::new();
            row.write_json(&mut line);
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(text.events().collect::<Vec<_>>(), lines);
        let content = std::iter::once(text.keyframe())
            .chain(text.events())
            .fold(String::new(), |all, line| all + line + "\n");
        assert_eq!(segment.sha256, Sha256::digest(content.as_bytes()).to_vec());
        if let Some(last) = segment.last_position {
            assert!(last - next + 1 >= MIN_EVENTS);
            let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
            let enough = KEYFRAMES * text.keyframe().len();
            let without_last = bytes - lines.last().unwrap().len() - 1;
            assert!(bytes >= enough, "closed too early");
            assert!(
                without_last < enough || last - next + 1 == MIN_EVENTS,
                "closed too late"
            );
            next = last + 1;
        }
    }
    let open: Vec<bool> = segments
        .iter()
        .map(|segment| segment.last_position.is_none())
        .collect();
    assert_eq!(open.iter().filter(|open| **open).count(), 1);
    assert_eq!(open.last(), Some(&true));
}

#[tokio::test]
async fn segments_hold_the_rows_and_the_states_between_them() {
    let events = session("s", 2_400);
    let (world, runner) = world_with(&events[..900]).await;
    let first = seal(&world, "s").await;
    assert!(first.segments >= 1);
    assert_true_to_rows(&world, "s").await;
    // In parts of any size: where segments end depends on the session alone.
    for part in events[900..].chunks(370) {
        world.topics.write(part).await;
        let id = part.last().unwrap().meta.event_id.uuid();
        wait_until("the part is projected", async || {
            world
                .transcript("s")
                .await
                .last()
                .is_some_and(|(_, last)| *last == id)
        })
        .await;
        seal(&world, "s").await;
        assert_true_to_rows(&world, "s").await;
    }
    let before = segments(&world, "s").await;
    assert!(before.len() > 4, "{} segments", before.len());
    for statement in [
        "truncate segments, file_contents",
        "update sessions set seal_at = 0",
    ] {
        sqlx::query(statement)
            .execute(&world.database.pool)
            .await
            .unwrap();
    }
    let sealed = seal(&world, "s").await;
    let after = segments(&world, "s").await;
    assert_eq!(sealed.segments as usize, after.len() - 1);
    assert_eq!(identities(&before), identities(&after));
    assert_eq!(seal(&world, "s").await, Sealed::default());
    runner.stop().await;
}

#[tokio::test]
async fn a_small_session_has_no_segments_and_is_not_looked_at() {
    let (world, runner) = world_with(&session("s", 200)).await;
    let due: i64 = sqlx::query_scalar("select count(*) from sessions where position >= seal_at")
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
    assert_eq!(due, 0);
    assert_eq!(seal(&world, "s").await, Sealed::default());
    assert!(segments(&world, "s").await.is_empty());
    runner.stop().await;
}

#[tokio::test]
async fn a_redacted_string_is_in_no_segment_and_they_are_true_again() {
    let events = session("s", 2_000);
    let (world, runner) = world_with(&events).await;
    seal(&world, "s").await;
    let before = segments(&world, "s").await;
    let named = events
        .iter()
        .find(|event| event.data.get().contains(SECRET))
        .unwrap();
    let target = json!({"event": named.meta.event_id.to_string(), "field": "/text"});
    let redaction = event("s")
        .source(Source::Viewer)
        .kind("redaction", json!({"events": [target]}));
    world.topics.write(&[redaction]).await;
    world.wait_for_events(events.len() as i64 + 1).await;
    for sealed_again in [false, true] {
        if sealed_again {
            assert!(seal(&world, "s").await.segments > 0);
        }
        for segment in segments(&world, "s").await {
            let text = SegmentText::unpack(&segment.content).unwrap();
            let holds = text.keyframe().contains(SECRET) || text.events().any(|line| line.contains(SECRET));
            assert!(!holds, "segment {} still has it", segment.first_position);
        }
        assert_true_to_rows(&world, "s").await;
    }
    let after = segments(&world, "s").await;
    let same = before
        .iter()
        .zip(&after)
        .take_while(|(a, b)| a.sha256 == b.sha256)
        .count();
    assert!(
        same > 0 && same < before.len(),
        "those before it stay as they are"
    );
    runner.stop().await;
}

#[tokio::test]
async fn what_was_folded_from_rows_that_changed_meanwhile_is_not_stored() {
    let (world, runner) = world_with(&session("s", 1_000)).await;
    let mut redaction = world.database.pool.begin().await.unwrap();
    sqlx::query("update sessions set fold_version = fold_version + 1")
        .execute(&mut *redaction)
        .await
        .unwrap();
    let pool = world.database.pool.clone();
    let sealing = tokio::spawn(async move { seal_session(&pool, "s").await.unwrap() });
    wait_until("the sealer waits for the session's row", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        waiting == 1
    })
    .await;
    redaction.commit().await.unwrap();
    assert_eq!(sealing.await.unwrap(), Sealed::default());
    assert!(segments(&world, "s").await.is_empty());
    assert!(seal(&world, "s").await.segments > 0);
    runner.stop().await;
}

#[tokio::test]
async fn segments_of_another_fold_are_not_read_and_are_made_anew() {
    let (world, runner) = world_with(&session("s", 1_000)).await;
    seal(&world, "s").await;
    let before = segments(&world, "s").await;
    sqlx::query("update segments set fold = 0")
        .execute(&world.database.pool)
        .await
        .unwrap();
    let id = SessionId::parse("s").unwrap();
    let mut connection = world.database.pool.acquire().await.unwrap();
    assert!(segment_at(&mut connection, &id, 500).await.unwrap().is_none());
    seal(&world, "s").await;
    assert_eq!(identities(&before), identities(&segments(&world, "s").await));
    runner.stop().await;
}

#[tokio::test]
async fn a_patch_after_a_restart_finds_what_it_changes() {
    let (world, runner) = world_with(&session("s", 1_500)).await;
    seal(&world, "s").await;
    let last = segments(&world, "s").await.pop().unwrap();
    let text = SegmentText::unpack(&last.content).unwrap();
    let keyframe = Keyframe::from_json(text.keyframe()).unwrap().unwrap();
    let mut named = 0;
    for file in keyframe.files.iter() {
        let hash = file.sha256.as_deref().unwrap();
        let mut connection = world.database.pool.acquire().await.unwrap();
        let id = SessionId::parse("s").unwrap();
        let content = file_content(&mut connection, &id, hash).await.unwrap();
        assert_eq!(content.unwrap().len() as u64, file.bytes.unwrap());
        named += 1;
    }
    assert_eq!(named, 5);
    runner.stop().await;
}

#[tokio::test]
async fn a_rebuild_changes_no_segment_that_is_what_the_rows_give_and_makes_the_others_anew() {
    let mut events = session("s", 1_900);
    events.extend(session("t", 700));
    events.extend(session("small", 100));
    let (world, runner) = world_with(&events).await;
    let names = ["s", "t"];
    let mut before = Vec::new();
    let all = async || {
        let rows: Vec<String> = sqlx::query_scalar(
            "select s::text from segments s union all select f::text from file_contents f order by 1",
        )
        .fetch_all(&world.database.pool)
        .await
        .unwrap();
        rows
    };
    let rebuilt = async || rebuild(&world.database.pool, None, |_, _| ()).await.unwrap();
    for name in names {
        seal(&world, name).await;
        before.extend(segments(&world, name).await);
    }
    let stored = all().await;
    let expected = RebuiltSegments {
        sessions: 2,
        segments: before.len() as i64,
        made_anew: vec![],
    };
    assert_eq!(rebuilt().await, expected);
    assert_eq!(all().await, stored);
    for fault in [
        "update segments set content = (select content from segments where session_id = 's' and first_position = 1)
         where session_id = 't' and last_position is null",
        "update segments set sha256 = sha256('x') where session_id = 't' and first_position = 1",
        "update segments set content = 'x' where session_id = 't' and first_position = 1",
        "delete from segments where session_id = 't' and first_position = 1",
        "delete from segments where session_id = 't' and last_position is null",
        "update segments set last_position = last_position - 1 where session_id = 't' and first_position = 1",
        "insert into segments select session_id, first_position + 5000, 6000, fold, content, bytes, sha256
         from segments where session_id = 't' and first_position = 1",
        "delete from file_contents where session_id = 't' and bytes = (select max(bytes) from file_contents where session_id = 't')",
        "update file_contents set content = 'x' where session_id = 't'",
        "update file_contents set first_position = 1 where session_id = 't'",
        "insert into file_contents values ('t', sha256('x'), 1, 'x', 1)",
    ] {
        let done = sqlx::query(fault).execute(&world.database.pool).await.unwrap();
        assert!(done.rows_affected() > 0, "{fault}");
        assert_eq!(rebuilt().await.made_anew, ["t"], "{fault}");
        assert_eq!(all().await, stored, "{fault}");
    }
    for stray in [
        "insert into segments select 'gone', first_position, last_position, fold, content, bytes, sha256 from segments
         where session_id = 't'",
        "insert into file_contents values ('gone', sha256('x'), 1, 'x', 1)",
    ] {
        sqlx::query(stray).execute(&world.database.pool).await.unwrap();
    }
    assert_eq!(rebuilt().await, expected);
    assert_eq!(all().await, stored);
    let one = SessionId::parse("s").unwrap();
    let of_one = rebuild(&world.database.pool, Some(&one), |_, _| ())
        .await
        .unwrap();
    assert_eq!((of_one.sessions, of_one.made_anew), (1, vec![]));
    runner.stop().await;
}
