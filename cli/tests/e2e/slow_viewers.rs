//! A viewer who reads slowly slows nobody, is not disconnected, and still gets everything.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::producer::{ids, session_id, thought};
use crate::viewer::{Viewer, assert_part_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_viewer_falls_back_to_catching_up_and_misses_nothing() {
    let cluster = Cluster::create(2).await;
    let config = kulti_gateway::GatewayConfig {
        viewer_queue_bytes: 64 * 1024,
        ..Default::default()
    };
    let gateway = cluster
        .gateway_with(&cluster.topics.config, &cluster.database.config(), config)
        .await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let first = thought(&session, "first");
    gateway.send(std::slice::from_ref(&first)).await;
    let mut slow = Viewer::watch(gateway.address, &session, json!("start")).await;
    let mut quick = Viewer::watch(gateway.address, &session, json!("start")).await;
    slow.frame_of("caught_up").await;
    quick.frame_of("caught_up").await;

    // 24 MB: more than sockets' buffers and the queue hold. The slow viewer reads nothing of it meanwhile.
    let mut transcript = ids(&[first]);
    let text = "x".repeat(4000);
    let reading = async {
        let mut seen = Vec::new();
        while seen.len() < 6000 {
            seen.extend(crate::viewer::positions(&quick.frame_of("events").await));
        }
        seen
    };
    let sending = async {
        let mut sent = Vec::new();
        for _ in 0..120 {
            let batch: Vec<Value> = (0..50).map(|_| thought(&session, &text)).collect();
            gateway.send(&batch).await;
            sent.extend(ids(&batch));
        }
        sent
    };
    let (seen, sent) = tokio::join!(reading, sending);
    transcript.extend(sent);
    assert_part_of(&transcript, &seen, "the quick one");

    sleep(Duration::from_millis(100)).await;
    let mut seen = Vec::new();
    let mut fell_back = false;
    while seen.len() < 6000 {
        let frame = slow.frame().await;
        match frame["type"].as_str() {
            Some("events") => seen.extend(crate::viewer::positions(&frame)),
            Some("caught_up") => fell_back = true,
            Some("viewers") => {}
            _ => panic!("{frame}"),
        }
    }
    assert_part_of(&transcript, &seen, "the slow one");
    if !fell_back {
        slow.frame_of("caught_up").await;
    }
}
