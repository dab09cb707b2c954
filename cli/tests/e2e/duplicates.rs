//! The first record of (session, event id) is the event; later copies have no row, no frame and no position.

use std::time::Duration;

use kulti_test_support::wait_until;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::producer::{events, ids, session_id, thought};
use crate::viewer::{Viewer, assert_part_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_sent_again_at_any_time_and_anywhere_is_one_event() {
    let cluster = Cluster::create(4).await;
    let gateway = cluster.gateway().await;
    let other = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    other.ready().await;
    let session = session_id();

    let first = thought(&session, "first");
    let mut old = thought(&session, "a year old");
    old["id"] = json!("01932f00-0000-7000-8000-00000000abcd");
    gateway.send(&[first.clone(), first.clone(), old.clone()]).await;
    let mut transcript = ids(&[first.clone(), old.clone()]);
    let mut viewer = Viewer::watch(gateway.address, &session, json!("start")).await;
    let mut elsewhere = Viewer::watch(other.address, &session, json!("start")).await;

    // Far more than a sequencer remembers.
    for _ in 0..100 {
        let batch = events(&session, 1000);
        gateway.send(&batch).await;
        transcript.extend(ids(&batch));
    }
    let copies: Vec<Value> = vec![
        first.clone(),
        old.clone(),
        json!({
            "id": transcript[5000], "session": session, "agent": "tester", "kind": "thought", "data": {"content": "other"},
            "producer": "another",
        }),
    ];
    gateway.send(&copies).await;
    other.send(&copies).await;
    let last = thought(&session, "last");
    other
        .send(&[copies[0].clone(), last.clone(), copies[1].clone()])
        .await;
    transcript.extend(ids(std::slice::from_ref(&last)));

    assert_part_of(
        &transcript,
        &viewer.events_until(&transcript[transcript.len() - 1]).await,
        "live",
    );
    assert_part_of(
        &transcript,
        &elsewhere.events_until(&transcript[transcript.len() - 1]).await,
        "at another gateway",
    );

    // After a restart, and once everything is in Postgres.
    cluster.wait_for_rows(&session, transcript.len() as i64).await;
    gateway.stop().await;
    let gateway = cluster.gateway().await;
    gateway.ready().await;
    let mut viewer = Viewer::watch(gateway.address, &session, json!("live")).await;
    viewer.frame_of("caught_up").await;
    let end = thought(&session, "end");
    gateway
        .send(&[copies.clone(), vec![end.clone()], copies].concat())
        .await;
    transcript.extend(ids(&[end]));
    let seen = viewer.events_until(&transcript[transcript.len() - 1]).await;
    assert_eq!(seen.len(), 1, "copies give no frame: {seen:?}");
    assert_part_of(&transcript, &seen, "after a restart");
    cluster.wait_for_rows(&session, transcript.len() as i64).await;
    assert_part_of(&transcript, &cluster.rows(&session).await, "postgres");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_id_is_known_while_replay_stands_still_and_postgres_cannot_tell() {
    let cluster = Cluster::create(1).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    gateway.send(&[thought(&session, "before")]).await;
    cluster.wait_for_rows(&session, 1).await;
    let held = cluster.hold_replay().await;
    let batch = events(&session, 3000);
    gateway.send(&batch[..1500]).await;
    let mut viewer = Viewer::watch(gateway.address, &session, json!({"position": 1})).await;
    gateway.send(&batch[1500..]).await;
    // Below the window of remembered ids, above what Postgres holds.
    gateway.send(&batch[..10]).await;
    let last = thought(&session, "last");
    gateway.send(std::slice::from_ref(&last)).await;
    let last = last["id"].as_str().expect("an id");
    let seen = viewer.events_until(last).await;
    assert_eq!(seen.len(), 3001);
    assert_eq!(seen[3000].0, 3002, "copies have no position");
    drop(held);
    cluster.wait_for_rows(&session, 3002).await;
    let again = cluster.rows(&session).await;
    assert_eq!(again[1..], seen[..]);
    wait_until("nothing more is projected", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.rows(&session).await.len() == 3002
    })
    .await;
}
