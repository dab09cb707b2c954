//! The spine: how records get into Kafka and out of it, and how a projection commits what it made of them.
//!
//! No product logic: nothing here knows what a session is beyond its key.

mod client_watch;
pub mod config;
mod dead_letter;
mod driver;
pub mod lifecycle;
mod log_reader;
mod metrics;
mod producer;
mod projection;
mod record;
pub mod telemetry;
pub mod topics;

pub use dead_letter::{DeadLetterHeaders, DeadLetters};
pub use log_reader::{LogReader, LogReaderEvent, watermarks};
pub use metrics::PipelineMetrics;
pub use producer::{LogProducer, OutRecord, SendError};
pub use projection::{
    ApplyError, Projection, ProjectionRunner, RunnerContext, RunnerOptions, fault_of_record,
};
pub use record::{Record, RecordFingerprint};
