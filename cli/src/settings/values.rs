//! The settings as the crates take them: typed, and refused with their name and origin where they make no sense.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use kulti_consumers::life::LifeOptions;
use kulti_gateway::{GatewayConfig, QuotaLimits, RateLimit, Visibility};
use kulti_masking::{AllowList, Policy};
use kulti_pipeline::config::{DatabaseConfig, KafkaConfig, LogFormat};
use kulti_schemas::AgentId;

use super::Settings;

impl Settings {
    fn parsed<T: std::str::FromStr>(&self, name: &'static str, what: &str) -> anyhow::Result<T> {
        let (value, origin) = self.get(name);
        value
            .trim()
            .parse()
            .map_err(|_| anyhow!("{name} = {value} ({origin}) is not {what}"))
    }

    fn flag(&self, name: &'static str) -> anyhow::Result<bool> {
        match self.get(name) {
            ("1" | "true" | "yes" | "on", _) => Ok(true),
            ("" | "0" | "false" | "no" | "off", _) => Ok(false),
            (value, origin) => bail!("{name} = {value} ({origin}) is neither 1 nor 0"),
        }
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        self.get(name)
            .0
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// Where to listen.
    pub(crate) fn listen(&self) -> anyhow::Result<SocketAddr> {
        let (value, origin) = self.get("listen");
        let mut addresses = value
            .to_socket_addrs()
            .with_context(|| format!("listen = {value} ({origin}) is no address such as 127.0.0.1:8080"))?;
        addresses
            .next()
            .with_context(|| format!("listen = {value} ({origin}) has no address"))
    }

    /// What to log.
    pub(crate) fn log(&self) -> &str {
        self.get("log").0
    }

    /// How to log it.
    pub(crate) fn log_format(&self) -> anyhow::Result<LogFormat> {
        self.parsed("log_format", "auto, text or json")
    }

    /// Kafka.
    pub(crate) fn kafka(&self) -> anyhow::Result<KafkaConfig> {
        let number = "a number above 0";
        let properties = self
            .list("kafka.properties")
            .into_iter()
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) => Ok((name.trim().to_owned(), value.to_owned())),
                None => Err(anyhow!("kafka.properties: write each as name=value")),
            });
        let config = KafkaConfig {
            brokers: self.get("kafka.brokers").0.to_owned(),
            topic_prefix: self.get("kafka.topic_prefix").0.to_owned(),
            partitions: self.parsed::<i32>("kafka.partitions", number)?,
            replication: self.parsed::<i32>("kafka.replication", number)?,
            delivery_timeout: Duration::from_millis(self.parsed("kafka.delivery_timeout_ms", number)?),
            properties: properties.collect::<anyhow::Result<_>>()?,
        };
        if config.partitions < 1 || config.replication < 1 {
            bail!("kafka.partitions and kafka.replication are at least 1");
        }
        Ok(config)
    }

    /// Postgres.
    pub(crate) fn database(&self) -> anyhow::Result<DatabaseConfig> {
        let max_connections = self.parsed("database.connections", "a number above 0")?;
        if max_connections == 0 {
            bail!("database.connections is at least 1");
        }
        Ok(DatabaseConfig {
            url: self.get("database.url").0.to_owned(),
            max_connections,
        })
    }

    /// The gateway.
    pub(crate) fn gateway(&self) -> anyhow::Result<GatewayConfig> {
        let number = "a number";
        let (visibility, origin) = self.get("default_visibility");
        let visibility = Visibility::parse(visibility).with_context(|| {
            format!("default_visibility = {visibility} ({origin}) is not public, unlisted or private")
        })?;
        let public_url = self.get("public_url").0.trim_end_matches('/');
        Ok(GatewayConfig {
            public_url: (!public_url.is_empty()).then(|| public_url.to_owned()),
            allowed_origins: self.list("allowed_origins"),
            default_visibility: visibility,
            open_writes: self.flag("open_writes")?,
            max_connections: self.parsed("max_connections", number)?,
            ingest_memory_bytes: self.parsed("ingest_memory_bytes", number)?,
            tail_bytes: self.parsed("tail_bytes", number)?,
            viewer_queue_bytes: self.parsed("viewer_queue_bytes", number)?,
            session_quota: QuotaLimits {
                events: self.rate("quota.session.events_per_second", 10)?,
                bytes: self.rate("quota.session.bytes_per_second", 8)?,
            },
            key_quota: QuotaLimits {
                events: self.rate("quota.key.events_per_second", 5)?,
                bytes: self.rate("quota.key.bytes_per_second", 5)?,
            },
            viewer_quota: QuotaLimits {
                events: self.rate("quota.viewer.events_per_second", 10)?,
                ..QuotaLimits::VIEWER
            },
            masking: self.masking()?,
            ..GatewayConfig::default()
        })
    }

    /// Which secrets are masked.
    pub(crate) fn masking(&self) -> anyhow::Result<Policy> {
        let (allow, origin) = self.get("masking.allow");
        let off_for = self.list("masking.off_for").into_iter().map(|agent| {
            AgentId::parse(&agent)
                .map(|agent| agent.as_str().to_owned())
                .with_context(|| format!("masking.off_for: `{agent}` is not an agent's id"))
        });
        Ok(Policy {
            enabled: self.flag("masking.enabled")?,
            allow: AllowList::parse_list(allow).with_context(|| format!("masking.allow ({origin})"))?,
            off_for: off_for.collect::<anyhow::Result<_>>()?,
        })
    }

    /// When a session counts as ended.
    pub(crate) fn life(&self) -> anyhow::Result<LifeOptions> {
        let mut agent_timeouts = HashMap::new();
        for pair in self.list("sessions.agent_timeouts") {
            let parsed = pair.rsplit_once('=').and_then(|(agent, seconds)| {
                Some((
                    AgentId::parse(agent.trim()).ok()?,
                    Duration::from_secs(seconds.trim().parse().ok()?),
                ))
            });
            let wrong = || anyhow!("sessions.agent_timeouts: `{pair}` is not agent=seconds");
            let (agent, timeout) = parsed.ok_or_else(wrong)?;
            agent_timeouts.insert(agent, timeout);
        }
        let timeout = Duration::from_secs(self.parsed("sessions.timeout_s", "a number of seconds")?);
        Ok(LifeOptions {
            timeout,
            agent_timeouts,
            ..LifeOptions::default()
        })
    }

    fn rate(&self, name: &'static str, burst: u64) -> anyhow::Result<RateLimit> {
        let per_second: u64 = self.parsed(name, "a number")?;
        Ok(RateLimit {
            per_second,
            burst: per_second.saturating_mul(burst),
        })
    }
}
