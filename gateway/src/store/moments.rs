//! From moments to positions: look-ups by key, whose number does not grow with the session but for the binary
//! search by its clock (20 in a session of 1,000,000 events).

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use kulti_schemas::{EventId, SessionId, Timestamp};
use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

/// The greatest position whose clock is at or before a moment. The clock never goes back within a session and
/// positions have no holes, so it can be searched by halving; no index on it is needed.
macro_rules! search_by_clock {
    ($target:literal) => {
        concat!(
            "with recursive session as (
                select started_at, position from sessions where id = $1
            ), target as (
                select ",
            $target,
            " as clock from session
            ), search (low, high) as (
                select 0::bigint, position from session
                union all
                select case when is_before then middle else low end, case when is_before then high else middle - 1 end
                from (
                    select low, high, middle,
                        (select e.clock from events e where e.session_id = $1 and e.position = middle)
                            <= (select clock from target) as is_before
                    from (select low, high, (low + high + 1) / 2 as middle from search where low < high) as halves
                ) as halved
            )
            select low from search where low = high"
        )
    };
}

/// The last position; `None` without such a session.
pub(crate) async fn last_position(pool: &PgPool, session: &SessionId) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("select position from sessions where id = $1")
        .bind(session.as_str())
        .fetch_optional(pool)
        .await
}

/// The last position at or before a moment of the session's clock, 0 before the first.
pub(crate) async fn position_at_clock(
    pool: &PgPool,
    session: &SessionId,
    time: Timestamp,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(search_by_clock!("$2::timestamptz"))
        .bind(session.as_str())
        .bind(time.to_datetime())
        .fetch_optional(pool)
        .await
}

/// The same for a moment so long after the session's first event.
pub(crate) async fn position_since_start(
    pool: &PgPool,
    session: &SessionId,
    since: TimeDelta,
) -> Result<Option<i64>, sqlx::Error> {
    let since = PgInterval {
        months: 0,
        days: 0,
        microseconds: since.num_microseconds().unwrap_or(i64::MAX),
    };
    sqlx::query_scalar(search_by_clock!("started_at + $2::interval"))
        .bind(session.as_str())
        .bind(since)
        .fetch_optional(pool)
        .await
}

/// An event as far as it can name a moment.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct FoundEvent {
    pub(crate) position: i64,
    pub(crate) kind: String,
    /// Its data as JSON text.
    pub(crate) data: String,
}

/// The event of this id.
pub(crate) async fn find_event(
    pool: &PgPool,
    session: &SessionId,
    id: EventId,
) -> Result<Option<FoundEvent>, sqlx::Error> {
    // Only markers and clips are looked into: others may be large.
    sqlx::query_as(
        "select position, kind, case when kind in ('marker', 'clip') then data::text else '{}' end as data
         from events where session_id = $1 and event_id = $2",
    )
    .bind(session.as_str())
    .bind(id.uuid())
    .fetch_optional(pool)
    .await
}

/// Where an event is, and when by the session's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: i64,
    pub(crate) clock: Timestamp,
}

/// The places of those of these events that are in the session.
pub(crate) async fn places_of(
    pool: &PgPool,
    session: &SessionId,
    ids: &[EventId],
) -> Result<HashMap<EventId, Place>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows: Vec<(Uuid, i64, DateTime<Utc>)> = sqlx::query_as(
        "select event_id, position, clock from events where session_id = $1 and event_id = any($2)",
    )
    .bind(session.as_str())
    .bind(ids)
    .fetch_all(pool)
    .await?;
    let place = |(id, position, clock): (Uuid, i64, DateTime<Utc>)| {
        let clock = Timestamp::from(clock);
        Some((EventId::from_uuid(id).ok()?, Place { position, clock }))
    };
    Ok(rows.into_iter().filter_map(place).collect())
}

/// The positions of those of these events that are in the session.
pub(crate) async fn positions_of(
    pool: &PgPool,
    session: &SessionId,
    ids: &[EventId],
) -> Result<HashMap<EventId, i64>, sqlx::Error> {
    let places = places_of(pool, session, ids).await?;
    Ok(places
        .into_iter()
        .map(|(id, place)| (id, place.position))
        .collect())
}

/// The id of the event at a position.
pub(crate) async fn event_at(
    pool: &PgPool,
    session: &SessionId,
    position: i64,
) -> Result<Option<EventId>, sqlx::Error> {
    let id: Option<Uuid> =
        sqlx::query_scalar("select event_id from events where session_id = $1 and position = $2")
            .bind(session.as_str())
            .bind(position)
            .fetch_optional(pool)
            .await?;
    Ok(id.and_then(|id| EventId::from_uuid(id).ok()))
}
