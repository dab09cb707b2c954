//! A log that was deleted and made anew is noticed before anything is misread, and can be taken up again.

use kulti_pipeline::topics;
use kulti_test_support::wait_until;
use serde_json::json;

use crate::cluster::Cluster;
use crate::producer::{events, ids, session_id, thought};
use crate::viewer::{Viewer, positions};

async fn stopped(cluster: &Cluster) -> Vec<String> {
    sqlx::query_scalar("select stopped from projection_partitions where stopped is not null")
        .fetch_all(&cluster.database.pool)
        .await
        .expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_topic_stops_its_partitions_until_a_new_epoch_and_positions_go_on() {
    let cluster = Cluster::create(1).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let (one, two) = (session_id(), session_id());
    let before = events(&one, 50);
    gateway.send(&before).await;
    cluster.wait_for_rows(&one, 50).await;

    cluster.topics.recreate().await;
    // More records than the old log had: reading on from the old offset would find some.
    let after = events(&two, 120);
    wait_until("the new log takes events", async || {
        gateway.post_events(&after).await["accepted"] == after.len()
    })
    .await;
    wait_until("replay stops with log_truncated", async || {
        stopped(&cluster).await == ["log_truncated"]
    })
    .await;
    assert_eq!(cluster.rows(&one).await.len(), 50, "rows stay");
    assert!(
        cluster.rows(&two).await.is_empty(),
        "nothing of the new log was read"
    );

    let mut viewer = Viewer::watch(gateway.address, &one, json!("start")).await;
    let frame = viewer.frame_of("events").await;
    assert_eq!(positions(&frame).len(), 50, "what was is shown all the same");

    topics::new_epoch(&cluster.topics.config, &cluster.database.pool, "replay")
        .await
        .expect("a new epoch");
    cluster.wait_for_rows(&two, 120).await;
    assert!(stopped(&cluster).await.is_empty());
    // A known id is a copy in the new log too; a new one goes on after the last row.
    let next = thought(&one, "next");
    gateway.send(&[before[7].clone(), next.clone()]).await;
    cluster.wait_for_rows(&one, 51).await;
    let rows = cluster.rows(&one).await;
    assert_eq!(rows.len(), 51);
    assert_eq!(rows[50], (51, ids(&[next])[0].clone()));

    let mut viewer = Viewer::watch(gateway.address, &one, json!({"position": 49})).await;
    let frame = viewer.frame_of("events").await;
    assert_eq!(
        positions(&frame).last().map(|(position, _)| *position),
        Some(51),
        "live follows the new log"
    );
}
