//! The producer against a real broker, and against librdkafka's mock broker where one must go down.

use std::time::Duration;

use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::{LogProducer, LogReader, LogReaderEvent, OutRecord, PipelineMetrics, Record, SendError};
use kulti_test_support::{TestTopics, WAIT_LIMIT, wait_until};
use prometheus::Registry;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

fn record(key: &str, value: impl Into<Vec<u8>>) -> OutRecord {
    OutRecord {
        key: key.into(),
        value: value.into(),
        headers: Vec::new(),
    }
}

fn config(brokers: &str, delivery_timeout: Duration) -> KafkaConfig {
    KafkaConfig {
        brokers: brokers.to_owned(),
        topic_prefix: "test.".to_owned(),
        partitions: 1,
        replication: 1,
        delivery_timeout,
        properties: Vec::new(),
    }
}

fn producer(config: &KafkaConfig) -> (LogProducer, Registry) {
    let registry = Registry::new();
    let metrics = PipelineMetrics::register(&registry).expect("metrics");
    (LogProducer::new(config, metrics).expect("a producer"), registry)
}

async fn read(topics: &TestTopics, count: usize) -> Vec<Record> {
    let from: Vec<(i32, i64)> = (0..topics.config.partitions)
        .map(|partition| (partition, 0))
        .collect();
    let mut reader = LogReader::start(&topics.config, &topics.session_events(), &from, 4).expect("a reader");
    let mut records = Vec::new();
    while records.len() < count {
        let event = tokio::time::timeout(WAIT_LIMIT, reader.next())
            .await
            .expect("an event in time");
        let Some(LogReaderEvent::Records(batch)) = event else {
            panic!("{event:?}")
        };
        records.extend(batch);
    }
    records
}

fn value_of_metric(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families
        .iter()
        .find(|family| family.name() == name)
        .expect("the metric");
    let of = |metric: &prometheus::proto::Metric| {
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    };
    family.get_metric().iter().map(of).sum()
}

#[tokio::test]
async fn each_record_has_its_result_and_the_log_has_them_in_order() {
    let topics = TestTopics::create(4).await;
    let (producer, registry) = producer(&topics.config);
    let records = (0..3_000).map(|number| record(&format!("s{}", number % 7), format!("{number}")));
    let results = producer.send(&topics.session_events(), records.collect()).await;
    assert_eq!(results, vec![Ok(()); 3_000]);
    assert_eq!(
        value_of_metric(&registry, "kulti_pipeline_producer_records_total"),
        3_000.0
    );

    let mut last = [-1_i64; 7];
    for record in read(&topics, 3_000).await {
        let key = record.key.as_deref().expect("a key");
        assert_eq!(
            record.partition,
            kulti_schemas::partition_of(key, 4),
            "murmur2, as Java's"
        );
        let number: i64 = std::str::from_utf8(record.value.as_deref().expect("a value"))
            .expect("text")
            .parse()
            .expect("a number");
        let of_session = &mut last[(number % 7) as usize];
        assert!(*of_session < number, "{number} after {of_session}");
        *of_session = number;
    }
}

#[tokio::test]
async fn one_record_that_is_too_large_does_not_keep_the_others_back() {
    let topics = TestTopics::create(1).await;
    let (producer, _) = producer(&topics.config);
    // Not compressible, so that it is not the codec which makes it small enough.
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let large: Vec<u8> = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        (noise >> 32) as u8
    })
    .take((2 << 20) + 1)
    .collect();
    let nearly = large[..(2 << 20) - 4_096].to_vec();
    let records = vec![
        record("s", "first"),
        record("s", large),
        record("s", nearly),
        record("s", "last"),
    ];
    let results = producer.send(&topics.session_events(), records).await;
    assert_eq!(results, [Ok(()), Err(SendError::TooLarge), Ok(()), Ok(())]);
    assert_eq!(read(&topics, 3).await.len(), 3);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaks_nothing_and_its_records_are_written() {
    let topics = TestTopics::create(1).await;
    let (producer, _) = producer(&topics.config);
    let name = topics.session_events();
    let gone = tokio::time::timeout(Duration::ZERO, producer.send(&name, vec![record("s", "x"); 10])).await;
    assert!(gone.is_err());
    assert!(producer.flush(Duration::from_secs(10)).await);
    assert_eq!(producer.send(&name, vec![record("s", "y")]).await, [Ok(())]);
    assert_eq!(read(&topics, 11).await.len(), 11);
}

#[tokio::test]
async fn an_empty_request_is_answered_at_once() {
    let (producer, _) = producer(&config("127.0.0.1:1", Duration::from_secs(1)));
    assert_eq!(producer.send("test.session-events", Vec::new()).await, []);
}

#[tokio::test]
async fn without_a_broker_it_says_so_and_answers_when_the_delivery_timeout_is_over() {
    let (producer, registry) = producer(&config("127.0.0.1:1", Duration::from_secs(1)));
    wait_until("the producer is unavailable", async || !producer.is_available()).await;
    assert_eq!(
        value_of_metric(&registry, "kulti_pipeline_producer_available"),
        0.0
    );
    let results = producer.send("test.session-events", vec![record("s", "x")]).await;
    assert!(
        matches!(results[..], [Err(SendError::Unavailable(_))]),
        "{results:?}"
    );
    assert_eq!(
        value_of_metric(&registry, "kulti_pipeline_producer_failures_total"),
        1.0
    );
}

#[tokio::test]
async fn a_full_queue_refuses_the_rest_of_the_request() {
    let mut config = config("127.0.0.1:1", Duration::from_secs(1));
    config.properties = vec![("queue.buffering.max.messages".to_owned(), "10".to_owned())];
    let (producer, _) = producer(&config);
    let results = producer
        .send("test.session-events", vec![record("s", "x"); 15])
        .await;
    assert!(
        results[..10]
            .iter()
            .all(|result| matches!(result, Err(SendError::Unavailable(_)))),
        "{results:?}"
    );
    assert_eq!(results[10..], vec![Err(SendError::QueueFull); 5]);
}

#[tokio::test]
async fn it_takes_up_again_by_itself_when_the_broker_is_back() {
    let mock = MockCluster::new(1).expect("a mock cluster");
    mock.create_topic("test.session-events", 1, 1).expect("a topic");
    let (producer, _) = producer(&config(&mock.bootstrap_servers(), Duration::from_secs(2)));
    assert_eq!(
        producer.send("test.session-events", vec![record("s", "1")]).await,
        [Ok(())]
    );
    assert!(producer.is_available());
    for _ in 0..2 {
        mock.broker_down(1).expect("down");
        wait_until("the producer is unavailable", async || !producer.is_available()).await;
        let results = producer.send("test.session-events", vec![record("s", "2")]).await;
        assert!(
            matches!(results[..], [Err(SendError::Unavailable(_))]),
            "{results:?}"
        );
        mock.broker_up(1).expect("up");
        wait_until("the producer is available", async || producer.is_available()).await;
        assert_eq!(
            producer.send("test.session-events", vec![record("s", "3")]).await,
            [Ok(())]
        );
    }
}

#[tokio::test]
async fn what_waits_while_the_broker_is_away_for_a_moment_is_acknowledged() {
    let mock = MockCluster::new(1).expect("a mock cluster");
    mock.create_topic("test.session-events", 1, 1).expect("a topic");
    let (producer, _) = producer(&config(&mock.bootstrap_servers(), Duration::from_secs(20)));
    assert_eq!(
        producer.send("test.session-events", vec![record("s", "1")]).await,
        [Ok(())]
    );
    mock.broker_down(1).expect("down");
    let waiting = tokio::spawn({
        let producer = producer.clone();
        async move {
            producer
                .send("test.session-events", vec![record("s", "2"); 100])
                .await
        }
    });
    wait_until("the producer is unavailable", async || !producer.is_available()).await;
    mock.broker_up(1).expect("up");
    assert_eq!(waiting.await.expect("results"), vec![Ok(()); 100]);
}

#[tokio::test]
async fn after_a_fatal_error_it_goes_on_with_another_client() {
    let mock = MockCluster::new(1).expect("a mock cluster");
    mock.create_topic("test.session-events", 1, 1).expect("a topic");
    let (producer, _) = producer(&config(&mock.bootstrap_servers(), Duration::from_secs(5)));
    let name = "test.session-events";
    assert_eq!(producer.send(name, vec![record("s", "1")]).await, [Ok(())]);
    // What a broker answers that came back with an older volume: the producer's numbers no longer fit.
    let out_of_order = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    mock.request_errors(RDKafkaApiKey::Produce, &[out_of_order]);
    let results = producer.send(name, vec![record("s", "2")]).await;
    assert!(
        matches!(results[..], [Err(SendError::Unavailable(_))]),
        "{results:?}"
    );
    wait_until("the next client writes", async || {
        producer.send(name, vec![record("s", "2")]).await == [Ok(())]
    })
    .await;
    assert!(producer.is_available());
}
