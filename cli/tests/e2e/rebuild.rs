//! A rebuild while people watch.

use kulti_consumers::replay::rebuild::{RebuildContext, rebuild};
use serde_json::json;

use crate::cluster::Cluster;
use crate::producer::{events, session_id};
use crate::viewer::{Viewer, assert_part_of};

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
