//! How rows are read that consumers and gateway both read: events as events, segments as text. The contract in prose is
//! `migrations/README.md`. Consumers write; nothing is written here.

pub mod events;
pub mod segments;
