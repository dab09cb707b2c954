//! Kafka: reachable, topics as they must be, takes a write, in step with our clock.

use std::time::Duration;

use chrono::Utc;
use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::topics::check_topics;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::Check;

const ANSWER: Duration = Duration::from_secs(5);
/// In case we do not get to delete it.
const SCRATCH_RETENTION_MS: &str = "3600000";

/// All about the log.
pub(super) async fn checks(kafka: KafkaConfig) -> Vec<Check> {
    let (brokers, asked) = (kafka.brokers.clone(), kafka.clone());
    let reached = tokio::task::spawn_blocking(move || brokers_of(&asked)).await;
    let fix = "start Kafka (dev/stack up, docker compose up), or set kafka.brokers (KULTI_KAFKA_BROKERS)";
    let mut checks = match reached {
        Ok(Ok(count)) => vec![Check::ok("broker", format!("{brokers}, {count} in the cluster"))],
        Ok(Err(error)) => return vec![Check::failed("broker", format!("{brokers}: {error:#}"), fix)],
        Err(error) => return vec![Check::failed("broker", error.to_string(), fix)],
    };
    checks.push(match check_topics(&kafka).await {
        Ok(()) => Check::ok("topics", format!("{} partitions", kafka.partitions)),
        Err(error) => Check::failed(
            "topics",
            format!("{error:#}"),
            "kulti topics ensure, or kafka.partitions as the topic has it",
        ),
    });
    checks.push(match clock_difference(&kafka).await {
        Ok(difference) => Check::clock("broker clock", difference, "the broker's"),
        Err(error) => Check::warning(
            "broker clock",
            format!("not measured: {error:#}"),
            "nothing, if this user may not make topics",
        ),
    });
    checks
}

fn brokers_of(kafka: &KafkaConfig) -> anyhow::Result<usize> {
    let consumer: BaseConsumer = kafka.client_config().create()?;
    Ok(consumer.fetch_metadata(None, ANSWER)?.brokers().len())
}

/// How far the broker's clock is ahead of ours, in milliseconds: a topic of its own whose records carry the
/// broker's time tells.
async fn clock_difference(kafka: &KafkaConfig) -> anyhow::Result<i64> {
    let admin: AdminClient<DefaultClientContext> = kafka.client_config().create()?;
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER))
        .operation_timeout(Some(ANSWER));
    let name = format!("{}doctor-{}", kafka.topic_prefix, uuid::Uuid::now_v7());
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(kafka.replication))
        .set("message.timestamp.type", "LogAppendTime")
        .set("retention.ms", SCRATCH_RETENTION_MS);
    for result in admin.create_topics([&topic], &options).await? {
        result.map_err(|(_, code)| anyhow::anyhow!("{code}"))?;
    }
    let measured = write_and_compare(kafka, &name).await;
    admin.delete_topics(&[&name], &options).await.ok();
    measured
}

async fn write_and_compare(kafka: &KafkaConfig, topic: &str) -> anyhow::Result<i64> {
    let producer: FutureProducer = kafka
        .client_config()
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("delivery.timeout.ms", "5000")
        .create()?;
    let write = || async {
        let before = Utc::now().timestamp_millis();
        let record = FutureRecord::<(), _>::to(topic).payload("clock");
        let delivery = producer.send(record, ANSWER).await.map_err(|(error, _)| error)?;
        let ours = i64::midpoint(before, Utc::now().timestamp_millis());
        let theirs = delivery
            .timestamp
            .to_millis()
            .ok_or_else(|| anyhow::anyhow!("the broker gave no time"))?;
        Ok(theirs - ours)
    };
    // The first one waits for the new topic's leader; the second one is the measurement.
    write().await?;
    write().await
}
