//! Reads given partitions from given offsets, without a group: the gateway's live tail and its reads of what the
//! tail no longer holds.

/// Reads on a thread of its own.
pub struct LogReader {}

/// What it tells.
pub enum LogReaderEvent {}
