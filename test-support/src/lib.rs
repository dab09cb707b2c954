//! Real Kafka and Postgres for tests: a database and topics of one's own for each test, builders, waits for
//! conditions, and a proxy that cuts connections.
//!
//! Tests read where the servers are from `KULTI_TEST_KAFKA` and `KULTI_TEST_DATABASE`; `make test` sets them.

mod database;
mod event_builder;
mod proxy;
mod stack;
mod topics;
mod wait;

pub use database::TestDatabase;
pub use event_builder::{EventBuilder, event};
pub use proxy::Proxy;
pub use stack::TestStack;
pub use topics::TestTopics;
pub use wait::{WAIT_LIMIT, wait_until, wait_until_some};
