//! The topics, by logical name, and which partition a session lives in.

/// A topic by its purpose; `TopicNames` says what it is called on this broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Everything that happens in a session; key = session id.
    SessionEvents,
    /// What could not even be read as ours.
    DeadLetters,
}

/// Physical names: a prefix (`kulti.` by default, random in tests) and the logical name.
#[derive(Debug, Clone)]
pub struct TopicNames {
    prefix: String,
}

impl TopicNames {
    /// With this prefix.
    pub fn new(prefix: impl Into<String>) -> Self {
        TopicNames { prefix: prefix.into() }
    }
    /// The physical name, `kulti.session-events` for instance.
    pub fn name(&self, topic: Topic) -> String {
        let logical = match topic {
            Topic::SessionEvents => "session-events",
            Topic::DeadLetters => "dead-letters",
        };
        format!("{}{logical}", self.prefix)
    }
}

/// The partition of a key: murmur2 as Java's default partitioner (and librdkafka's `murmur2_random`) has it.
pub fn partition_of(_key: &[u8], _partitions: i32) -> i32 {
    todo!()
}
