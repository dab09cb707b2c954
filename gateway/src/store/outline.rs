//! What a session's outline is made of: counts by time and kind, and pauses, of a run of its events.

use chrono::{DateTime, TimeDelta, Utc};
use kulti_schemas::{SessionId, Timestamp};
use sqlx::postgres::types::PgInterval;
use sqlx::{FromRow, PgPool};

/// From where to where a session goes.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct SessionSpan {
    pub(crate) position: i64,
    pub(crate) started_at: DateTime<Utc>,
    /// The session's clock at its last event.
    pub(crate) clock: DateTime<Utc>,
}

/// `None` without such a session.
pub(crate) async fn session_span(
    pool: &PgPool,
    session: &SessionId,
) -> Result<Option<SessionSpan>, sqlx::Error> {
    sqlx::query_as("select position, started_at, clock from sessions where id = $1")
        .bind(session.as_str())
        .fetch_optional(pool)
        .await
}

/// Events of one kind in one bucket of time.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct OutlineRow {
    /// Where the bucket begins.
    pub(crate) bucket: DateTime<Utc>,
    pub(crate) kind: String,
    pub(crate) events: i64,
    /// The last of them.
    pub(crate) last_clock: DateTime<Utc>,
    /// Positions of those that came after a pause.
    pub(crate) resumed: Option<Vec<i64>>,
    /// The session's clock before these pauses.
    pub(crate) paused_at: Option<Vec<DateTime<Utc>>>,
    /// The session's clock after them.
    pub(crate) resumed_at: Option<Vec<DateTime<Utc>>>,
}

/// The counts of the events above `after` and up to `to`. `clock` is the session's clock at `after`.
pub(crate) async fn outline_page(
    pool: &PgPool,
    session: &SessionId,
    (after, to): (i64, i64),
    (started_at, bucket): (Timestamp, TimeDelta),
    (clock, pause): (Timestamp, TimeDelta),
) -> Result<Vec<OutlineRow>, sqlx::Error> {
    let interval = |delta: TimeDelta| PgInterval {
        months: 0,
        days: 0,
        microseconds: delta.num_microseconds().unwrap_or(i64::MAX),
    };
    sqlx::query_as(
        "select bucket, kind, count(*) as events, max(clock) as last_clock,
            array_agg(position) filter (where clock - before >= $7) as resumed,
            array_agg(before) filter (where clock - before >= $7) as paused_at,
            array_agg(clock) filter (where clock - before >= $7) as resumed_at
         from (
             select position, kind, clock, date_bin($4, clock, $5) as bucket,
                 lag(clock, 1, $6) over (order by position) as before
             from events where session_id = $1 and position > $2 and position <= $3
         ) as page group by bucket, kind",
    )
    .bind(session.as_str())
    .bind(after)
    .bind(to)
    .bind(interval(bucket))
    .bind(started_at.to_datetime())
    .bind(clock.to_datetime())
    .bind(interval(pause))
    .fetch_all(pool)
    .await
}

/// How many events of one kind.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct KindCount {
    pub(crate) kind: String,
    pub(crate) events: i64,
    /// The position of the last of them.
    pub(crate) last: i64,
}

/// The events of a session above `after`, counted by kind.
pub(crate) async fn kinds_after(
    pool: &PgPool,
    session: &SessionId,
    after: i64,
) -> Result<Vec<KindCount>, sqlx::Error> {
    sqlx::query_as(
        "select kind, count(*) as events, max(position) as last from events
         where session_id = $1 and position > $2 group by kind",
    )
    .bind(session.as_str())
    .bind(after)
    .fetch_all(pool)
    .await
}
