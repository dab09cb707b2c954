//! The context of our Kafka clients: passes librdkafka's log on, and notices when a topic was deleted and made anew.
//!
//! librdkafka reads a recreated topic on from the old position without a word (its source says so in a FIXME, where
//! the topic's id is replaced). The one sign it gives is a debug line, which it queues before it fetches under the
//! new id: who looks at `topic_recreated` after taking records and before using them has not misread one.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};

/// Context of a client that reads one topic.
pub(crate) struct ClientWatch {
    topic: String,
    /// The id the topic had when it was first seen; None before that.
    topic_id: Mutex<Option<String>>,
    topic_recreated: AtomicBool,
    brokers_down: AtomicBool,
    contact_lost: AtomicBool,
    /// Callbacks so far; a poll returns after each, and does not say that there was one.
    served: AtomicU64,
}

impl ClientWatch {
    /// For a client that reads `topic`.
    pub(crate) fn new(topic: &str) -> Self {
        ClientWatch {
            topic: topic.to_owned(),
            topic_id: Mutex::new(None),
            topic_recreated: AtomicBool::new(false),
            brokers_down: AtomicBool::new(false),
            contact_lost: AtomicBool::new(false),
            served: AtomicU64::new(0),
        }
    }
    /// Makes librdkafka write the lines that `topic_recreated` lives on.
    pub(crate) fn prepare(config: &mut ClientConfig) {
        let debug = match config.get("debug") {
            Some(contexts) if !contexts.is_empty() => format!("{contexts},topic"),
            _ => "topic".to_owned(),
        };
        config.set("debug", debug).set_log_level(RDKafkaLogLevel::Debug);
    }
    /// True once after the topic got another id. Serve the client's main queue before asking.
    pub(crate) fn take_topic_recreated(&self) -> bool {
        self.topic_recreated.swap(false, Ordering::AcqRel)
    }
    /// True once after a broker's connection broke. Serve the client's main queue before asking.
    pub(crate) fn take_contact_lost(&self) -> bool {
        self.contact_lost.swap(false, Ordering::AcqRel)
    }
    /// How many log lines and errors were served: a queue is empty when a poll leaves this as it was.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::Acquire)
    }
    /// Records arrived, so a broker answers; logs it if none did before.
    pub(crate) fn note_contact(&self) {
        if self.brokers_down.swap(false, Ordering::AcqRel) {
            tracing::info!(kafka.topic = self.topic, "kafka answers again");
        }
    }

    fn note_line(&self, line: &str) {
        let Some((topic, id)) = changed_topic_id(line) else {
            return;
        };
        if topic != self.topic {
            return;
        }
        let mut known = self
            .topic_id
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if known.as_deref().is_some_and(|before| before != id) {
            self.topic_recreated.store(true, Ordering::Release);
        }
        *known = Some(id.to_owned());
    }
}

impl ClientContext for ClientWatch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.served.fetch_add(1, Ordering::AcqRel);
        self.note_line(line);
        forward_log(level, facility, line);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        self.served.fetch_add(1, Ordering::AcqRel);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::BrokerTransportFailure) => {
                self.contact_lost.store(true, Ordering::Release);
                tracing::debug!(
                    kafka.topic = self.topic,
                    reason,
                    "connection to a kafka broker lost"
                );
            }
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.contact_lost.store(true, Ordering::Release);
                if !self.brokers_down.swap(true, Ordering::AcqRel) {
                    tracing::warn!(kafka.topic = self.topic, reason, "no kafka broker can be reached");
                }
            }
            _ => tracing::debug!(kafka.topic = self.topic, %error, reason, "kafka client error"),
        }
    }
}

impl ConsumerContext for ClientWatch {}

/// Writes a line of librdkafka's log to ours.
pub(crate) fn forward_log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => tracing::error!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{line}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Topic and new id of `Topic NAME changed id from A to B`.
fn changed_topic_id(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" changed id from ")?;
    let (_, topic) = before.rsplit_once("Topic ")?;
    let (_, id) = after.split_once(" to ")?;
    Some((topic, id.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str =
        "[thrd:main]: Topic kulti.session-events changed id from AAAAAAAAAAAAAAAAAAAAAA to Qx1_";
    const SECOND: &str = "[thrd:main]: Topic kulti.session-events changed id from Qx1_ to Zy2-";

    #[test]
    fn only_a_second_id_of_its_own_topic_counts_as_recreated() {
        let watch = ClientWatch::new("kulti.session-events");
        watch.note_line(FIRST);
        watch.note_line("[thrd:main]: Topic other changed id from Qx1_ to Zy2-");
        watch.note_line("[thrd:main]: Topic kulti.session-events [3] Leader 1 Epoch 0");
        assert!(!watch.take_topic_recreated());
        watch.note_line(SECOND);
        assert!(watch.take_topic_recreated());
        assert!(!watch.take_topic_recreated());
    }
}
