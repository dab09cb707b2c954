//! Who owns a partition, and what happens to its log: takeovers, rebalances, cut logs, a database that goes away.

#![expect(clippy::unwrap_used, reason = "the lint knows tests, not their helpers")]

mod support;

use std::time::Duration;

use kulti_pipeline::{RunnerOptions, topics};
use kulti_schemas::Event;
use kulti_test_support::{Proxy, event, wait_until};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use support::World;

fn thoughts(session: &str, count: usize) -> Vec<Event> {
    (0..count)
        .map(|number| event(session).thought(&format!("{number}")))
        .collect()
}

/// Positions of every session run from 1 without a hole, and no id is there twice.
async fn assert_whole(world: &World) {
    let wrong: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select session_id, count(*), max(position), count(distinct event_id) from events group by session_id
         having count(*) <> max(position) or count(distinct event_id) <> count(*)",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(wrong, []);
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from sessions where position <>
             (select max(position) from events where session_id = sessions.id)",
    )
    .fetch_one(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(wrong, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_fences_the_owner_before_and_nothing_is_there_twice() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    world.topics.write(&thoughts("s", 100)).await;
    world.wait_for_events(100).await;
    // As another process would that the group gave the partition to.
    sqlx::query("update projection_partitions set owner = owner + 1")
        .execute(&world.database.pool)
        .await
        .unwrap();
    world.topics.write(&thoughts("s", 100)).await;
    wait_until("the zombie is fenced", async || {
        runner.metric("kulti_pipeline_projection_fenced_total") == 1.0
    })
    .await;
    assert_eq!(world.count_events().await, 100, "a fenced batch changes nothing");
    // The group still assigns it the partition, so it takes it over again.
    world.wait_for_events(200).await;
    assert_whole(&world).await;
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_in_flight_is_finished_before_the_next_owner_reads_where_to_go_on() {
    let world = World::with_partitions(1).await;
    world.topics.write(&thoughts("s", 50)).await;
    // A reader who holds the table's lock keeps the transaction open after its first statement.
    let mut blocker = world.database.pool.begin().await.unwrap();
    sqlx::query("lock table events in exclusive mode")
        .execute(&mut *blocker)
        .await
        .unwrap();
    let first = world.start();
    wait_until("the batch is in flight", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'copy events%'
                 and datname = current_database()",
        )
        .fetch_one(&world.database.pool)
        .await
        .unwrap();
        waiting == 1
    })
    .await;
    let second = world.start();
    let stopped = tokio::spawn(first.stop());
    blocker.rollback().await.unwrap();
    stopped.await.unwrap();
    world.wait_for_events(50).await;
    world.topics.write(&thoughts("s", 50)).await;
    world.wait_for_events(100).await;
    assert_whole(&world).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_runners_that_come_and_go_lose_nothing() {
    let world = World::with_partitions(8).await;
    let first = world.start();
    let mut written = 0;
    let mut write = async |world: &World| {
        let events: Vec<Event> = (0..40)
            .flat_map(|session| thoughts(&format!("s{session}"), 10))
            .collect();
        world.topics.write(&events).await;
        written += events.len() as i64;
        written
    };
    write(&world).await;
    let second = world.start();
    let third = world.start();
    write(&world).await;
    wait_until("the partitions are spread", async || {
        [&first, &second, &third]
            .iter()
            .all(|runner| runner.metric("kulti_pipeline_projection_partitions") > 1.0)
    })
    .await;
    let expected = write(&world).await;
    world.wait_for_events(expected).await;
    first.stop().await;
    write(&world).await;
    let fourth = world.start();
    second.stop().await;
    let expected = write(&world).await;
    world.wait_for_events(expected).await;
    assert_whole(&world).await;
    third.stop().await;
    fourth.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recreated_topic_is_not_misread() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    // Until the last moment, so that the log was looked at a moment ago.
    let old = thoughts("s", 100);
    for (index, part) in old.chunks(5).enumerate() {
        world.topics.write(part).await;
        world.wait_for_events((index as i64 + 1) * 5).await;
    }
    world.topics.recreate().await;
    // More than the old log had: the old offset is in the new log, with another record before it.
    let new = thoughts("s", 300);
    world.topics.write(&new).await;
    world.wait_for_stop(0, "log_truncated").await;
    assert_eq!(
        world.count_events().await,
        100,
        "nothing of the new log is applied"
    );
    wait_until("readiness says so", async || {
        runner
            .problem()
            .is_some_and(|problem| problem.contains("log_truncated"))
    })
    .await;

    let taken_up = topics::new_epoch(&world.topics.config, &world.database.pool, "replay")
        .await
        .unwrap();
    assert_eq!(taken_up, [0]);
    // Copies of what is known have no second row; positions go on.
    world.topics.write(&old).await;
    world.topics.write(&thoughts("s", 1)).await;
    world.wait_for_events(401).await;
    assert_whole(&world).await;
    assert_eq!(world.partition_row(0).await.1, 2, "under the next epoch");
    wait_until("it is ready again", async || runner.problem().is_none()).await;
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_recreated_while_nobody_reads_is_not_misread() {
    let world = World::with_partitions(2).await;
    let runner = world.start();
    // One partition's new log will be longer than the old one, the other's shorter.
    let sessions: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let all: Vec<Event> = sessions
        .iter()
        .flat_map(|session| thoughts(session, 10))
        .collect();
    world.topics.write(&all).await;
    world.wait_for_events(200).await;
    runner.stop().await;
    world.topics.recreate().await;
    let in_first = |session: &&String| kulti_schemas::partition_of(session.as_bytes(), 2) == 0;
    let long = sessions.iter().find(in_first).unwrap();
    world.topics.write(&thoughts(long, 500)).await;
    let runner = world.start();
    world.wait_for_stop(0, "log_truncated").await;
    world.wait_for_stop(1, "log_truncated").await;
    assert_eq!(world.count_events().await, 200);
    topics::new_epoch(&world.topics.config, &world.database.pool, "replay")
        .await
        .unwrap();
    world.wait_for_events(700).await;
    assert_whole(&world).await;
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_comes_back_is_gone_on_with() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    world.topics.write(&thoughts("s", 10)).await;
    world.wait_for_events(10).await;
    runner.stop().await;
    // As it is left when the wrong volume was mounted for a while.
    sqlx::query("update projection_partitions set stopped = 'log_truncated'")
        .execute(&world.database.pool)
        .await
        .unwrap();
    world.topics.write(&thoughts("s", 10)).await;
    let runner = world.start();
    world.wait_for_events(20).await;
    assert_whole(&world).await;
    assert_eq!(world.partition_row(0).await.1, 1, "under the same epoch");
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_no_longer_has_its_beginning_is_not_taken_for_a_whole_one() {
    let world = World::with_partitions(2).await;
    let sessions: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    let all: Vec<Event> = sessions
        .iter()
        .flat_map(|session| thoughts(session, 10))
        .collect();
    world.topics.write(&all).await;
    let admin: AdminClient<DefaultClientContext> = world.topics.config.client_config().create().unwrap();
    let mut until = TopicPartitionList::new();
    until
        .add_partition_offset(&world.topics.session_events(), 0, Offset::Offset(5))
        .unwrap();
    admin.delete_records(&until, &AdminOptions::new()).await.unwrap();
    let runner = world.start();
    world.wait_for_stop(0, "log_truncated").await;
    // The other partition goes on.
    let in_second = |session: &&String| kulti_schemas::partition_of(session.as_bytes(), 2) == 1;
    let of_second = sessions.iter().filter(in_second).count() as i64 * 10;
    world.wait_for_events(of_second).await;
    topics::new_epoch(&world.topics.config, &world.database.pool, "replay")
        .await
        .unwrap();
    world.wait_for_events(195).await;
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_waited_for() {
    let world = World::with_partitions(2).await;
    let options: PgConnectOptions = world.database.url.parse().unwrap();
    let proxy = Proxy::to(&format!("{}:{}", options.get_host(), options.get_port())).await;
    let through = options.clone().host("127.0.0.1").port(proxy.address().port());
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with(through);
    let runner = world.start_on(pool, RunnerOptions::default());
    let write = async |count| {
        for session in ["a", "b", "c", "d"] {
            world.topics.write(&thoughts(session, count)).await;
        }
    };
    write(50).await;
    world.wait_for_events(200).await;
    proxy.cut();
    write(50).await;
    wait_until("readiness says so", async || runner.problem().is_some()).await;
    assert_eq!(world.count_events().await, 200);
    proxy.resume();
    world.wait_for_events(400).await;
    wait_until("it is ready again", async || runner.problem().is_none()).await;
    // Cut in the middle of whatever it does: what a commit did is read, not guessed.
    for _ in 0..10 {
        write(20).await;
        proxy.cut();
        proxy.resume();
    }
    world.wait_for_events(1_200).await;
    assert_whole(&world).await;
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_hangs_is_given_up_and_tried_again() {
    let world = World::with_partitions(1).await;
    let options: PgConnectOptions = world.database.url.parse().unwrap();
    let proxy = Proxy::to(&format!("{}:{}", options.get_host(), options.get_port())).await;
    let through = options.clone().host("127.0.0.1").port(proxy.address().port());
    let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(through);
    let transaction = Duration::from_secs(1);
    let runner = world.start_on(
        pool,
        RunnerOptions {
            transaction,
            ..RunnerOptions::default()
        },
    );
    world.topics.write(&thoughts("s", 10)).await;
    world.wait_for_events(10).await;
    proxy.stall();
    world.topics.write(&thoughts("s", 10)).await;
    wait_until("the transaction is given up", async || {
        runner.metric("kulti_pipeline_projection_retries_total") > 0.0
    })
    .await;
    proxy.resume();
    world.wait_for_events(20).await;
    assert_whole(&world).await;
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_projection_holds_a_bounded_queue_and_catches_up() {
    let world = World::with_partitions(1).await;
    let options = RunnerOptions {
        queue_bytes: 128 << 10,
        batch_records: 500,
        ..RunnerOptions::default()
    };
    let runner = world.start_on(world.database.pool.clone(), options);
    world.topics.write(&thoughts("s", 10)).await;
    world.wait_for_events(10).await;
    let mut lock = world.database.pool.begin().await.unwrap();
    sqlx::query("select 1 from projection_partitions for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    let long = "x".repeat(1_000);
    let many: Vec<Event> = (0..5_000).map(|_| event("s").thought(&long)).collect();
    world.topics.write(&many).await;
    wait_until("the lag is known", async || {
        runner.metric("kulti_pipeline_projection_takeovers_total") >= 1.0
    })
    .await;
    assert_eq!(world.count_events().await, 10);
    lock.rollback().await.unwrap();
    world.wait_for_events(5_010).await;
    assert_whole(&world).await;
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_stops_lets_the_next_one_begin_at_once() {
    let world = World::with_partitions(4).await;
    for round in 1..=3 {
        let runner = world.start();
        world.topics.write(&thoughts(&format!("s{round}"), 20)).await;
        world.wait_for_events(round * 20).await;
        runner.stop().await;
    }
    assert_whole(&world).await;
}
