//! Topics of one's own for each test.

use std::time::Duration;

use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::{LogProducer, OutRecord, PipelineMetrics, topics};
use kulti_schemas::{Event, Topic, encode_record};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use uuid::Uuid;

use crate::TestStack;

const ADMIN_LIMIT: Duration = Duration::from_secs(10);

/// The topics under a random prefix; deleted on drop.
pub struct TestTopics {
    /// Prefix, brokers and partitions for whatever is tested.
    pub config: KafkaConfig,
}

impl TestTopics {
    /// Makes them on the shared broker.
    ///
    /// # Panics
    /// If that fails.
    pub async fn create(partitions: i32) -> TestTopics {
        let topics = TestTopics {
            config: test_config(partitions),
        };
        topics::ensure_topics(&topics.config)
            .await
            .expect("topics for a test");
        topics
    }
    /// The session topic's name.
    pub fn session_events(&self) -> String {
        self.config.topics().name(Topic::SessionEvents)
    }
    /// The dead letters' name.
    pub fn dead_letters(&self) -> String {
        self.config.topics().name(Topic::DeadLetters)
    }
    /// A producer with metrics of its own.
    ///
    /// # Panics
    /// If librdkafka refuses.
    pub fn producer(&self) -> LogProducer {
        let metrics = PipelineMetrics::register(&prometheus::Registry::new()).expect("fresh metrics");
        LogProducer::new(&self.config, metrics).expect("a producer")
    }
    /// Writes events in this order and waits until all are in the log.
    ///
    /// # Panics
    /// If one is not acknowledged.
    pub async fn write(&self, events: &[Event]) {
        let records = events.iter().map(|event| OutRecord {
            key: event.meta.session_id.as_str().as_bytes().to_vec(),
            value: encode_record(event).expect("an event that can be written"),
            headers: Vec::new(),
        });
        self.write_records(records.collect()).await;
    }
    /// Writes records as they are to the session topic and waits until all are in the log.
    ///
    /// # Panics
    /// If one is not acknowledged.
    pub async fn write_records(&self, records: Vec<OutRecord>) {
        for result in self.producer().send(&self.session_events(), records).await {
            result.expect("an acknowledged record");
        }
    }
    /// Deletes the session topic and makes it anew, empty, as fast as the broker lets: in a few milliseconds.
    ///
    /// # Panics
    /// If the broker refuses.
    pub async fn recreate(&self) {
        let name = self.session_events();
        let admin = admin_client(&self.config);
        let topic = NewTopic::new(
            &name,
            self.config.partitions,
            TopicReplication::Fixed(self.config.replication),
        )
        .set("max.message.bytes", "2097152");
        delete(&admin, &[&name]).await;
        // The name is free only when the controller has let go of it.
        crate::wait_until("the topic can be made anew", async || {
            let results = admin
                .create_topics([&topic], &admin_options())
                .await
                .expect("the broker's answer");
            results.iter().all(Result::is_ok)
        })
        .await;
    }
}

impl Drop for TestTopics {
    fn drop(&mut self) {
        let (config, names) = (self.config.clone(), [self.session_events(), self.dead_letters()]);
        // Drop may run inside a runtime, where waiting for another is not allowed: a thread of its own.
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(delete(&admin_client(&config), &[&names[0], &names[1]]));
            }
        });
        if deleted.join().is_err() {
            eprintln!("the topics {}* were not deleted", self.config.topic_prefix);
        }
    }
}

async fn delete(admin: &AdminClient<DefaultClientContext>, names: &[&str]) {
    admin
        .delete_topics(names, &admin_options())
        .await
        .expect("an answer to the deletion of topics");
}

fn admin_client(config: &KafkaConfig) -> AdminClient<DefaultClientContext> {
    config.client_config().create().expect("an admin client")
}

fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ADMIN_LIMIT))
        .operation_timeout(Some(ADMIN_LIMIT))
}

fn test_config(partitions: i32) -> KafkaConfig {
    KafkaConfig {
        brokers: TestStack::from_environment().kafka,
        topic_prefix: format!("test-{}.", Uuid::now_v7().simple()),
        partitions,
        replication: 1,
        delivery_timeout: Duration::from_secs(10),
        properties: Vec::new(),
    }
}
