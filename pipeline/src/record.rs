//! A record of the log as consumers get it.

use bytes::Bytes;
use sha2::{Digest, Sha256};

/// One Kafka record, copied out of librdkafka's buffers.
#[derive(Debug, Clone)]
pub struct Record {
    /// Partition of the topic.
    pub partition: i32,
    /// Kafka's number in the partition: internal, never shown to users.
    pub offset: i64,
    /// Milliseconds since 1970, as the broker has it.
    pub timestamp_ms: i64,
    /// The session id.
    pub key: Option<Bytes>,
    /// The framed event.
    pub value: Option<Bytes>,
}

/// Sixteen bytes that tell one record from another: kept with a projection's offset, compared on
/// every assignment, so that a log which was cut or recreated is noticed before anything is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordFingerprint(pub [u8; 16]);

impl Record {
    /// Of timestamp, key and value.
    pub fn fingerprint(&self) -> RecordFingerprint {
        let mut hash = Sha256::new();
        hash.update(self.timestamp_ms.to_be_bytes());
        for part in [&self.key, &self.value] {
            let length = part.as_ref().map_or(u64::MAX, |bytes| bytes.len() as u64);
            hash.update(length.to_be_bytes());
            hash.update(part.as_deref().unwrap_or_default());
        }
        let digest = hash.finalize();
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&digest[..16]);
        RecordFingerprint(fingerprint)
    }
}
