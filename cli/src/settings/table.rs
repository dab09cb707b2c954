//! Every setting of the server: its name in the file, its variable, its default.

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// In the TOML file and for `--set`.
    pub(crate) name: &'static str,
    /// In the environment.
    pub(crate) variable: &'static str,
    /// As text; empty for none.
    pub(crate) default: &'static str,
    /// Whether it holds something that must not be printed.
    pub(crate) secret: bool,
    /// For people.
    pub(crate) meaning: &'static str,
}

const fn setting(
    name: &'static str,
    variable: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting {
        name,
        variable,
        default,
        secret: false,
        meaning,
    }
}

/// All of them, in the order in which they are printed.
pub(crate) const SETTINGS: &[Setting] = &[
    setting(
        "listen",
        "KULTI_LISTEN",
        "127.0.0.1:8080",
        "where the gateway listens",
    ),
    setting(
        "public_url",
        "KULTI_PUBLIC_URL",
        "",
        "where people reach it; else links follow the request's Host",
    ),
    setting(
        "default_visibility",
        "KULTI_DEFAULT_VISIBILITY",
        "private",
        "of sessions that do not say: public, unlisted, private",
    ),
    setting(
        "open_writes",
        "KULTI_OPEN_WRITES",
        "0",
        "1: before there is a key, writes need no loopback",
    ),
    setting(
        "allowed_origins",
        "KULTI_ALLOWED_ORIGINS",
        "",
        "other pages that may open sockets, separated by commas",
    ),
    setting(
        "max_connections",
        "KULTI_MAX_CONNECTIONS",
        "10000",
        "more are answered with 503",
    ),
    setting(
        "ingest_memory_bytes",
        "KULTI_INGEST_MEMORY_BYTES",
        "268435456",
        "bodies held at once",
    ),
    setting(
        "tail_bytes",
        "KULTI_TAIL_BYTES",
        "268435456",
        "recent records in memory, for those who join late",
    ),
    setting(
        "viewer_queue_bytes",
        "KULTI_VIEWER_QUEUE_BYTES",
        "1048576",
        "frames that wait for one viewer",
    ),
    setting(
        "masking.enabled",
        "KULTI_MASKING",
        "1",
        "0: secrets are written to the log as they come",
    ),
    setting(
        "masking.allow",
        "KULTI_MASKING_ALLOW",
        "",
        "what is no secret: values or /patterns/, separated by commas",
    ),
    setting(
        "masking.off_for",
        "KULTI_MASKING_OFF_FOR",
        "",
        "agents whose events are not masked, separated by commas",
    ),
    setting(
        "log",
        "KULTI_LOG",
        "info,sqlx=warn",
        "what is logged: error, warn, info, debug, or filters like kulti_gateway=debug",
    ),
    setting(
        "log_format",
        "KULTI_LOG_FORMAT",
        "auto",
        "text, json, or auto: text on a terminal, else json",
    ),
    setting(
        "sessions.timeout_s",
        "KULTI_SESSION_TIMEOUT_S",
        "43200",
        "a session whose agent is silent for so long has ended",
    ),
    setting(
        "sessions.agent_timeouts",
        "KULTI_AGENT_TIMEOUTS",
        "",
        "the same for single agents: nex=3600,ci=600",
    ),
    setting(
        "kafka.brokers",
        "KULTI_KAFKA_BROKERS",
        "127.0.0.1:9092",
        "host:port, separated by commas",
    ),
    setting(
        "kafka.topic_prefix",
        "KULTI_TOPIC_PREFIX",
        "kulti.",
        "before every topic and consumer group",
    ),
    setting(
        "kafka.partitions",
        "KULTI_TOPIC_PARTITIONS",
        "64",
        "of the session topic, fixed once it exists",
    ),
    setting(
        "kafka.replication",
        "KULTI_TOPIC_REPLICATION",
        "1",
        "copies of each topic",
    ),
    setting(
        "kafka.delivery_timeout_ms",
        "KULTI_KAFKA_DELIVERY_TIMEOUT_MS",
        "10000",
        "then an event is answered with retry",
    ),
    Setting {
        name: "kafka.properties",
        variable: "KULTI_KAFKA_PROPERTIES",
        default: "",
        secret: true,
        meaning: "further librdkafka properties: a=b,c=d (TLS, SASL)",
    },
    Setting {
        name: "database.url",
        variable: "KULTI_DATABASE_URL",
        default: "postgres://kulti@127.0.0.1:5432/kulti",
        secret: true,
        meaning: "Postgres",
    },
    setting(
        "database.connections",
        "KULTI_DATABASE_CONNECTIONS",
        "10",
        "per role",
    ),
    setting(
        "quota.session.events_per_second",
        "KULTI_SESSION_EVENTS_PER_SECOND",
        "10000",
        "burst x10; 0: off",
    ),
    setting(
        "quota.session.bytes_per_second",
        "KULTI_SESSION_BYTES_PER_SECOND",
        "33554432",
        "burst x8; 0: off",
    ),
    setting(
        "quota.key.events_per_second",
        "KULTI_KEY_EVENTS_PER_SECOND",
        "50000",
        "burst x5; 0: off",
    ),
    setting(
        "quota.key.bytes_per_second",
        "KULTI_KEY_BYTES_PER_SECOND",
        "134217728",
        "burst x5; 0: off",
    ),
    setting(
        "quota.viewer.events_per_second",
        "KULTI_VIEWER_EVENTS_PER_SECOND",
        "2",
        "chat, markers and clips of one viewer; burst x10; 0: off",
    ),
];
