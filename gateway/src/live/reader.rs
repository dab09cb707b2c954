//! Reads every partition into memory and tells the watched sessions; follows where replay stands.

use std::time::Duration;

use kulti_pipeline::{LogReader, LogReaderEvent, Record};
use kulti_schemas::{SessionId, decode_record, kind_of_record};

use super::projected::{LOG_TRUNCATED, PartitionPosition, erased_sessions};
use super::tail::PartitionTail;
use super::{Channel, Live};

/// How often replay's positions are read: what it has committed leaves the memory, new epochs are noticed.
const POLL: Duration = Duration::from_millis(200);
/// Batches that wait between librdkafka's thread and here.
const QUEUE: usize = 16;

/// Until shutdown.
pub(super) async fn run(live: Live) -> anyhow::Result<()> {
    let stopping = live.inner.options.stopping.clone();
    let Some(mut positions) = first_positions(&live).await else {
        return Ok(());
    };
    let from: Vec<(i32, i64)> = (0..)
        .zip(positions.iter().map(|position| position.next_offset))
        .collect();
    for (partition, offset) in &from {
        if let Some(mut tail) = live.tail(*partition) {
            *tail = PartitionTail::starting_at(*offset);
        }
    }
    let options = &live.inner.options;
    let mut reader = LogReader::start(&options.kafka, &options.topic, &from, QUEUE)?;
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut database_was_there = true;
    loop {
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            event = reader.next() => match event {
                Some(LogReaderEvent::Records(records)) => take_records(&live, records),
                Some(LogReaderEvent::PartitionError { partition, detail, truncated }) => {
                    tracing::warn!(kafka.partition = partition, %detail, truncated, "cannot read partition {partition}");
                }
                None => anyhow::bail!("the log's reader ended"),
            },
            _ = poll.tick() => {
                let now = live.inner.projected.poll(&options.pool, options.kafka.partitions).await;
                if let Err(error) = &now && database_was_there {
                    tracing::warn!(%error, "replay's positions cannot be read; viewers who are live go on");
                }
                database_was_there = now.is_ok();
                if let Ok(now) = now {
                    for (partition, (before, now)) in (0..).zip(positions.iter().zip(&now)) {
                        follow(&live, &reader, partition, before, now);
                    }
                    positions = now;
                }
            }
        }
    }
}

/// Waits for the database: without replay's positions there is no place to start.
async fn first_positions(live: &Live) -> Option<Vec<PartitionPosition>> {
    let options = &live.inner.options;
    let mut told = false;
    loop {
        match first_answers(live).await {
            Ok((positions, erased)) => {
                for session in erased.iter().filter_map(|id| SessionId::parse(id).ok()) {
                    live.erase(&session);
                }
                return Some(positions);
            }
            Err(error) if !told => tracing::warn!(%error, "waiting for the database"),
            Err(_) => {}
        }
        told = true;
        tokio::select! {
            () = options.stopping.cancelled() => return None,
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

/// Positions first: what is erased after them is read from the log.
async fn first_answers(live: &Live) -> sqlx::Result<(Vec<PartitionPosition>, Vec<String>)> {
    let options = &live.inner.options;
    let projected = &live.inner.projected;
    let positions = projected.poll(&options.pool, options.kafka.partitions).await?;
    Ok((positions, erased_sessions(&options.pool).await?))
}

fn take_records(live: &Live, records: Vec<Record>) {
    let metrics = &live.inner.options.metrics;
    metrics.records.inc_by(records.len() as u64);
    let mut woken: Vec<std::sync::Arc<Channel>> = Vec::new();
    for record in records {
        let watched = record.key.as_deref().and_then(|key| live.find(key));
        let size = {
            let Some(mut tail) = live.tail(record.partition) else {
                continue;
            };
            let Some(size) = tail.push(record.clone()) else {
                continue;
            };
            size
        };
        metrics.tail_bytes.add(size as i64);
        if let Some(session) = erased_by(&record) {
            live.erase(&session);
        }
        if let Some(channel) = watched {
            channel.deliver(record);
            if !woken.iter().any(|other| std::sync::Arc::ptr_eq(other, &channel)) {
                woken.push(channel);
            }
        }
    }
    for channel in woken {
        channel.wake.notify_one();
    }
    keep_bound(live);
}

/// The session that this record erases.
fn erased_by(record: &Record) -> Option<SessionId> {
    if kind_of_record(record.value.as_deref()?) != Some("session.erased") {
        return None;
    }
    let event = decode_record(record.key.as_deref(), record.value.as_ref()).ok()?;
    Some(event.meta.session_id)
}

/// Over the bound, the largest tail gives up its oldest eighth.
fn keep_bound(live: &Live) {
    let options = &live.inner.options;
    while options.metrics.tail_bytes.get() > options.tail_bytes as i64 {
        let sizes =
            (0..options.kafka.partitions).filter_map(|index| Some((live.tail(index)?.bytes(), index)));
        let Some((size, partition)) = sizes.max() else {
            return;
        };
        let Some(mut tail) = live.tail(partition) else {
            return;
        };
        let dropped = tail.drop_oldest(size / 8 + 1);
        drop(tail);
        options.metrics.tail_bytes.sub(dropped as i64);
        options.metrics.tail_dropped_bytes.inc_by(dropped as u64);
        if dropped == 0 {
            return;
        }
    }
}

/// Follows replay in one partition.
fn follow(
    live: &Live,
    reader: &LogReader,
    partition: i32,
    before: &PartitionPosition,
    now: &PartitionPosition,
) {
    let metrics = &live.inner.options.metrics;
    if now.epoch != before.epoch {
        tracing::info!(
            kafka.partition = partition,
            kafka.offset = now.next_offset,
            epoch = now.epoch,
            "a new log"
        );
        if let Some(mut tail) = live.tail(partition) {
            metrics.tail_bytes.sub(tail.bytes() as i64);
            *tail = PartitionTail::starting_at(now.next_offset);
        }
        reader.seek(partition, now.next_offset);
        for channel in live.channels_of(partition) {
            channel.resync();
        }
    } else if now.stopped != before.stopped && now.stopped.as_deref() == Some(LOG_TRUNCATED) {
        // Whatever this reader got from the new log has no position yet.
        for channel in live.channels_of(partition) {
            channel.resync();
        }
    } else if now.next_offset != before.next_offset {
        if let Some(mut tail) = live.tail(partition) {
            metrics
                .tail_bytes
                .sub(tail.drop_projected(now.next_offset) as i64);
        }
        let watched = usize::try_from(metrics.channels.get()).unwrap_or(0);
        for channel in live.channels_of(partition) {
            channel.projected(now.next_offset, watched);
        }
    }
}
