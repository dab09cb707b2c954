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
        TopicNames {
            prefix: prefix.into(),
        }
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
///
/// # Panics
/// If there are no partitions.
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    (positive % partitions.unsigned_abs()) as i32
}

/// Kafka's variant of MurmurHash2: this seed, little-endian words.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own UtilsTest.
    #[test]
    fn murmur2_is_the_one_of_the_java_client() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_key_has_one_partition_within_the_topic() {
        assert_eq!(partition_of(b"foobar", 64), (-790_332_482_i32 & 0x7fff_ffff) % 64);
        for length in 0..100 {
            let key = vec![b'x'; length];
            assert!((0..7).contains(&partition_of(&key, 7)));
            assert_eq!(partition_of(&key, 1), 0);
        }
    }

    #[test]
    fn names_carry_the_prefix() {
        let names = TopicNames::new("kulti.");
        assert_eq!(names.name(Topic::SessionEvents), "kulti.session-events");
        assert_eq!(names.name(Topic::DeadLetters), "kulti.dead-letters");
    }
}
