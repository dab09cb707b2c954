//! What the gateway is told. Each field names its variable and default; who starts a gateway fills it in.

use std::time::Duration;

use kulti_masking::Policy;

/// Who may see a session that says nothing about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// Everybody; it is listed.
    Public,
    /// Whoever has a share link.
    Unlisted,
    /// The owner and who may read everything.
    #[default]
    Private,
}

impl Visibility {
    /// As in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Visibility::Public => "public",
            Visibility::Unlisted => "unlisted",
            Visibility::Private => "private",
        }
    }
    /// From its name.
    pub fn parse(text: &str) -> Option<Self> {
        [Visibility::Public, Visibility::Unlisted, Visibility::Private]
            .into_iter()
            .find(|visibility| visibility.as_str() == text)
    }
}

/// A token bucket's size; a rate of 0 switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// What comes back each second.
    pub per_second: u64,
    /// What can be spent at once.
    pub burst: u64,
}

/// What one session or one key may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimits {
    /// Events.
    pub events: RateLimit,
    /// Bytes of their JSON text.
    pub bytes: RateLimit,
}

const MIB: u64 = 1024 * 1024;

impl QuotaLimits {
    /// `KULTI_SESSION_EVENTS_PER_SECOND` (10,000, burst x10) and `KULTI_SESSION_BYTES_PER_SECOND` (32 MiB, burst x8).
    pub const SESSION: QuotaLimits = QuotaLimits {
        events: RateLimit {
            per_second: 10_000,
            burst: 100_000,
        },
        bytes: RateLimit {
            per_second: 32 * MIB,
            burst: 256 * MIB,
        },
    };
    /// `KULTI_KEY_EVENTS_PER_SECOND` (50,000, burst x5) and `KULTI_KEY_BYTES_PER_SECOND` (128 MiB, burst x5).
    pub const KEY: QuotaLimits = QuotaLimits {
        events: RateLimit {
            per_second: 50_000,
            burst: 250_000,
        },
        bytes: RateLimit {
            per_second: 128 * MIB,
            burst: 640 * MIB,
        },
    };
    /// `KULTI_VIEWER_EVENTS_PER_SECOND` (2, burst x10).
    pub const VIEWER: QuotaLimits = QuotaLimits {
        events: RateLimit {
            per_second: 2,
            burst: 20,
        },
        bytes: RateLimit {
            per_second: 0,
            burst: 0,
        },
    };
}

/// Everything about the gateway that an operator may decide.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// `KULTI_PUBLIC_URL`: where people reach this server; without it links are made from the request's `Host`.
    pub public_url: Option<String>,
    /// `KULTI_ALLOWED_ORIGINS`: pages of other origins that may open sockets here, as `https://host[:port]`.
    pub allowed_origins: Vec<String>,
    /// `KULTI_DEFAULT_VISIBILITY`, default private.
    pub default_visibility: Visibility,
    /// `KULTI_OPEN_WRITES`: before there is a key, writes need no loopback listener and peer.
    pub open_writes: bool,
    /// `KULTI_MAX_CONNECTIONS`, default 10,000; more are answered with 503.
    pub max_connections: usize,
    /// `KULTI_INGEST_MEMORY_BYTES`, default 256 MiB: bodies held at once; more are answered with 503.
    pub ingest_memory_bytes: usize,
    /// `KULTI_TAIL_BYTES`, default 256 MiB: recent records in memory, for those who join while replay is behind.
    pub tail_bytes: usize,
    /// `KULTI_VIEWER_QUEUE_BYTES`, default 1 MiB: frames that wait for one viewer; one who is further behind catches
    /// up from the log instead.
    pub viewer_queue_bytes: usize,
    /// Per session.
    pub session_quota: QuotaLimits,
    /// Per key; before there is a key, for all who write together.
    pub key_quota: QuotaLimits,
    /// What one viewer may say: chat, markers, clips. Per key, or per address before there is a key.
    pub viewer_quota: QuotaLimits,
    /// `KULTI_MASKING`, default on; `KULTI_MASKING_ALLOW`; `KULTI_MASKING_OFF_FOR`: which secrets are masked before the log.
    pub masking: Policy,
    /// How long requests may take to finish once shutdown has begun.
    pub shutdown_budget: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        GatewayConfig {
            public_url: None,
            allowed_origins: Vec::new(),
            default_visibility: Visibility::default(),
            open_writes: false,
            max_connections: 10_000,
            ingest_memory_bytes: 256 * MIB as usize,
            tail_bytes: 256 * MIB as usize,
            viewer_queue_bytes: MIB as usize,
            session_quota: QuotaLimits::SESSION,
            key_quota: QuotaLimits::KEY,
            viewer_quota: QuotaLimits::VIEWER,
            masking: Policy::default(),
            shutdown_budget: Duration::from_secs(8),
        }
    }
}
