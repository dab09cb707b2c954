//! What could not even be read as ours: typed headers, original bytes, in a topic of its own.

/// Writes dead letters and says when there are too many of them.
pub struct DeadLetters {}
