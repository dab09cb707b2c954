//! What the spine must be told, typed. Where values come from (flags, environment, file, default) is the
//! executable's business.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use kulti_schemas::TopicNames;
use rdkafka::ClientConfig;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// How to reach Kafka.
#[derive(Clone)]
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

/// Sets what `[kafka.properties]` may override.
pub(crate) fn set_unless_configured(client: &mut ClientConfig, defaults: &[(&str, &str)]) {
    for (name, value) in defaults {
        if client.get(name).is_none() {
            client.set(*name, *value);
        }
    }
}

/// Properties by name only: some are passwords.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.properties.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("partitions", &self.partitions)
            .field("replication", &self.replication)
            .field("delivery_timeout", &self.delivery_timeout)
            .field("properties", &names)
            .finish()
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

/// How long a statement may run, a transaction may wait for its client, and a connection may take.
const STATEMENT_LIMIT: &str = "30s";
const IDLE_TRANSACTION_LIMIT: &str = "30s";
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

impl DatabaseConfig {
    /// A pool that connects when it is first used, so that a process starts while Postgres is down.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn pool(&self) -> anyhow::Result<PgPool> {
        let options = self
            .connect_options()?
            .application_name("kulti")
            // A process that hangs inside a transaction must not block whoever takes its partition over.
            .options([
                ("statement_timeout", STATEMENT_LIMIT),
                ("idle_in_transaction_session_timeout", IDLE_TRANSACTION_LIMIT),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(CONNECT_LIMIT);
        Ok(pool.connect_lazy_with(options))
    }

    /// The same, after one connection was made.
    ///
    /// # Errors
    /// If the URL is none, or Postgres does not answer or refuses; it names host, port and database.
    pub async fn connect(&self) -> anyhow::Result<PgPool> {
        let pool = self.pool()?;
        pool.acquire()
            .await
            .map(drop)
            .with_context(|| format!("Postgres at {self} cannot be used"))?;
        Ok(pool)
    }

    fn connect_options(&self) -> anyhow::Result<PgConnectOptions> {
        // Its error may hold a part of the URL, and so of the password.
        self.url.parse().map_err(|_| {
            anyhow::anyhow!(
                "KULTI_DATABASE_URL is no URL such as postgres://user:password@host:5432/database"
            )
        })
    }
}

/// Host, port and database, without the password.
impl fmt::Display for DatabaseConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = self.connect_options() else {
            return formatter.write_str("(no URL)");
        };
        let (host, port) = (options.get_host(), options.get_port());
        write!(
            formatter,
            "{host}:{port}/{}",
            options.get_database().unwrap_or_default()
        )
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DatabaseConfig")
            .field("url", &format_args!("{self}"))
            .field("max_connections", &self.max_connections)
            .finish()
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "auto" => Ok(LogFormat::Auto),
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => anyhow::bail!("`{text}` is none of auto, text, json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let url = "postgres://kulti:hunter2@db.example:5433/live".to_owned();
        let config = DatabaseConfig {
            url,
            max_connections: 3,
        };
        assert_eq!(config.to_string(), "db.example:5433/live");
        assert_eq!(
            format!("{config:?}"),
            "DatabaseConfig { url: db.example:5433/live, max_connections: 3 }"
        );
        let broken = DatabaseConfig {
            url: "postgres://kulti:hunter2@:::".to_owned(),
            max_connections: 3,
        };
        let refused = broken.pool().expect_err("no URL");
        assert!(!format!("{broken:?} {broken} {refused:#}").contains("hunter2"));
    }

    #[test]
    fn kafka_properties_are_never_printed() {
        let properties = vec![("sasl.password".to_owned(), "hunter2".to_owned())];
        let config = KafkaConfig {
            brokers: "kafka:9092".to_owned(),
            topic_prefix: "kulti.".to_owned(),
            partitions: 64,
            replication: 3,
            delivery_timeout: Duration::from_secs(10),
            properties,
        };
        let text = format!("{config:?}");
        assert!(
            text.contains("sasl.password") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
