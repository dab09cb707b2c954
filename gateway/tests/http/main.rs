//! The HTTP service on real servers: what is promised about ways in, access, reads, keys and the registry.
//!
//! No replay runs beside it: rows that reads need are written by `harness`, so that a test says what it stands on.

mod access;
mod asciicast;
mod asciinema;
mod asciinema_streams;
mod bad_input;
mod exports;
mod harness;
mod ingest;
mod keys;
mod moments;
mod outages;
mod outline;
mod pictures;
mod quotas;
mod reads;
mod registry;
mod replay;
mod server;
mod simple;
mod viewers;
mod watch;
