//! Makes and checks the topics, and takes up a log that was cut or recreated.

mod epoch;

use std::time::Duration;

use anyhow::Context as _;
use kulti_schemas::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;
use tokio::time::Instant;

use crate::config::KafkaConfig;
use crate::producer::MAX_RECORD_BYTES;
pub use epoch::new_epoch;

/// How long a broker may take to answer, and new topics to get their leaders.
const LIMIT: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Makes what is missing and waits until every partition has a leader; refuses a session topic with another number
/// of partitions than configured.
///
/// # Errors
/// If no broker answers, refuses to make a topic, or a topic is not as it must be.
pub async fn ensure_topics(config: &KafkaConfig) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = config.client_config().create()?;
    let names = config.topics();
    let (events, dead_letters) = (names.name(Topic::SessionEvents), names.name(Topic::DeadLetters));
    let max_bytes = MAX_RECORD_BYTES.to_string();
    // With fewer copies than two there is no other that could be in sync.
    let in_sync = if config.replication >= 3 { "2" } else { "1" };
    let topics = [(events, config.partitions), (dead_letters, 1)];
    let wanted = topics.iter().map(|(name, partitions)| {
        NewTopic::new(name, *partitions, TopicReplication::Fixed(config.replication))
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("cleanup.policy", "delete")
            .set("max.message.bytes", &max_bytes)
            .set("min.insync.replicas", in_sync)
    });
    let wanted: Vec<_> = wanted.collect();
    let options = AdminOptions::new()
        .request_timeout(Some(LIMIT))
        .operation_timeout(Some(LIMIT));
    let results = admin
        .create_topics(&wanted, &options)
        .await
        .with_context(|| format!("no kafka broker at {} answers", config.brokers))?;
    for result in results {
        match result {
            Ok(name) => tracing::info!(kafka.topic = name, "made topic {name}"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => anyhow::bail!("topic {name} cannot be made: {code}"),
        }
    }
    wait_for_leaders(config).await?;
    check_topics(config).await
}

/// Refuses a missing topic, another number of partitions, and a topic that would delete or refuse events.
///
/// # Errors
/// Naming the topic, what is wrong and what to do.
pub async fn check_topics(config: &KafkaConfig) -> anyhow::Result<()> {
    let metadata = fetch_metadata(config).await?;
    let names = config.topics();
    for topic in [Topic::SessionEvents, Topic::DeadLetters] {
        let name = names.name(topic);
        let Some(partitions) = partitions_of(&metadata, &name) else {
            anyhow::bail!(
                "topic {name} does not exist on {}: run `kulti topics ensure`",
                config.brokers
            );
        };
        anyhow::ensure!(
            topic != Topic::SessionEvents || partitions == config.partitions,
            "topic {name} has {partitions} partitions, configured are {}: the number is fixed once the topic exists; \
             set KULTI_TOPIC_PARTITIONS={partitions}",
            config.partitions
        );
    }
    warn_of_retention(config, &names.name(Topic::SessionEvents)).await;
    Ok(())
}

/// A topic that forgets is the operator's right (an archive may hold the rest), but never a surprise.
async fn warn_of_retention(config: &KafkaConfig, topic: &str) {
    let described = async {
        let admin: AdminClient<DefaultClientContext> = config.client_config().create()?;
        let options = AdminOptions::new().request_timeout(Some(LIMIT));
        admin
            .describe_configs([&ResourceSpecifier::Topic(topic)], &options)
            .await
    };
    let resources = match described.await {
        Ok(resources) => resources,
        Err(error) => return tracing::debug!(%error, kafka.topic = topic, "topic settings cannot be read"),
    };
    for resource in resources.into_iter().flatten() {
        for (key, wanted) in [
            ("retention.ms", "-1"),
            ("retention.bytes", "-1"),
            ("cleanup.policy", "delete"),
        ] {
            let value = resource.get(key).and_then(|entry| entry.value.clone());
            if let Some(value) = value.filter(|value| value != wanted) {
                tracing::warn!(
                    kafka.topic = topic,
                    "topic {topic} has {key}={value}: events will leave the log; {key}={wanted} keeps them"
                );
            }
        }
    }
}

/// How long a topic keeps its records; `None` while it keeps them for ever.
///
/// # Errors
/// If no broker answers, or it does not know the topic.
pub async fn retention(config: &KafkaConfig, topic: &str) -> anyhow::Result<Option<Duration>> {
    let admin: AdminClient<DefaultClientContext> = config.client_config().create()?;
    let options = AdminOptions::new().request_timeout(Some(LIMIT));
    let resources = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &options)
        .await?;
    let resource = resources
        .into_iter()
        .next()
        .context("the broker told nothing about the topic")?
        .map_err(|code| anyhow::anyhow!("settings of {topic} cannot be read: {code}"))?;
    let value = resource
        .get("retention.ms")
        .and_then(|entry| entry.value.as_deref());
    let millis: i64 = value
        .context("the broker names no retention")?
        .parse()
        .context("the retention is no number")?;
    Ok(u64::try_from(millis).ok().map(Duration::from_millis))
}

async fn wait_for_leaders(config: &KafkaConfig) -> anyhow::Result<()> {
    let names = config.topics();
    let begun = Instant::now();
    loop {
        let metadata = fetch_metadata(config).await?;
        let without = [Topic::SessionEvents, Topic::DeadLetters]
            .map(|topic| names.name(topic))
            .into_iter()
            .find(|name| !has_leaders(&metadata, name));
        let Some(name) = without else { return Ok(()) };
        anyhow::ensure!(
            begun.elapsed() < LIMIT,
            "topic {name} has partitions without a leader after {LIMIT:?}"
        );
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn partitions_of(metadata: &Metadata, name: &str) -> Option<i32> {
    let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
    i32::try_from(topic.partitions().len())
        .ok()
        .filter(|partitions| *partitions > 0)
}

fn has_leaders(metadata: &Metadata, name: &str) -> bool {
    let topic = metadata.topics().iter().find(|topic| topic.name() == name);
    topic.is_some_and(|topic| {
        let partitions = topic.partitions();
        !partitions.is_empty() && partitions.iter().all(|partition| partition.leader() >= 0)
    })
}

async fn fetch_metadata(config: &KafkaConfig) -> anyhow::Result<Metadata> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || {
        let client: AdminClient<DefaultClientContext> = config.client_config().create()?;
        client
            .inner()
            .fetch_metadata(None, LIMIT)
            .with_context(|| format!("no kafka broker at {} answers", config.brokers))
    })
    .await?
}
