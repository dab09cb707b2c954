//! Folds rows anew from the log and mends those that differ: what `kulti rebuild` does.
//!
//! The log is read by the very projection that wrote the rows, into tables of the same form in a schema of its own
//! (`shadow`), where it also keeps how far it has come: broken off, it goes on there. Then the two are compared, and
//! only sessions that differ are changed (`mend`), each in one transaction that holds replay's row of the partition:
//! whoever reads sees the session before or after, and replay goes on from what it then is. In the end the segments are
//! compared with the rows in the same way.

mod mend;
mod shadow;

use anyhow::Context as _;
use kulti_pipeline::config::KafkaConfig;
use kulti_schemas::{SessionId, partition_of};
use sqlx::{Connection, PgConnection, PgPool};

use crate::segments::{self, RebuiltSegments};
use mend::Mended;
use shadow::Shadow;

/// One rebuild at a time: its key among Postgres' advisory locks.
const LOCK: i64 = 0x6b75_6c74_6901;

/// What a rebuild needs.
#[derive(Debug, Clone)]
pub struct RebuildContext {
    /// The log.
    pub kafka: KafkaConfig,
    /// The rows.
    pub pool: PgPool,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildProgress {
    /// It reads the log.
    Log {
        /// Of the log.
        partition: i32,
        /// Partitions in all.
        partitions: i32,
        /// Records read of this partition.
        read: i64,
        /// Records to read of it.
        of: i64,
    },
    /// It compares segments with the rows.
    Segments {
        /// Sessions compared.
        sessions: i64,
        /// Sessions to compare.
        of: i64,
    },
}

/// What it found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RebuildReport {
    /// Sessions that the log has.
    pub sessions: i64,
    /// Those that differed and are as the log says now, with how many of their rows were changed.
    pub mended: Vec<(String, u64)>,
    /// Those that the log no longer has from their beginning: they stay as they are.
    pub not_in_log: Vec<String>,
    /// What became of the segments.
    pub segments: RebuiltSegments,
}

/// Rebuilds one session, or all.
///
/// # Errors
/// If another rebuild runs, or log or database cannot be used: what was read so far of all is gone on with next time.
pub async fn rebuild(
    context: &RebuildContext,
    session: Option<&SessionId>,
    mut told: impl FnMut(RebuildProgress),
) -> anyhow::Result<RebuildReport> {
    let mut lock = PgConnection::connect_with(&context.pool.connect_options()).await?;
    let is_alone: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut lock)
        .await?;
    anyhow::ensure!(is_alone, "another rebuild is running on this database");
    let partitions = match session {
        Some(session) => {
            let partition = partition_of(session.as_str().as_bytes(), context.kafka.partitions);
            partition..partition + 1
        }
        None => 0..context.kafka.partitions,
    };
    let mut report = RebuildReport::default();
    let mut shadow = Shadow::open(context, session).await?;
    for partition in partitions.clone() {
        let Some(live) = live_position(context, partition).await? else {
            continue;
        };
        let mut noted = |read, of| {
            told(RebuildProgress::Log {
                partition,
                partitions: partitions.end - partitions.start,
                read,
                of,
            });
        };
        shadow
            .read_until(partition, live, &mut noted)
            .await
            .with_context(|| format!("partition {partition}"))?;
    }
    for partition in partitions {
        if live_position(context, partition).await?.is_none() {
            continue;
        }
        report.sessions += mend::sessions_of(&context.pool, &shadow, partition).await?;
        for session in mend::differing(&context.pool, &shadow, partition).await? {
            match mend::mend(&context.pool, &mut shadow, partition, &session).await? {
                Mended::Rows(0) => {}
                Mended::Rows(rows) => report.mended.push((session, rows)),
                Mended::NotInLog => report.not_in_log.push(session),
            }
        }
    }
    shadow.drop_tables().await?;
    let compared = |sessions, of| told(RebuildProgress::Segments { sessions, of });
    report.segments = segments::rebuild(&context.pool, session, compared)
        .await
        .context("segments")?;
    lock.close().await?;
    Ok(report)
}

/// Where replay stands in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LivePosition {
    epoch: i64,
    next_offset: i64,
}

async fn live_position(context: &RebuildContext, partition: i32) -> anyhow::Result<Option<LivePosition>> {
    let row: Option<(i64, i64)> = sqlx::query_as(
        "select epoch, next_offset from projection_partitions where projection = 'replay' and partition = $1",
    )
    .bind(partition)
    .fetch_optional(&context.pool)
    .await?;
    Ok(row.map(|(epoch, next_offset)| LivePosition { epoch, next_offset }))
}
