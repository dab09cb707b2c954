//! What every handler shares.

use std::ops::Deref;
use std::sync::Arc;

use kulti_pipeline::LogProducer;
use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::lifecycle::Lifecycle;
use kulti_schemas::{Topic, TopicNames};
use prometheus::Registry;
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::asciinema::Seats;
use crate::config::GatewayConfig;
use crate::exports::Exports;
use crate::ingest::{HookMemory, IngestMemory, Owners, SimpleMemory};
use crate::keys::Keys;
use crate::live::{Live, LiveMetrics, LiveOptions};
use crate::masking::Masking;
use crate::metrics::GatewayMetrics;
use crate::pictures::Pictures;
use crate::quotas::Quotas;
use crate::reads::found_markers::FoundMarkers;
use crate::reads::outline::Outlines;
use crate::replay::Replays;
use crate::watch::FollowedAgents;

/// What a gateway is made of.
pub struct AppParts {
    /// The read models and `control`.
    pub pool: PgPool,
    /// The log.
    pub producer: LogProducer,
    /// How to reach the log, for the live tail.
    pub kafka: KafkaConfig,
    /// What the operator decided.
    pub config: GatewayConfig,
    /// The process's life.
    pub lifecycle: Lifecycle,
    /// Where metrics are registered, and what /metrics shows.
    pub registry: Registry,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// Behind `AppState`.
pub struct Shared {
    /// The read models and `control`.
    pub pool: PgPool,
    /// The log.
    pub producer: LogProducer,
    /// What the topics are called.
    pub topics: TopicNames,
    /// The session topic's name.
    pub(crate) session_topic: String,
    /// What the operator decided.
    pub config: GatewayConfig,
    /// The process's life.
    pub lifecycle: Lifecycle,
    /// What /metrics shows.
    pub registry: Registry,
    /// The live tail; whoever starts the gateway runs it (`Live::run`).
    pub live: Live,
    /// This crate's metrics.
    pub metrics: GatewayMetrics,
    /// Verified keys.
    pub keys: Keys,
    /// Token buckets.
    pub quotas: Quotas,
    pub(crate) ingest: IngestMemory,
    pub(crate) owners: Owners,
    pub(crate) masking: Masking,
    pub(crate) simple: SimpleMemory,
    pub(crate) hooks: HookMemory,
    /// Who writes which terminal's stream.
    pub(crate) asciinema: Seats,
    pub(crate) outlines: Outlines,
    pub(crate) found_markers: FoundMarkers,
    pub(crate) exports: Exports,
    pub(crate) pictures: Pictures,
    pub(crate) replays: Replays,
    pub(crate) followed: FollowedAgents,
    /// One permit per connection.
    pub(crate) connections: Arc<Semaphore>,
}

impl AppState {
    /// Puts the parts together; asks nobody.
    ///
    /// # Errors
    /// If the metrics are registered already.
    pub fn new(parts: AppParts) -> prometheus::Result<Self> {
        let metrics = GatewayMetrics::register(&parts.registry)?;
        let topics = TopicNames::new(parts.kafka.topic_prefix.as_str());
        let session_topic = topics.name(Topic::SessionEvents);
        let live = Live::new(LiveOptions {
            pool: parts.pool.clone(),
            kafka: parts.kafka,
            topic: session_topic.clone(),
            tail_bytes: parts.config.tail_bytes,
            metrics: LiveMetrics::register(&parts.registry)?,
            stopping: parts.lifecycle.stopping(),
        });
        Ok(AppState(Arc::new(Shared {
            keys: Keys::new(parts.pool.clone()),
            quotas: Quotas::new(
                parts.config.session_quota,
                parts.config.key_quota,
                parts.config.viewer_quota,
            ),
            ingest: IngestMemory::new(parts.config.ingest_memory_bytes),
            owners: Owners::new(parts.pool.clone()),
            masking: Masking::new(parts.config.masking.clone(), metrics.clone()),
            simple: SimpleMemory::default(),
            hooks: HookMemory::default(),
            asciinema: Seats::default(),
            outlines: Outlines::default(),
            found_markers: FoundMarkers::default(),
            exports: Exports::default(),
            pictures: Pictures::default(),
            replays: Replays::default(),
            followed: FollowedAgents::new(parts.pool.clone(), parts.lifecycle.stopping()),
            connections: Arc::new(Semaphore::new(
                parts.config.max_connections.min(Semaphore::MAX_PERMITS),
            )),
            pool: parts.pool,
            producer: parts.producer,
            topics,
            session_topic,
            live,
            config: parts.config,
            lifecycle: parts.lifecycle,
            registry: parts.registry,
            metrics,
        })))
    }
}

impl Deref for AppState {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}
