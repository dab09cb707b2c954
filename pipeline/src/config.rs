//! Configuration: flags, then `KULTI_*` environment, then a TOML file, then the default.

use std::time::Duration;

use kulti_schemas::TopicNames;
use rdkafka::ClientConfig;

/// How to reach Kafka.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `KULTI_KAFKA_BROKERS`, default 127.0.0.1:9092.
    pub brokers: String,
    /// `KULTI_TOPIC_PREFIX`, default `kulti.`; consumer groups carry it too.
    pub topic_prefix: String,
    /// `KULTI_TOPIC_PARTITIONS`, default 64, fixed once the topic exists.
    pub partitions: i32,
    /// `KULTI_TOPIC_REPLICATION`, default 1.
    pub replication: i32,
    /// `KULTI_KAFKA_DELIVERY_TIMEOUT_MS`, default 10,000: after this an unacknowledged event is answered with `retry`.
    pub delivery_timeout: Duration,
    /// Further librdkafka properties (`[kafka.properties]` in the file, `KULTI_KAFKA_PROPERTIES=a=b,c=d`): TLS, SASL.
    pub properties: Vec<(String, String)>,
}

impl KafkaConfig {
    /// What every client of ours has in common; the configured properties override it.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "kulti")
            .set("allow.auto.create.topics", "false")
            .set("log.connection.close", "false")
            // The defaults, 100 ms to 10 s, would keep us away for seconds after a broker is back.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("topic.metadata.refresh.fast.interval.ms", "100");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
    /// The topics' physical names.
    pub fn topics(&self) -> TopicNames {
        TopicNames::new(&self.topic_prefix)
    }
}

/// How to reach Postgres.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// `KULTI_DATABASE_URL`; holds a password, so it is never printed.
    pub url: String,
    /// `KULTI_DATABASE_CONNECTIONS`, default 10 per role.
    pub max_connections: u32,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}
