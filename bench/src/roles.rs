//! What runs in a process of its own: contenders, and those who make and take the load.

mod bare_catch_up;
mod bare_sender;
mod catch_up;
mod gateway;
mod http_load;
mod http_reads;
mod null_server;
mod replay;
mod viewers;

use clap::ValueEnum;
use kulti_pipeline::config::{DatabaseConfig, KafkaConfig};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

pub(crate) use bare_catch_up::BareCatchUpSpec;
pub(crate) use bare_sender::{BareSpec, Sending};
pub(crate) use catch_up::{CatchUpSpec, CaughtUp, ComeBack};
pub(crate) use gateway::{GatewaySpec, Listening};
pub(crate) use http_load::{HttpLoadSpec, LoadResult};
pub(crate) use http_reads::{HttpReadsSpec, Reads, ReadsResult};
pub(crate) use null_server::NullSpec;
pub(crate) use replay::{Projected, ReplaySpec};
pub(crate) use viewers::{Received, ViewersSpec, Wanted, Watching};

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// An axum handler that reads the body and answers.
    Null,
    /// A Kulti gateway.
    Gateway,
    /// Kulti's replay consumer.
    Replay,
    /// A bare send() loop.
    Bare,
    /// A bare server of those who come back.
    BareCatchUp,
    /// Makes HTTP requests.
    HttpLoad,
    /// Makes HTTP requests that read.
    HttpReads,
    /// Comes back and catches up.
    CatchUp,
    /// Takes frames and checks them.
    Viewers,
}

impl Role {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Null => "null",
            Role::Gateway => "gateway",
            Role::Replay => "replay",
            Role::Bare => "bare",
            Role::BareCatchUp => "bare-catch-up",
            Role::HttpLoad => "http-load",
            Role::HttpReads => "http-reads",
            Role::CatchUp => "catch-up",
            Role::Viewers => "viewers",
        }
    }
}

/// Where Kafka and Postgres are, and what is ours on them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Servers {
    pub(crate) brokers: String,
    pub(crate) topic_prefix: String,
    pub(crate) partitions: i32,
    pub(crate) database_url: String,
}

impl Servers {
    pub(crate) fn kafka(&self) -> KafkaConfig {
        KafkaConfig {
            brokers: self.brokers.clone(),
            topic_prefix: self.topic_prefix.clone(),
            partitions: self.partitions,
            replication: 1,
            delivery_timeout: std::time::Duration::from_secs(10),
            properties: Vec::new(),
        }
    }

    pub(crate) fn database(&self) -> DatabaseConfig {
        DatabaseConfig {
            url: self.database_url.clone(),
            max_connections: 10,
        }
    }
}

/// Runs a role until the parent closes standard input.
pub(crate) fn run(role: Role, spec: &str) -> anyhow::Result<()> {
    match role {
        Role::Null => null_server::run(&serde_json::from_str(spec)?),
        Role::Gateway => gateway::run(&serde_json::from_str(spec)?),
        Role::Replay => replay::run(&serde_json::from_str(spec)?),
        Role::Bare => bare_sender::run(&serde_json::from_str(spec)?),
        Role::BareCatchUp => bare_catch_up::run(&serde_json::from_str(spec)?),
        Role::HttpLoad => http_load::run(&serde_json::from_str(spec)?),
        Role::HttpReads => http_reads::run(&serde_json::from_str(spec)?),
        Role::CatchUp => catch_up::run(&serde_json::from_str(spec)?),
        Role::Viewers => viewers::run(serde_json::from_str(spec)?),
    }
}

/// As the executable of Kulti makes it: as many threads as there are cores for it.
fn server_runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}

fn load_runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}
