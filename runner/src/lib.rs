//! Producing from a machine: everything between something that happens there and a server that has it.
//!
//! Owns the client's side of `POST /v1/events` and its retries. Knows no formats of tools: that is kulti-adapters.

pub mod backoff;
pub mod client;
pub mod error;
pub mod frame;
pub mod problem;
pub mod sender;
pub mod spool;
pub mod upload;
