//! The log reader against a real broker.

use std::collections::BTreeMap;
use std::time::Duration;

use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::{
    LogProducer, LogReader, LogReaderEvent, OutRecord, PipelineMetrics, Record, watermarks,
};
use kulti_test_support::{TestTopics, WAIT_LIMIT, wait_until};
use prometheus::Registry;
use rdkafka::mocking::MockCluster;

fn record(key: &str, value: &str) -> OutRecord {
    OutRecord {
        key: key.into(),
        value: value.into(),
        headers: Vec::new(),
    }
}

fn numbered(key: &str, count: usize) -> Vec<OutRecord> {
    (0..count)
        .map(|number| record(key, &format!("{key} {number}")))
        .collect()
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.as_deref().expect("a value").to_vec()).expect("text")
}

async fn next(reader: &mut LogReader) -> LogReaderEvent {
    tokio::time::timeout(WAIT_LIMIT, reader.next())
        .await
        .expect("an event in time")
        .expect("a running reader")
}

/// Reads records until there are `count` of them.
async fn read(reader: &mut LogReader, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        match next(reader).await {
            LogReaderEvent::Records(batch) => records.extend(batch),
            error @ LogReaderEvent::PartitionError { .. } => panic!("{error:?}"),
        }
    }
    records
}

fn all_from_start(partitions: i32) -> Vec<(i32, i64)> {
    (0..partitions).map(|partition| (partition, 0)).collect()
}

#[tokio::test]
async fn every_record_comes_once_and_in_order_of_its_partition() {
    let topics = TestTopics::create(16).await;
    let keys: Vec<String> = (0..50).map(|number| format!("session-{number}")).collect();
    let before: Vec<OutRecord> = keys.iter().flat_map(|key| numbered(key, 100)).collect();
    topics.write_records(before).await;
    let mut reader =
        LogReader::start(&topics.config, &topics.session_events(), &all_from_start(16), 4).expect("a reader");
    let mut records = read(&mut reader, 5_000).await;
    topics
        .write_records(keys.iter().map(|key| record(key, "last")).collect())
        .await;
    records.extend(read(&mut reader, 50).await);

    let mut next_offset: BTreeMap<i32, i64> = BTreeMap::new();
    let mut by_key: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for record in &records {
        let expected = next_offset.entry(record.partition).or_default();
        assert_eq!(record.offset, *expected);
        *expected += 1;
        by_key
            .entry(record.key.as_deref().expect("a key").to_vec())
            .or_default()
            .push(text(record));
    }
    for key in &keys {
        let mut expected: Vec<String> = (0..100).map(|number| format!("{key} {number}")).collect();
        expected.push("last".to_owned());
        assert_eq!(by_key[key.as_bytes()], expected);
    }
}

#[tokio::test]
async fn a_batch_is_bounded_and_a_slow_owner_loses_nothing() {
    let topics = TestTopics::create(1).await;
    let large = "x".repeat(100_000);
    topics
        .write_records(
            (0..400)
                .map(|number| record("s", &format!("{number} {large}")))
                .collect(),
        )
        .await;
    let mut reader =
        LogReader::start(&topics.config, &topics.session_events(), &[(0, 0)], 1).expect("a reader");
    let mut expected = 0;
    while expected < 400 {
        let LogReaderEvent::Records(batch) = next(&mut reader).await else {
            panic!("an error")
        };
        let bytes: usize = batch
            .iter()
            .map(|record| record.value.as_ref().map_or(0, |value| value.len()))
            .sum();
        assert!(bytes <= (1 << 20) + 100_010, "{bytes} bytes in a batch");
        for record in batch {
            assert_eq!(record.offset, expected);
            expected += 1;
        }
    }
}

#[tokio::test]
async fn an_offset_the_log_does_not_have_is_told_and_the_others_go_on() {
    let topics = TestTopics::create(2).await;
    let name = topics.session_events();
    // Partition 1 is empty: nothing has offset 7.
    let mut reader = LogReader::start(&topics.config, &name, &[(0, 0), (1, 7)], 4).expect("a reader");
    let LogReaderEvent::PartitionError {
        partition: 1,
        truncated: true,
        ..
    } = next(&mut reader).await
    else {
        panic!("not the error of partition 1");
    };
    let key = key_of_partition(0, 2);
    topics.write_records(numbered(&key, 3)).await;
    assert_eq!(read(&mut reader, 3).await.len(), 3);
    // It rests until it is told where to go on.
    let other = key_of_partition(1, 2);
    topics.write_records(numbered(&other, 2)).await;
    reader.seek(1, 0);
    let records = read(&mut reader, 2).await;
    assert!(records.iter().all(|record| record.partition == 1));
}

#[tokio::test]
async fn a_seek_overtakes_what_was_read_before_it() {
    let topics = TestTopics::create(2).await;
    let (first, second) = (key_of_partition(0, 2), key_of_partition(1, 2));
    topics
        .write_records(
            numbered(&first, 10)
                .into_iter()
                .chain(numbered(&second, 10))
                .collect(),
        )
        .await;
    let mut reader =
        LogReader::start(&topics.config, &topics.session_events(), &[(0, 0), (1, 0)], 4).expect("a reader");
    read(&mut reader, 20).await;
    topics.write_records(numbered(&first, 5)).await;
    reader.seek(1, 8);
    reader.seek(1, 6);
    let records = read(&mut reader, 5 + 4).await;
    let of = |partition| {
        let offsets = records.iter().filter(move |record| record.partition == partition);
        offsets.map(|record| record.offset).collect::<Vec<_>>()
    };
    assert_eq!(of(0), [10, 11, 12, 13, 14]);
    assert_eq!(of(1), [6, 7, 8, 9]);
}

/// When the new log gets its records.
#[derive(PartialEq)]
enum Filled {
    BeforeTheReaderLooksAgain,
    AfterItWasTold,
}

/// The reader may come back while the new log is still empty, or when it already has records at the old position.
/// Only the second is dangerous: librdkafka reads on there without a word. In the first it also tells an error of its
/// own, early or late.
async fn a_topic_made_anew_is_told(error_backoff_ms: &str, filled: Filled) -> String {
    const PARTITIONS: i32 = 8;
    let mut topics = TestTopics::create(PARTITIONS).await;
    topics.config.properties = vec![("fetch.error.backoff.ms".to_owned(), error_backoff_ms.to_owned())];
    let name = topics.session_events();
    let keys: Vec<String> = (0..PARTITIONS)
        .map(|partition| key_of_partition(partition, PARTITIONS))
        .collect();
    let producer = topics.producer();
    let old: Vec<OutRecord> = keys.iter().flat_map(|key| numbered(key, 10)).collect();
    assert_eq!(producer.send(&name, old).await, vec![Ok(()); 80]);
    let mut reader =
        LogReader::start(&topics.config, &name, &all_from_start(PARTITIONS), 64).expect("a reader");
    read(&mut reader, 80).await;
    topics.recreate().await;
    let new = || {
        let of_all = (0..50).flat_map(|_| keys.iter().map(|key| record(key, "new")));
        of_all.collect::<Vec<OutRecord>>()
    };
    if filled == Filled::BeforeTheReaderLooksAgain {
        assert_eq!(producer.send(&name, new()).await, vec![Ok(()); 400]);
    }
    let mut told = Vec::new();
    let mut first_detail = None;
    while told.len() < keys.len() {
        match next(&mut reader).await {
            LogReaderEvent::PartitionError {
                partition,
                truncated,
                detail,
            } => {
                if truncated {
                    told.push(partition);
                    first_detail.get_or_insert(detail);
                }
            }
            LogReaderEvent::Records(records) => {
                panic!(
                    "{} records of the new log, from offset {}",
                    records.len(),
                    records[0].offset
                );
            }
        }
    }
    told.sort();
    assert_eq!(told, (0..PARTITIONS).collect::<Vec<_>>(), "each is told once");
    if filled == Filled::AfterItWasTold {
        assert_eq!(producer.send(&name, new()).await, vec![Ok(()); 400]);
    }
    for partition in 0..PARTITIONS {
        reader.seek(partition, 0);
        let records = read(&mut reader, 50).await;
        assert!(
            records
                .iter()
                .all(|record| record.partition == partition && text(record) == "new")
        );
    }
    first_detail.expect("a detail")
}

#[tokio::test]
async fn a_topic_made_anew_and_filled_is_told_before_any_of_its_records() {
    let detail = a_topic_made_anew_is_told("2000", Filled::BeforeTheReaderLooksAgain).await;
    assert!(detail.contains("made anew"), "{detail}");
}

#[tokio::test]
async fn a_topic_made_anew_and_still_empty_is_told() {
    a_topic_made_anew_is_told("20", Filled::AfterItWasTold).await;
}

#[tokio::test]
async fn a_partition_is_told_as_truncated_once_and_nothing_of_it_comes_after_a_seek() {
    a_topic_made_anew_is_told("0", Filled::AfterItWasTold).await;
}

#[tokio::test]
async fn an_outage_loses_and_repeats_nothing() {
    let mock = MockCluster::new(1).expect("a mock cluster");
    let config = KafkaConfig {
        brokers: mock.bootstrap_servers(),
        topic_prefix: "test.".to_owned(),
        partitions: 2,
        replication: 1,
        delivery_timeout: Duration::from_secs(20),
        properties: Vec::new(),
    };
    let name = "test.session-events";
    mock.create_topic(name, 2, 1).expect("a topic");
    let metrics = PipelineMetrics::register(&Registry::new()).expect("metrics");
    let producer = LogProducer::new(&config, metrics).expect("a producer");
    let mut reader = LogReader::start(&config, name, &[(0, 0), (1, 0)], 4).expect("a reader");
    let (first, second) = (key_of_partition(0, 2), key_of_partition(1, 2));
    let mut expected = 0;
    for _ in 0..3 {
        let records = numbered(&first, 5)
            .into_iter()
            .chain(numbered(&second, 5))
            .collect();
        assert_eq!(producer.send(name, records).await, vec![Ok(()); 10]);
        let mut records = read(&mut reader, 10).await;
        records.sort_by_key(|record| (record.partition, record.offset));
        let found: Vec<(i32, i64)> = records
            .iter()
            .map(|record| (record.partition, record.offset))
            .collect();
        let of = |partition| (expected..expected + 5).map(move |offset| (partition, offset));
        assert_eq!(found, of(0).chain(of(1)).collect::<Vec<_>>());
        expected += 5;
        mock.broker_down(1).expect("down");
        wait_until("the producer notices the outage", async || {
            !producer.is_available()
        })
        .await;
        mock.broker_up(1).expect("up");
        wait_until("the broker answers again", async || producer.is_available()).await;
    }
}

#[tokio::test]
async fn watermarks_are_the_first_offset_and_the_next() {
    let topics = TestTopics::create(1).await;
    assert_eq!(
        watermarks(&topics.config, &topics.session_events(), 0)
            .await
            .expect("watermarks"),
        (0, 0)
    );
    topics.write_records(numbered("s", 7)).await;
    assert_eq!(
        watermarks(&topics.config, &topics.session_events(), 0)
            .await
            .expect("watermarks"),
        (0, 7)
    );
}

fn key_of_partition(partition: i32, partitions: i32) -> String {
    let keys = (0..1_000).map(|number| format!("key-{number}"));
    keys.into_iter()
        .find(|key| kulti_schemas::partition_of(key.as_bytes(), partitions) == partition)
        .expect("a key of every partition")
}
