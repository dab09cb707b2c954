//! `kulti topics`: makes and checks the topics, and takes up a log that was cut or recreated.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::topics::{check_topics, ensure_topics, new_epoch};
use kulti_schemas::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde::Serialize;

use crate::environment::Environment;
use crate::output::{Paint, note, print_line, table};
use crate::server::Role;
use crate::settings::{ConfigArguments, Settings};

/// How long a broker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Flags of `kulti topics`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kulti topics ensure\n  kulti topics new-epoch replay")]
pub(crate) struct TopicsArguments {
    #[command(subcommand)]
    action: Option<TopicsAction>,
    #[command(flatten)]
    config: ConfigArguments,
}

#[derive(Debug, Subcommand)]
enum TopicsAction {
    /// List the topics and what they hold; so does `kulti topics` alone
    #[command(after_help = "Example:\n  kulti topics list --json")]
    List {
        /// One topic per line, as JSON
        #[arg(long)]
        json: bool,
    },
    /// Fail if a topic is missing or has another number of partitions
    #[command(after_help = "Example:\n  kulti topics check")]
    Check,
    /// Make what is missing
    #[command(after_help = "Example:\n  kulti topics ensure --set kafka.replication=3")]
    Ensure,
    /// After a log was cut or recreated (log_truncated): go on at its start; rows stay, positions go on
    #[command(after_help = "Example:\n  kulti topics new-epoch replay")]
    NewEpoch {
        /// Of which consumer
        #[arg(default_value = "replay")]
        consumer: Role,
    },
}

#[derive(Serialize)]
struct TopicLine {
    topic: String,
    /// None if it does not exist.
    partitions: Option<usize>,
    records: i64,
}

/// Does it.
pub(crate) async fn run(arguments: TopicsArguments, environment: &Environment) -> anyhow::Result<()> {
    let settings = Settings::load(&arguments.config, &[], environment)?;
    let kafka = settings.kafka()?;
    match arguments.action.unwrap_or(TopicsAction::List { json: false }) {
        TopicsAction::List { json } => list(kafka, json, environment).await,
        TopicsAction::Check => {
            check_topics(&kafka).await?;
            Ok(print_line("the topics are as they should be")?)
        }
        TopicsAction::Ensure => {
            ensure_topics(&kafka).await?;
            list(kafka, false, environment).await
        }
        TopicsAction::NewEpoch { consumer } => {
            let Role::Replay = consumer;
            let pool = settings.database()?.connect().await?;
            let taken_up = new_epoch(&kafka, &pool, "replay").await?;
            if taken_up.is_empty() {
                return Ok(print_line(
                    "the log is the one that was read: nothing to take up",
                )?);
            }
            let partitions: Vec<String> = taken_up.iter().map(i32::to_string).collect();
            Ok(print_line(format!(
                "taken up under a new epoch: partitions {}",
                partitions.join(", ")
            ))?)
        }
    }
}

async fn list(kafka: KafkaConfig, json: bool, environment: &Environment) -> anyhow::Result<()> {
    let lines = tokio::task::spawn_blocking(move || topic_lines(&kafka)).await??;
    if json {
        for line in &lines {
            print_line(serde_json::to_string(line)?)?;
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let partitions = line
                .partitions
                .map_or_else(|| "missing".to_owned(), |count| count.to_string());
            vec![partitions, line.records.to_string(), line.topic.clone()]
        })
        .collect();
    print_line(table(
        &["PARTITIONS", "RECORDS", "TOPIC"],
        &rows,
        Paint::for_stdout(environment),
    ))?;
    if lines.iter().any(|line| line.partitions.is_none()) {
        note("`kulti topics ensure` makes what is missing");
    }
    Ok(())
}

fn topic_lines(kafka: &KafkaConfig) -> anyhow::Result<Vec<TopicLine>> {
    let consumer: BaseConsumer = kafka.client_config().create()?;
    let metadata = consumer
        .fetch_metadata(None, ANSWER)
        .with_context(|| format!("no kafka broker at {} answers", kafka.brokers))?;
    let mut lines = Vec::new();
    for topic in [Topic::SessionEvents, Topic::DeadLetters] {
        let name = kafka.topics().name(topic);
        let found = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == name && !topic.partitions().is_empty());
        let mut records = 0;
        for partition in found.into_iter().flat_map(|topic| topic.partitions()) {
            let (low, high) = consumer.fetch_watermarks(&name, partition.id(), ANSWER)?;
            records += high - low;
        }
        lines.push(TopicLine {
            topic: name,
            partitions: found.map(|topic| topic.partitions().len()),
            records,
        });
    }
    Ok(lines)
}
