//! Secrets that several requests said together, on real servers: redacted once, whoever looks and however often.

#![expect(clippy::unwrap_used, reason = "the lint knows tests, not their helpers")]

mod support;

use std::sync::Arc;

use kulti_consumers::masking::{MaskingContext, MaskingMetrics, mask_session};
use kulti_masking::{Masker, Policy};
use kulti_schemas::{Event, EventId};
use kulti_test_support::{event, wait_until};
use prometheus::Registry;
use serde_json::{Value, json};
use support::World;
use tokio_util::sync::CancellationToken;

const PARTS: [&str; 3] = [
    "$ cat é token\r\nghp_aB3dE5gH",
    "7jK9mN1pQ3sT5vW7",
    "yZ9bC1dE3fG5 done",
];

fn context(world: &World, policy: Policy) -> MaskingContext {
    MaskingContext {
        pool: world.database.pool.clone(),
        kafka: world.topics.config.clone(),
        producer: world.topics.producer(),
        policy: Arc::new(policy),
        metrics: MaskingMetrics::register(&Registry::new()).unwrap(),
        stopping: CancellationToken::new(),
    }
}

async fn look(context: &MaskingContext) -> u64 {
    wait_until("the log answers", async || context.producer.is_available()).await;
    mask_session(context, &Masker::default(), "s").await.unwrap()
}

fn output(text: &str) -> Event {
    event("s").kind("terminal.output", json!({"terminal": "t", "text": text}))
}

async fn data_of(world: &World, kind: &str) -> Vec<Value> {
    let texts: Vec<String> =
        sqlx::query_scalar("select data::text from events where kind = $1 order by position")
            .bind(kind)
            .fetch_all(&world.database.pool)
            .await
            .unwrap();
    texts
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

async fn start_over(world: &World) {
    sqlx::query("update sessions set masked_to = 0")
        .execute(&world.database.pool)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_secret_is_the_same_redaction() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    let context = context(&world, Policy::default());
    // Each look may lose its place before the redaction has come back: a crash, another process.
    world.topics.write(&[output(PARTS[0]), output(PARTS[1])]).await;
    world.wait_for_events(2).await;
    assert_eq!(look(&context).await, 0);
    world
        .topics
        .write(&[event("s").thought("between"), output(PARTS[2])])
        .await;
    world.wait_for_events(4).await;
    assert_eq!(look(&context).await, 1);
    start_over(&world).await;
    look(&context).await;
    world.wait_for_events(5).await;
    start_over(&world).await;
    assert_eq!(look(&context).await, 0, "what is hidden is no secret any more");
    let texts: Vec<Value> = data_of(&world, "terminal.output").await;
    let texts: Vec<&str> = texts.iter().map(|data| data["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        [
            "$ cat é token\r\n████████████",
            "████████████████",
            "████████████ done"
        ]
    );
    let redactions = data_of(&world, "redaction").await;
    assert_eq!(redactions.len(), 1);
    assert_eq!(redactions[0]["reason"], "masked: github-token");
    assert_eq!(redactions[0]["events"].as_array().unwrap().len(), 3);
    runner.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_messages_are_looked_through_as_texts_are_and_agents_may_be_left_out() {
    let world = World::with_partitions(1).await;
    let runner = world.start();
    let bytes = ["Z2hwX2FCM2RFNWdI", "N2pLOW1OMXBRM3NUNXZXNw==", "eVo5YkMxZEUzZkc1"];
    let outputs = bytes.map(|base64| event("s").kind("terminal.output", json!({"base64": base64})));
    let deltas = PARTS.map(|part| {
        let data = json!({"message": "m", "index": 0, "text": part});
        event("s").id(EventId::generate()).kind("message.delta", data)
    });
    world.topics.write(&[outputs, deltas].concat()).await;
    world.wait_for_events(6).await;
    let left_out = Policy {
        off_for: [outputs_agent(&world).await].into(),
        ..Policy::default()
    };
    assert_eq!(look(&context(&world, left_out)).await, 0);
    start_over(&world).await;
    assert_eq!(look(&context(&world, Policy::default())).await, 2);
    world.wait_for_events(8).await;
    let outputs = data_of(&world, "terminal.output").await;
    assert_eq!(outputs[0]["base64"], "KioqKioqKioqKioq");
    let deltas = data_of(&world, "message.delta").await;
    assert_eq!(deltas[2]["text"], "████████████ done");
    runner.stop().await;
}

async fn outputs_agent(world: &World) -> String {
    sqlx::query_scalar("select agent_id from sessions")
        .fetch_one(&world.database.pool)
        .await
        .unwrap()
}
