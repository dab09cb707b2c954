//! Topics and new epochs against a real broker and a real database.

use std::collections::BTreeMap;
use std::time::Duration;

use kulti_pipeline::{LogReader, LogReaderEvent, OutRecord, topics};
use kulti_test_support::{TestDatabase, TestTopics, WAIT_LIMIT};
use sqlx::PgPool;

/// Epoch, owner, next offset, fingerprint, why it stopped.
type Stand = (i64, i64, i64, Option<Vec<u8>>, Option<String>);

#[tokio::test]
async fn topics_that_exist_are_left_as_they_are() {
    let topics = TestTopics::create(3).await;
    topics::ensure_topics(&topics.config)
        .await
        .expect("a second time");
    topics::check_topics(&topics.config)
        .await
        .expect("as they must be");
}

#[tokio::test]
async fn another_number_of_partitions_is_refused_with_the_fix() {
    let topics = TestTopics::create(3).await;
    let mut config = topics.config.clone();
    config.partitions = 64;
    for refused in [
        topics::ensure_topics(&config).await,
        topics::check_topics(&config).await,
    ] {
        let text = format!("{:#}", refused.expect_err("refused"));
        assert!(
            text.contains("has 3 partitions") && text.contains("KULTI_TOPIC_PARTITIONS=3"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_missing_topic_is_refused_with_the_fix() {
    let topics = TestTopics::create(1).await;
    let mut config = topics.config.clone();
    config.topic_prefix = format!("{}other.", config.topic_prefix);
    let text = format!("{:#}", topics::check_topics(&config).await.expect_err("refused"));
    assert!(
        text.contains("session-events does not exist") && text.contains("kulti topics"),
        "{text}"
    );
}

#[tokio::test]
async fn a_new_epoch_takes_up_what_was_lost_and_nothing_else() {
    let topics = TestTopics::create(4).await;
    let database = TestDatabase::create().await;
    let fingerprints = write_five_each(&topics).await;
    let pool = &database.pool;
    let healthy = fingerprints[&0].clone();
    insert(pool, "replay", 0, 5, Some(healthy.clone())).await;
    // Another record at its place; the end of the log before its place; never read anything.
    insert(pool, "replay", 1, 5, Some(vec![7; 16])).await;
    insert(pool, "replay", 2, 100, Some(fingerprints[&2].clone())).await;
    insert(pool, "replay", 3, 0, None).await;
    insert(pool, "search", 1, 5, Some(vec![7; 16])).await;

    let taken_up = topics::new_epoch(&topics.config, pool, "replay")
        .await
        .expect("a new epoch");
    assert_eq!(taken_up, [1, 2]);
    let lost = Some("log_truncated".to_owned());
    assert_eq!(
        stand(pool, "replay", 0).await,
        (1, 0, 5, Some(healthy), lost.clone())
    );
    assert_eq!(stand(pool, "replay", 1).await, (2, 1, 0, None, None));
    assert_eq!(stand(pool, "replay", 2).await, (2, 1, 0, None, None));
    assert_eq!(stand(pool, "replay", 3).await, (1, 0, 0, None, lost.clone()));
    assert_eq!(stand(pool, "search", 1).await, (1, 0, 5, Some(vec![7; 16]), lost));

    let again = topics::new_epoch(&topics.config, pool, "replay")
        .await
        .expect("nothing to do");
    assert_eq!(again, Vec::<i32>::new());
}

/// The fingerprint of each partition's last record.
async fn write_five_each(topics: &TestTopics) -> BTreeMap<i32, Vec<u8>> {
    let partitions = topics.config.partitions;
    let key_of = |partition: i32| {
        let mut keys = (0..1_000).map(|number| format!("key-{number}"));
        keys.find(|key| kulti_schemas::partition_of(key.as_bytes(), partitions) == partition)
            .expect("a key")
    };
    let records = (0..partitions).flat_map(|partition| {
        let key = key_of(partition);
        (0..5).map(move |number| OutRecord {
            key: key.clone().into_bytes(),
            value: format!("{number}").into_bytes(),
            headers: Vec::new(),
        })
    });
    topics.write_records(records.collect()).await;
    let from: Vec<(i32, i64)> = (0..partitions).map(|partition| (partition, 4)).collect();
    let mut reader = LogReader::start(&topics.config, &topics.session_events(), &from, 4).expect("a reader");
    let mut fingerprints = BTreeMap::new();
    while fingerprints.len() < from.len() {
        let event = tokio::time::timeout(WAIT_LIMIT, reader.next())
            .await
            .expect("records in time");
        let Some(LogReaderEvent::Records(records)) = event else {
            panic!("{event:?}")
        };
        let of_records = records
            .iter()
            .map(|record| (record.partition, record.fingerprint().0.to_vec()));
        fingerprints.extend(of_records);
    }
    fingerprints
}

async fn insert(pool: &PgPool, projection: &str, partition: i32, next_offset: i64, last: Option<Vec<u8>>) {
    sqlx::query(
        "insert into projection_partitions (projection, partition, next_offset, last_record, stopped) \
         values ($1, $2, $3, $4, 'log_truncated')",
    )
    .bind(projection)
    .bind(partition)
    .bind(next_offset)
    .bind(last)
    .execute(pool)
    .await
    .expect("a row");
}

async fn stand(pool: &PgPool, projection: &str, partition: i32) -> Stand {
    sqlx::query_as(
        "select epoch, owner, next_offset, last_record, stopped from projection_partitions \
         where projection = $1 and partition = $2",
    )
    .bind(projection)
    .bind(partition)
    .fetch_one(pool)
    .await
    .expect("a row")
}

#[tokio::test]
async fn without_a_broker_it_says_which_one_does_not_answer() {
    let mut config = TestTopics::create(1).await.config.clone();
    config.brokers = "127.0.0.1:1".to_owned();
    let waited = tokio::time::timeout(Duration::from_secs(25), topics::check_topics(&config)).await;
    let text = format!("{:#}", waited.expect("an answer in time").expect_err("no broker"));
    assert!(text.contains("127.0.0.1:1"), "{text}");
}
