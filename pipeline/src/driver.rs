//! The consumer driver: librdkafka is polled on a thread of its own; each partition has one bounded queue.

/// What the driver tells the runner.
pub enum DriverEvent {}

/// One partition's records while it is assigned.
pub struct PartitionStream {}
