//! What could not even be read as ours: typed headers, original bytes, in a topic of its own.
//!
//! A letter is written before the offset after it is committed, so it may be there twice after a crash, and is
//! never missing. It does not decide what is unreadable.

mod limit;

use kulti_schemas::{Timestamp, Topic};

use crate::config::KafkaConfig;
use crate::{LogProducer, OutRecord, Record, SendError};
pub(crate) use limit::DeadLetterLimit;

/// Writes dead letters.
#[derive(Clone)]
pub struct DeadLetters {
    producer: LogProducer,
    letters_topic: String,
    original_topic: String,
}

/// What a dead letter says about its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterHeaders {
    /// Where the record was read.
    pub topic: String,
    /// Its partition there.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp there, milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Why it is here, from a closed set.
    pub reason: String,
    /// When it was put here.
    pub time: Timestamp,
    /// The record had no key, which a letter writes as an empty one.
    pub without_key: bool,
    /// The record had no value, which a letter writes as an empty one.
    pub without_value: bool,
}

const TOPIC: &str = "kulti-original-topic";
const PARTITION: &str = "kulti-original-partition";
const OFFSET: &str = "kulti-original-offset";
const TIMESTAMP: &str = "kulti-original-timestamp";
const REASON: &str = "kulti-reason";
const TIME: &str = "kulti-time";
const WITHOUT_KEY: &str = "kulti-original-without-key";
const WITHOUT_VALUE: &str = "kulti-original-without-value";

impl DeadLetterHeaders {
    /// As Kafka's headers: text in UTF-8.
    pub fn to_headers(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut headers = vec![
            (TOPIC, self.topic.clone().into_bytes()),
            (PARTITION, self.partition.to_string().into_bytes()),
            (OFFSET, self.offset.to_string().into_bytes()),
            (TIMESTAMP, self.timestamp_ms.to_string().into_bytes()),
            (REASON, self.reason.clone().into_bytes()),
            (TIME, self.time.to_rfc3339().into_bytes()),
        ];
        let flags = [
            (WITHOUT_KEY, self.without_key),
            (WITHOUT_VALUE, self.without_value),
        ];
        headers.extend(
            flags
                .into_iter()
                .filter(|(_, set)| *set)
                .map(|(name, _)| (name, b"true".to_vec())),
        );
        headers
    }

    /// Read back; None if one is missing or not in its form.
    pub fn from_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Option<Self> {
        let headers: std::collections::BTreeMap<&str, &str> = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?)))
            .collect();
        let text = |name: &str| headers.get(name).copied();
        Some(DeadLetterHeaders {
            topic: text(TOPIC)?.to_owned(),
            partition: text(PARTITION)?.parse().ok()?,
            offset: text(OFFSET)?.parse().ok()?,
            timestamp_ms: text(TIMESTAMP)?.parse().ok()?,
            reason: text(REASON)?.to_owned(),
            time: Timestamp::parse(text(TIME)?)?,
            without_key: text(WITHOUT_KEY) == Some("true"),
            without_value: text(WITHOUT_VALUE) == Some("true"),
        })
    }
}

impl DeadLetters {
    /// For records of the sessions' log.
    pub fn new(kafka: &KafkaConfig, producer: LogProducer) -> Self {
        let topics = kafka.topics();
        DeadLetters {
            producer,
            letters_topic: topics.name(Topic::DeadLetters),
            original_topic: topics.name(Topic::SessionEvents),
        }
    }

    /// Writes these records, each with the reason, and waits until all are acknowledged.
    ///
    /// # Errors
    /// The first one that was not; the others may be written.
    pub async fn write(&self, letters: &[(&Record, &'static str)]) -> Result<(), SendError> {
        let time = Timestamp::now();
        let records = letters
            .iter()
            .map(|(record, reason)| self.letter(record, reason, time))
            .collect();
        self.producer
            .send(&self.letters_topic, records)
            .await
            .into_iter()
            .collect()
    }

    fn letter(&self, record: &Record, reason: &str, time: Timestamp) -> OutRecord {
        let headers = DeadLetterHeaders {
            topic: self.original_topic.clone(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            reason: reason.to_owned(),
            time,
            without_key: record.key.is_none(),
            without_value: record.value.is_none(),
        };
        OutRecord {
            key: record.key.as_deref().unwrap_or_default().to_vec(),
            value: record.value.as_deref().unwrap_or_default().to_vec(),
            headers: headers.to_headers(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_as_they_were_written() {
        let headers = DeadLetterHeaders {
            topic: "kulti.session-events".to_owned(),
            partition: 7,
            offset: 123_456_789_012,
            timestamp_ms: 1_700_000_000_123,
            reason: "framing".to_owned(),
            time: Timestamp(1_700_000_000_123_456),
            without_key: true,
            without_value: false,
        };
        let written = headers.to_headers();
        let read =
            DeadLetterHeaders::from_headers(written.iter().map(|(name, value)| (*name, value.as_slice())));
        assert_eq!(read, Some(headers));
        assert_eq!(DeadLetterHeaders::from_headers([(TOPIC, b"t".as_slice())]), None);
    }
}
