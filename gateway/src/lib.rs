//! The gateway: the way in (ingest), what happens now (live, watch), what was (reads), and the pages.
//!
//! It writes to the log and to the schema `control`, and reads what the consumers wrote.
//! `AppState::new` puts it together; `run` serves it; `AppState::live` is run beside it.

mod access;
mod alis;
mod answers;
mod asciinema;
mod close_codes;
mod config;
pub mod control;
mod etag;
mod exports;
mod health;
mod ingest;
mod json;
mod keys;
mod keys_api;
mod links;
pub mod live;
mod masking;
mod metrics;
mod moderation;
mod openapi;
mod pages;
mod path;
mod pictures;
mod problem;
mod quotas;
mod reads;
mod registry_api;
mod replay;
mod router;
mod server;
mod state;
pub mod store;
mod viewers;
mod watch;

pub use access::{ConnectionInfo, Reader, Viewer, Writer};
pub use config::{GatewayConfig, QuotaLimits, RateLimit, Visibility};
pub use keys::{KeyError, Keys};
pub use metrics::GatewayMetrics;
pub use problem::{Code, Problem};
pub use quotas::Quotas;
pub use server::{ConnectionSlot, run};
pub use state::{AppParts, AppState, Shared};
