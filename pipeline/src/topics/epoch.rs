//! A new epoch: a projection goes on at the start of a log that is not the one it had read.

use anyhow::Context as _;
use kulti_schemas::Topic;

use crate::RecordFingerprint;
use crate::config::KafkaConfig;
use crate::log_reader::LogProbe;

/// Where a projection stands in one partition.
struct Stand {
    partition: i32,
    next_offset: i64,
    last_record: Option<Vec<u8>>,
}

/// For each partition whose last applied record is no longer in the log at its place: goes on at the start of the
/// new log under epoch + 1. Rows stay. Returns the partitions it took up; the others are not touched.
///
/// # Errors
/// If log or database cannot be read; partitions that were taken up before that stay so.
pub async fn new_epoch(
    config: &KafkaConfig,
    pool: &sqlx::PgPool,
    projection: &str,
) -> anyhow::Result<Vec<i32>> {
    let rows: Vec<(i32, i64, Option<Vec<u8>>)> = sqlx::query_as(
        "select partition, next_offset, last_record from projection_partitions \
         where projection = $1 order by partition",
    )
    .bind(projection)
    .fetch_all(pool)
    .await
    .with_context(|| format!("where {projection} stands cannot be read"))?;
    let stands = rows
        .into_iter()
        .map(|(partition, next_offset, last_record)| Stand {
            partition,
            next_offset,
            last_record,
        })
        .collect();
    let lost = find_lost(config, stands).await?;
    let mut taken_up = Vec::new();
    for (stand, low) in lost {
        if take_up(pool, projection, &stand, low).await? {
            taken_up.push(stand.partition);
        }
    }
    Ok(taken_up)
}

/// Conditional on where it was found standing: a projection that moved on meanwhile is not lost.
async fn take_up(pool: &sqlx::PgPool, projection: &str, stand: &Stand, low: i64) -> anyhow::Result<bool> {
    let result = sqlx::query(
        "update projection_partitions \
         set epoch = epoch + 1, owner = owner + 1, next_offset = $3, last_record = null, stopped = null, \
             updated_at = now() \
         where projection = $1 and partition = $2 and next_offset = $4 \
           and last_record is not distinct from $5",
    )
    .bind(projection)
    .bind(stand.partition)
    .bind(low)
    .bind(stand.next_offset)
    .bind(&stand.last_record)
    .execute(pool)
    .await
    .with_context(|| format!("{projection} cannot be taken up in partition {}", stand.partition))?;
    Ok(result.rows_affected() == 1)
}

/// The partitions whose log is another one, each with its first offset.
async fn find_lost(config: &KafkaConfig, stands: Vec<Stand>) -> anyhow::Result<Vec<(Stand, i64)>> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || {
        let probe = LogProbe::new(&config, &config.topics().name(Topic::SessionEvents))?;
        let mut lost = Vec::new();
        for stand in stands {
            if let Some(low) = lost_at(&probe, &stand)? {
                lost.push((stand, low));
            }
        }
        Ok(lost)
    })
    .await?
}

fn lost_at(probe: &LogProbe, stand: &Stand) -> anyhow::Result<Option<i64>> {
    let (low, high) = probe.watermarks(stand.partition)?;
    let Some(expected) = &stand.last_record else {
        // It has read nothing: lost only if what it wants to read next cannot come.
        return Ok((stand.next_offset < low || stand.next_offset > high).then_some(low));
    };
    let found = probe.record_at(stand.partition, stand.next_offset - 1)?;
    let same = found.is_some_and(|record| {
        let RecordFingerprint(found) = record.fingerprint();
        found.as_slice() == expected.as_slice()
    });
    Ok((!same).then_some(low))
}
