//! The seam between what was and what happens: nobody loses, repeats or reorders anything, whenever they join.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Gateway};
use crate::producer::{ids, send_counting, send_steadily, session_id, thought};
use crate::viewer::{Viewer, assert_part_of};

const VIEWERS: u64 = 200;
const PER_SECOND: usize = 1000;

/// Number, socket, and the position behind which it sees everything; -1 where that is the moment it came.
type Joined = (u64, Viewer, i64);

/// Viewers who join at random moments of `within`, from random places of what was acknowledged by then.
fn join_at_random(
    address: SocketAddr,
    session: &str,
    (within, seed): (Duration, u64),
    acknowledged: &Arc<AtomicI64>,
) -> JoinSet<Joined> {
    let mut viewers = JoinSet::new();
    for number in 0..VIEWERS {
        let (session, acknowledged) = (session.to_owned(), acknowledged.clone());
        let mut random = StdRng::seed_from_u64(seed + number);
        viewers.spawn(async move {
            let moment = within.mul_f64(random.random_range(0.0..1.0));
            tokio::time::sleep(moment).await;
            let by_then = acknowledged.load(Ordering::Relaxed);
            let (from, after): (Value, i64) = match number % 3 {
                0 => (json!("start"), 0),
                1 => (json!("live"), -1),
                _ => {
                    let position = random.random_range(0..by_then.max(1));
                    (json!({"position": position}), position)
                }
            };
            let mut viewer = Viewer::watch(address, &session, from).await;
            if after < 0 {
                // From here on it misses nothing.
                viewer.frame_of("caught_up").await;
            }
            (number, viewer, after)
        });
    }
    viewers
}

/// Waits for all of them, and sends what all of them are to see in the end.
async fn end(
    gateway: &Gateway,
    session: &str,
    viewers: JoinSet<Joined>,
    transcript: &mut Vec<String>,
) -> Vec<Joined> {
    let viewers = viewers.join_all().await;
    let last = [thought(session, "end")];
    gateway.send(&last).await;
    transcript.extend(ids(&last));
    viewers
}

async fn check_viewers(viewers: Vec<Joined>, transcript: Arc<Vec<String>>) {
    let mut checks = JoinSet::new();
    for (number, mut viewer, after) in viewers {
        let transcript = transcript.clone();
        checks.spawn(async move {
            let seen = viewer.events_until(transcript.last().expect("events")).await;
            if after >= 0 {
                assert_eq!(seen[0].0, after + 1, "viewer {number} begins where it asked");
            }
            assert_part_of(&transcript, &seen, &format!("viewer {number}"));
        });
    }
    while let Some(check) = checks.join_next().await {
        check.expect("the viewer saw its part of the transcript");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_who_join_at_any_moment_see_one_transcript_also_while_replay_stands_still() {
    let cluster = Cluster::create(4).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let first = thought(&session, "begin");
    gateway.send(std::slice::from_ref(&first)).await;
    cluster.wait_for_rows(&session, 1).await;

    let time = Duration::from_secs(12);
    let acknowledged = Arc::new(AtomicI64::new(0));
    let viewers = join_at_random(gateway.address, &session, (time, 1), &acknowledged);
    let pause = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let held = cluster.hold_replay().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(held);
    };
    let sending = send_counting(&gateway, &session, (PER_SECOND, time), &acknowledged);
    let (sent, ()) = tokio::join!(sending, pause);
    let mut transcript = vec![first["id"].as_str().expect("an id").to_owned()];
    transcript.extend(sent);
    let viewers = end(&gateway, &session, viewers, &mut transcript).await;
    check_viewers(viewers, transcript.clone().into()).await;

    cluster.wait_for_rows(&session, transcript.len() as i64).await;
    let rows = cluster.rows(&session).await;
    assert_part_of(&transcript, &rows, "postgres");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_restarts_while_replay_stands_still_goes_on_without_a_seam() {
    let cluster = Cluster::create(4).await;
    let gateway = cluster.gateway().await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let mut transcript = send_steadily(&gateway, &session, PER_SECOND, Duration::from_secs(2)).await;
    cluster.wait_for_rows(&session, transcript.len() as i64).await;
    let held = cluster.hold_replay().await;
    transcript.extend(send_steadily(&gateway, &session, PER_SECOND, Duration::from_secs(2)).await);
    gateway.stop().await;

    let gateway = cluster.gateway().await;
    gateway.ready().await;
    let time = Duration::from_secs(4);
    let acknowledged = Arc::new(AtomicI64::new(0));
    let viewers = join_at_random(gateway.address, &session, (time, 1000), &acknowledged);
    transcript.extend(send_counting(&gateway, &session, (PER_SECOND, time), &acknowledged).await);
    let viewers = end(&gateway, &session, viewers, &mut transcript).await;
    check_viewers(viewers, transcript.clone().into()).await;
    drop(held);
    cluster.wait_for_rows(&session, transcript.len() as i64).await;
    assert_part_of(&transcript, &cluster.rows(&session).await, "postgres");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_memory_bound_dropped_is_read_from_the_log() {
    let cluster = Cluster::create(2).await;
    let config = kulti_gateway::GatewayConfig {
        tail_bytes: 64 * 1024,
        ..Default::default()
    };
    let gateway = cluster
        .gateway_with(&cluster.topics.config, &cluster.database.config(), config)
        .await;
    let _replay = cluster.replay();
    gateway.ready().await;
    let session = session_id();
    let mut transcript = send_steadily(&gateway, &session, 2000, Duration::from_secs(1)).await;
    cluster.wait_for_rows(&session, transcript.len() as i64).await;
    let held = cluster.hold_replay().await;
    // Far more than the ring of a session holds, and nobody watches yet.
    let large = "x".repeat(20_000);
    for _ in 0..12 {
        let batch: Vec<Value> = (0..50).map(|_| thought(&session, &large)).collect();
        gateway.send(&batch).await;
        transcript.extend(ids(&batch));
    }
    let mut viewers = JoinSet::new();
    for number in 0..6 {
        let from = if number % 2 == 0 {
            json!("start")
        } else {
            json!({"position": transcript.len() - 550})
        };
        let (address, session) = (gateway.address, session.clone());
        viewers.spawn(async move { (number, Viewer::watch(address, &session, from).await, -1) });
    }
    check_viewers(viewers.join_all().await, transcript.clone().into()).await;
    drop(held);
}
