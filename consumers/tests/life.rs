//! The life of a session on real servers: a timeout is one event, whoever writes it.

#![expect(clippy::unwrap_used, reason = "the lint knows tests, not their helpers")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kulti_consumers::life::{LifeContext, LifeMetrics, LifeOptions, sweep};
use kulti_schemas::{AgentId, Source, Timestamp};
use kulti_test_support::event;
use prometheus::Registry;
use serde_json::json;
use support::World;
use tokio_util::sync::CancellationToken;

const HOUR: i64 = 3_600_000_000;
const START: i64 = 1_700_000_000_000_000;

fn at(hours: i64) -> Timestamp {
    Timestamp(START + hours * HOUR)
}

/// A sweep in a role of its own, at this time.
async fn sweep_at(world: &World, hours: i64, change: impl FnOnce(&mut LifeOptions)) -> usize {
    let mut options = LifeOptions {
        catch_up: Duration::from_millis(300),
        ..LifeOptions::default()
    };
    change(&mut options);
    let producer = world.topics.producer();
    let context = LifeContext {
        kafka: world.topics.config.clone(),
        pool: world.database.pool.clone(),
        producer: producer.clone(),
        options,
        metrics: LifeMetrics::register(&Registry::new()).unwrap(),
        clock: Arc::new(move || at(hours)),
        stopping: CancellationToken::new(),
    };
    sweep(&context).await.unwrap()
}

async fn ends(world: &World) -> Vec<(i64, String, String)> {
    sqlx::query_as(
        "select position, source, data->>'reason' from events where kind = 'session.ended' order by position",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap()
}

async fn end_reason(world: &World, session: &str) -> Option<String> {
    sqlx::query_scalar("select end_reason from sessions where id = $1")
        .bind(session)
        .fetch_one(&world.database.pool)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_at_once_write_one_timeout_and_each_silence_has_its_own() {
    let world = World::with_partitions(2).await;
    let runner = world.start();
    let timeout = |position| (position, "system".to_owned(), "timeout".to_owned());
    world
        .topics
        .write(&[
            event("s").at(at(0)).started("task"),
            event("s").at(at(1)).thought("hm"),
        ])
        .await;
    world.wait_for_events(2).await;
    assert_eq!(
        sweep_at(&world, 12, |_| {}).await,
        0,
        "the twelfth hour has not passed"
    );

    let both = tokio::join!(sweep_at(&world, 14, |_| {}), sweep_at(&world, 14, |_| {}));
    assert!(both.0 + both.1 >= 1);
    world.wait_for_events(3).await;
    assert_eq!(sweep_at(&world, 15, |_| {}).await, 0, "it is over");
    assert_eq!(ends(&world).await, [timeout(3)]);
    assert_eq!(end_reason(&world, "s").await.as_deref(), Some("timeout"));

    world
        .topics
        .write(&[event("s").at(at(20)).thought("again")])
        .await;
    world.wait_for_events(4).await;
    assert_eq!(
        end_reason(&world, "s").await,
        None,
        "a later event opens it again"
    );
    // A viewer does not keep it open.
    let chat = event("s")
        .at(at(31))
        .source(Source::Viewer)
        .kind("chat", json!({"text": "anybody there?"}));
    world.topics.write(&[chat]).await;
    world.wait_for_events(5).await;
    assert_eq!(sweep_at(&world, 33, |_| {}).await, 1);
    world.wait_for_events(6).await;
    assert_eq!(ends(&world).await, [timeout(3), timeout(6)]);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_have_a_timeout_of_its_own() {
    let world = World::with_partitions(2).await;
    let runner = world.start();
    world
        .topics
        .write(&[
            event("quick").agent("quick").at(at(0)).started("t"),
            event("slow").at(at(0)).started("t"),
        ])
        .await;
    world.wait_for_events(2).await;
    let own = HashMap::from([(AgentId::parse("quick").unwrap(), Duration::from_secs(3600))]);
    assert_eq!(
        sweep_at(&world, 2, |options| options.agent_timeouts = own).await,
        1
    );
    world.wait_for_events(3).await;
    assert_eq!(end_reason(&world, "quick").await.as_deref(), Some("timeout"));
    assert_eq!(end_reason(&world, "slow").await, None);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_only_looks_silent_is_not_ended() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    world.topics.write(&[event("s").at(at(0)).started("t")]).await;
    world.wait_for_events(1).await;
    runner.stop().await;
    // In the log, but not in the rows.
    world
        .topics
        .write(&[event("s").at(at(13)).thought("still here")])
        .await;
    assert_eq!(sweep_at(&world, 14, |_| {}).await, 0);
    let runner = world.start();
    world.wait_for_events(2).await;
    assert_eq!(sweep_at(&world, 14, |_| {}).await, 0);
    assert_eq!(ends(&world).await, []);
    runner.stop().await;
}
