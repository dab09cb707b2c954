//! Consumers that are killed at any moment, and groups that never come to rest: every accepted event is in Postgres
//! once, in order.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kulti_test_support::wait_until;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Gateway};
use crate::producer::{send_steadily, session_id};
use crate::viewer::assert_part_of;

const SESSIONS: usize = 4;

/// `kulti consume replay` as a process of its own; killed on drop.
struct Consumer(Child);

impl Consumer {
    fn start(cluster: &Cluster) -> Self {
        let kafka = &cluster.topics.config;
        let child = Command::new(env!("CARGO_BIN_EXE_kulti"))
            .args(["consume", "replay"])
            .env("KULTI_KAFKA_BROKERS", &kafka.brokers)
            .env("KULTI_TOPIC_PREFIX", &kafka.topic_prefix)
            .env("KULTI_TOPIC_PARTITIONS", kafka.partitions.to_string())
            .env("KULTI_DATABASE_URL", &cluster.database.url)
            .env("KULTI_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .expect("kulti starts");
        Consumer(child)
    }

    fn kill(&mut self) {
        assert!(
            self.0.try_wait().expect("a state").is_none(),
            "the consumer ended by itself"
        );
        self.0.kill().expect("SIGKILL");
        self.0.wait().expect("gone");
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().expect("gone");
        }
    }
}

/// Waits until a transaction of the consumer is open and stuck behind a lock that the test holds.
async fn wait_for_open_transaction(cluster: &Cluster) {
    wait_until("a transaction of the consumer is open", async || {
        let open: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()
               and xact_start is not null and wait_event_type = 'Lock'",
        )
        .fetch_one(&cluster.database.pool)
        .await
        .expect("an answer");
        open > 0
    })
    .await;
}

/// Sends at a steady rate until told to stop. The ids in order.
async fn send_until(
    gateway: &Gateway,
    session: String,
    per_second: usize,
    done: CancellationToken,
) -> Vec<String> {
    let mut sent = Vec::new();
    while !done.is_cancelled() {
        sent.extend(send_steadily(gateway, &session, per_second, Duration::from_secs(1)).await);
    }
    sent
}

async fn all_rows(cluster: &Cluster) -> i64 {
    let positions: Option<i64> = sqlx::query_scalar("select sum(position)::bigint from sessions")
        .fetch_one(&cluster.database.pool)
        .await
        .expect("an answer");
    positions.unwrap_or(0)
}

async fn sessions_survive(kills: usize, inside_a_transaction: usize, per_second: usize) {
    let cluster = Cluster::create(4).await;
    let gateway = cluster.gateway().await;
    gateway.ready().await;
    let sessions: Vec<String> = (0..SESSIONS).map(|_| session_id()).collect();
    let mut random = StdRng::seed_from_u64(20_261_121);
    let done = CancellationToken::new();
    let send = |session: &String| send_until(&gateway, session.clone(), per_second / SESSIONS, done.clone());
    let producing = futures_util::future::join_all(sessions.iter().map(send));
    let killing = async {
        let mut consumer = Consumer::start(&cluster);
        for kill in 0..kills {
            // A consumer that has begun to work, so that there is something to interrupt.
            let before = all_rows(&cluster).await;
            wait_until("the consumer works", async || all_rows(&cluster).await > before).await;
            let in_transaction =
                kill * inside_a_transaction / kills != (kill + 1) * inside_a_transaction / kills;
            if in_transaction {
                let mut lock = cluster.database.pool.begin().await.expect("a transaction");
                sqlx::query("select 1 from sessions for update")
                    .execute(&mut *lock)
                    .await
                    .expect("a lock");
                wait_for_open_transaction(&cluster).await;
                consumer.kill();
                lock.rollback().await.expect("rolled back");
            } else {
                sleep(Duration::from_millis(random.random_range(0..500))).await;
                consumer.kill();
            }
            consumer = Consumer::start(&cluster);
        }
        done.cancel();
        consumer
    };
    let (transcripts, mut consumer) = tokio::join!(producing, killing);
    for (session, transcript) in sessions.iter().zip(&transcripts) {
        cluster.wait_for_rows(session, transcript.len() as i64).await;
        assert_part_of(transcript, &cluster.rows(session).await, session);
    }
    consumer.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_killed_at_random_moments_and_inside_a_transaction_lose_and_double_nothing() {
    sessions_survive(5, 2, 2000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs longer than a minute: make soak"]
async fn soak_thirty_kills_ten_of_them_inside_a_transaction() {
    sessions_survive(30, 10, 2000).await;
}

async fn survives_a_storm(rounds: u32, pause: Duration) {
    let cluster = Cluster::create(6).await;
    let gateway = cluster.gateway().await;
    gateway.ready().await;
    let session = session_id();
    let time = pause * rounds;
    let storm = async {
        let mut consumers = [
            Consumer::start(&cluster),
            Consumer::start(&cluster),
            Consumer::start(&cluster),
        ];
        for round in 0..rounds {
            sleep(pause).await;
            let consumer = &mut consumers[(round % 3) as usize];
            consumer.kill();
            *consumer = Consumer::start(&cluster);
        }
        consumers
    };
    let (transcript, mut consumers) = tokio::join!(send_steadily(&gateway, &session, 1000, time), storm);
    cluster.wait_for_rows(&session, transcript.len() as i64).await;
    assert_part_of(&transcript, &cluster.rows(&session).await, "postgres");
    consumers.iter_mut().for_each(Consumer::kill);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_consumers_that_come_and_go_lose_and_double_nothing() {
    survives_a_storm(3, Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs longer than a minute: make soak"]
async fn soak_a_rebalance_storm_of_a_minute() {
    survives_a_storm(20, Duration::from_secs(3)).await;
}
