//! A Kulti gateway as `kulti gateway` runs it: ingest, live tail, reads.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use kulti_gateway::{AppParts, AppState, GatewayConfig, QuotaLimits, RateLimit, Visibility};
use kulti_pipeline::lifecycle::Lifecycle;
use kulti_pipeline::{LogProducer, PipelineMetrics};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::{Servers, server_runtime};
use crate::child::Parent;
use crate::machine::{raise_open_files, stay_on};

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GatewaySpec {
    pub(crate) servers: Servers,
    pub(crate) core: Option<usize>,
    pub(crate) max_connections: usize,
    /// Bytes of recent records in memory.
    pub(crate) tail_bytes: usize,
}

/// What a server says once it can be used.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
}

/// Serves until the parent is gone.
pub(super) fn run(spec: &GatewaySpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    raise_open_files()?;
    server_runtime()?.block_on(serve(spec))
}

async fn serve(spec: &GatewaySpec) -> anyhow::Result<()> {
    let lifecycle = Lifecycle::new();
    let registry = prometheus::Registry::new();
    let kafka = spec.servers.kafka();
    let producer = LogProducer::new(&kafka, PipelineMetrics::register(&registry)?)?;
    // A limit would measure itself; that it is looked at stays.
    let wide = RateLimit {
        per_second: 1 << 40,
        burst: 1 << 40,
    };
    let wide = QuotaLimits {
        events: wide,
        bytes: wide,
    };
    let state = AppState::new(AppParts {
        pool: spec.servers.database().connect().await?,
        producer,
        kafka,
        config: GatewayConfig {
            default_visibility: Visibility::Public,
            max_connections: spec.max_connections,
            tail_bytes: spec.tail_bytes,
            session_quota: wide,
            key_quota: wide,
            ..GatewayConfig::default()
        },
        lifecycle: lifecycle.clone(),
        registry,
    })?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr()?;
    let live = tokio::spawn(state.live.clone().run());
    let gateway = state.clone();
    let serving = tokio::spawn(kulti_gateway::run(listener, gateway, lifecycle.clone()));
    let ready = async {
        while !(state.live.is_ready() && state.producer.is_available()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready)
        .await
        .context("the gateway does not become ready")?;
    let mut parent = Parent::new();
    parent.say(&Listening { address })?;
    parent.gone().await?;
    lifecycle.stop();
    live.await??;
    serving.await??;
    Ok(())
}
