//! What a client folds by itself, and what the server says the state is.

use kulti_consumers::segments::{SealerContext, SealerMetrics};
use kulti_session::{FoldEvent, Workspace};
use kulti_test_support::wait_until;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::producer::{events, session_id};
use crate::viewer::Viewer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_live_viewer_folded_is_the_state_at_that_moment() {
    let cluster = Cluster::create(2).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    let stopping = CancellationToken::new();
    let sealer = tokio::spawn(kulti_consumers::segments::run(SealerContext {
        pool: cluster.database.pool.clone(),
        metrics: SealerMetrics::register(&prometheus::Registry::new()).expect("metrics"),
        stopping: stopping.clone(),
    }));
    gateway.ready().await;
    let session = session_id();
    let sent = events(&session, 1_600);
    gateway.send(&sent[..1]).await;
    cluster.wait_for_rows(&session, 1).await;
    let mut viewer = Viewer::watch(gateway.address, &session, json!("start")).await;
    let sending = async {
        for part in sent[1..].chunks(40) {
            gateway.send(part).await;
        }
    };
    let watching = async {
        let mut workspace = Workspace::new();
        let mut states = Vec::new();
        while workspace.position() < 1_600 {
            let frame = viewer.frame_of("events").await;
            for event in frame["events"].as_array().expect("events") {
                let text = event.to_string();
                workspace.apply(&FoldEvent::parse(&text).expect("an event"));
                if workspace.position() % 97 == 0 {
                    states.push((workspace.position(), workspace.keyframe().to_json()));
                }
            }
        }
        states
    };
    let ((), states) = tokio::join!(sending, watching);
    wait_until("the session is sealed", async || {
        let segments: i64 =
            sqlx::query_scalar("select count(*) from segments where last_position is not null")
                .fetch_one(&cluster.database.pool)
                .await
                .expect("a count");
        segments >= 3
    })
    .await;
    for (position, folded) in states {
        let url = gateway.url(&format!("/v1/sessions/{session}/state?at={position}"));
        let answer = gateway.client.get(url).send().await.expect("an answer");
        assert_eq!(answer.text().await.expect("a state"), folded, "at {position}");
    }
    stopping.cancel();
    sealer.await.expect("it ends").expect("it ends well");
}
