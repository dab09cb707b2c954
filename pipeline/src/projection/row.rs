//! The row in `projection_partitions`: who owns a partition, and where it stands.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};

use crate::RecordFingerprint;

/// How long a takeover waits for a transaction in flight before it tries anew.
const TAKEOVER_LOCK_TIMEOUT: &str = "5s";

/// After so long without a connection the database counts as away, whatever the pool's own limit is.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A partition as its owner knows it.
#[derive(Debug, Clone)]
pub(super) struct Owned {
    pub(super) projection: &'static str,
    pub(super) partition: i32,
    pub(super) owner: i64,
    pub(super) epoch: i64,
    pub(super) next_offset: i64,
    /// Fingerprint of the record before `next_offset`; None before the first.
    pub(super) last_record: Option<RecordFingerprint>,
}

/// What a takeover found.
pub(super) struct TakenOver {
    pub(super) owned: Owned,
    /// Why the partition does not go on, if it does not.
    pub(super) stopped: Option<String>,
}

/// A connection of the pool.
pub(super) async fn acquire(pool: &PgPool) -> sqlx::Result<PoolConnection<Postgres>> {
    tokio::time::timeout(ACQUIRE_TIMEOUT, pool.acquire())
        .await
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Counts the owner up; waits for the former owner's transaction in flight, whose commit is then seen.
pub(super) async fn take_over(
    pool: &PgPool,
    projection: &'static str,
    partition: i32,
) -> sqlx::Result<TakenOver> {
    let mut connection = acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("select set_config('lock_timeout', $1, true)")
        .bind(TAKEOVER_LOCK_TIMEOUT)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "insert into projection_partitions (projection, partition) values ($1, $2) on conflict do nothing",
    )
    .bind(projection)
    .bind(partition)
    .execute(&mut *transaction)
    .await?;
    let (owner, epoch, next_offset, last_record, stopped): (i64, i64, i64, Option<Vec<u8>>, Option<String>) =
        sqlx::query_as(
            "update projection_partitions set owner = owner + 1
             where projection = $1 and partition = $2
             returning owner, epoch, next_offset, last_record, stopped",
        )
        .bind(projection)
        .bind(partition)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let last_record = match last_record {
        None => None,
        Some(bytes) => Some(RecordFingerprint(bytes.try_into().map_err(
            |bytes: Vec<u8>| {
                sqlx::Error::Decode(format!("last_record has {} bytes instead of 16", bytes.len()).into())
            },
        )?)),
    };
    let owned = Owned {
        projection,
        partition,
        owner,
        epoch,
        next_offset,
        last_record,
    };
    Ok(TakenOver { owned, stopped })
}

/// Where a transaction leads.
pub(super) struct Advance {
    pub(super) next_offset: i64,
    pub(super) last_record: RecordFingerprint,
}

/// The first statement of every batch's transaction: advances the row if it is still ours, and holds its lock, so
/// that a takeover waits. False if it is not ours any more.
///
/// It also bounds how long the lock outlives a process that was suspended in the middle.
pub(super) async fn advance(
    transaction: &mut PgConnection,
    owned: &Owned,
    to: &Advance,
    idle_limit: Duration,
) -> sqlx::Result<bool> {
    let advanced: Option<(String,)> = sqlx::query_as(
        "with advanced as (
             update projection_partitions set next_offset = $6, last_record = $7, updated_at = now()
             where projection = $1 and partition = $2 and owner = $3 and epoch = $4 and next_offset = $5
                 and stopped is null
             returning 1
         )
         select set_config('idle_in_transaction_session_timeout', $8, true) from advanced",
    )
    .bind(owned.projection)
    .bind(owned.partition)
    .bind(owned.owner)
    .bind(owned.epoch)
    .bind(owned.next_offset)
    .bind(to.next_offset)
    .bind(&to.last_record.0[..])
    .bind(format!("{}ms", idle_limit.as_millis()))
    .fetch_optional(transaction)
    .await?;
    Ok(advanced.is_some())
}

/// Stops a partition if it is still ours.
pub(super) async fn stop(
    connection: impl sqlx::PgExecutor<'_>,
    owned: &Owned,
    reason: &'static str,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update projection_partitions set stopped = $5, updated_at = now()
         where projection = $1 and partition = $2 and owner = $3 and epoch = $4",
    )
    .bind(owned.projection)
    .bind(owned.partition)
    .bind(owned.owner)
    .bind(owned.epoch)
    .bind(reason)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets a partition go on that is still ours and stopped for this reason.
pub(super) async fn release(pool: &PgPool, owned: &Owned, reason: &'static str) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update projection_partitions set stopped = null, updated_at = now()
         where projection = $1 and partition = $2 and owner = $3 and epoch = $4 and stopped = $5",
    )
    .bind(owned.projection)
    .bind(owned.partition)
    .bind(owned.owner)
    .bind(owned.epoch)
    .bind(reason)
    .execute(pool)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// True while the partition is stopped.
pub(super) async fn is_stopped(
    pool: &PgPool,
    projection: &'static str,
    partition: i32,
) -> sqlx::Result<bool> {
    let stopped: Option<(bool,)> = sqlx::query_as(
        "select stopped is not null from projection_partitions where projection = $1 and partition = $2",
    )
    .bind(projection)
    .bind(partition)
    .fetch_optional(pool)
    .await?;
    Ok(stopped.is_some_and(|(stopped,)| stopped))
}
