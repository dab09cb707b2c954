//! A rebuild while people watch.

use std::time::{Duration, Instant};

use kulti_consumers::replay::rebuild::{RebuildContext, rebuild};
use kulti_consumers::segments;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Gateway};
use crate::producer::{events, ids, send_steadily, session_id, thought, work};
use crate::viewer::{Viewer, assert_part_of, positions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_while_rows_are_rebuilt_notices_nothing() {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let sent = events(&session, 2_000);
    let ids: Vec<String> = sent
        .iter()
        .map(|event| event["id"].as_str().expect("an id").to_owned())
        .collect();
    gateway.send(&sent[..1_000]).await;
    cluster.wait_for_rows(&session, 1_000).await;
    sqlx::query("update events set data = '{\"forged\": true}' where position % 100 = 7")
        .execute(&cluster.database.pool)
        .await
        .expect("forged");
    let mut live = Viewer::watch(gateway.address, &session, json!("live")).await;
    live.frame_of("caught_up").await;
    let context = RebuildContext {
        kafka: cluster.topics.config.clone(),
        pool: cluster.database.pool.clone(),
    };
    let last = ids.last().expect("events");
    let sending = async {
        for part in sent[1_000..].chunks(50) {
            gateway.send(part).await;
        }
    };
    let joining = async {
        let mut viewer = Viewer::watch(gateway.address, &session, json!("start")).await;
        viewer.events_until(last).await
    };
    let (report, (), joined, seen) = tokio::join!(
        rebuild(&context, None, |_| ()),
        sending,
        joining,
        live.events_until(last)
    );
    assert_eq!(report.expect("rebuilt").mended, [(session.clone(), 10)]);
    assert_part_of(&ids, &joined, "who joined meanwhile");
    assert_part_of(&ids, &seen, "who was live");
    cluster.wait_for_rows(&session, 2_000).await;
    let again = rebuild(&context, None, |_| ()).await.expect("rebuilt");
    assert_eq!((again.sessions, again.mended), (1, vec![]));
}

/// Hashes of all segments and stored files, in order; of the events that come meanwhile, none is in them.
async fn folded(cluster: &Cluster, but: &str) -> Vec<String> {
    sqlx::query_scalar(
        "select concat_ws(' ', session_id, first_position, last_position, sha256) from segments where session_id <> $1
         union all
         select concat_ws(' ', session_id, first_position, sha256) from file_contents where session_id <> $1 order by 1",
    )
    .bind(but)
    .fetch_all(&cluster.database.pool)
    .await
    .expect("hashes")
}

async fn state(gateway: &Gateway, session: &str, at: i64) -> Value {
    let path = format!("/v1/sessions/{session}/state?at={at}");
    let answer = gateway.client.get(gateway.url(&path)).send().await;
    answer.expect("an answer").json().await.expect("JSON")
}

/// Sees the session from its start, again and again, and its state at one moment.
async fn watch_again_and_again(
    gateway: &Gateway,
    session: &str,
    count: i64,
    done: CancellationToken,
) -> usize {
    let expected = state(gateway, session, count / 2).await;
    let mut times = 0;
    while !done.is_cancelled() {
        let mut viewer = Viewer::watch(gateway.address, session, json!("start")).await;
        let mut seen = Vec::new();
        while seen.len() < count as usize {
            seen.extend(positions(&viewer.frame_of("events").await));
        }
        assert!(seen.iter().map(|(position, _)| *position).eq(1..=count));
        assert_eq!(state(gateway, session, count / 2).await, expected);
        times += 1;
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs longer than a minute: make soak"]
async fn soak_segments_of_a_thousand_sessions_are_rebuilt_the_same_while_some_are_watched() {
    const SESSIONS: usize = 1_000;
    let cluster = Cluster::create(8).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let mut total = 0;
    let mut longest = (String::new(), 0);
    for number in 0..SESSIONS {
        // 400 to 3,600, 2,000 in the middle.
        let count = 400 + number * 3_200 / (SESSIONS - 1);
        let session = format!("session-{number:04}");
        cluster.topics.write(&work(&session, count)).await;
        total += count as i64;
        longest = (session, count as i64);
    }
    kulti_test_support::wait_until("all is projected", async || {
        let projected: Option<i64> = sqlx::query_scalar("select sum(position)::bigint from sessions")
            .fetch_one(&cluster.database.pool)
            .await
            .expect("a sum");
        projected == Some(total)
    })
    .await;
    let pool = &cluster.database.pool;
    let begun = Instant::now();
    let first = segments::rebuild(pool, None, |_, _| ()).await.expect("sealed");
    println!("{total} events sealed in {:?}", begun.elapsed());
    assert_eq!((first.sessions, first.made_anew), (SESSIONS as i64, vec![]));
    let live_session = session_id();
    let before = folded(&cluster, &live_session).await;
    assert!(before.len() > SESSIONS * 2, "{}", before.len());

    let live_begin = send_steadily(&gateway, &live_session, 100, Duration::from_secs(1)).await;
    cluster
        .wait_for_rows(&live_session, live_begin.len() as i64)
        .await;
    let mut live = Viewer::watch(gateway.address, &live_session, json!("live")).await;
    live.frame_of("caught_up").await;
    let done = CancellationToken::new();
    let end = [thought(&live_session, "end")];
    let end_id = ids(&end).remove(0);
    let sending = async {
        let mut sent = live_begin;
        while !done.is_cancelled() {
            sent.extend(send_steadily(&gateway, &live_session, 100, Duration::from_secs(1)).await);
        }
        gateway.send(&end).await;
        sent.push(end_id.clone());
        sent
    };
    let rebuilding = async {
        for statement in [
            "truncate segments, file_contents",
            "update sessions set seal_at = 0",
        ] {
            sqlx::query(statement).execute(pool).await.expect("gone");
        }
        let begun = Instant::now();
        segments::rebuild(pool, None, |_, _| ()).await.expect("made anew");
        println!("made anew in {:?}", begun.elapsed());
        assert!(
            folded(&cluster, &live_session).await == before,
            "made anew, they differ"
        );
        let begun = Instant::now();
        let compared = segments::rebuild(pool, None, |_, _| ()).await.expect("compared");
        println!("{} segments compared in {:?}", compared.segments, begun.elapsed());
        assert_eq!(compared.made_anew, Vec::<String>::new());
        assert!(folded(&cluster, &live_session).await == before);
        done.cancel();
    };
    let (transcript, seen, times, ()) = tokio::join!(
        sending,
        live.events_until(&end_id),
        watch_again_and_again(&gateway, &longest.0, longest.1, done.clone()),
        rebuilding
    );
    assert_part_of(&transcript, &seen, "who was live");
    println!(
        "seen live meanwhile: {} events; from the start: {times} times",
        seen.len()
    );
}
