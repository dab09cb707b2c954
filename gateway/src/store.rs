//! The read models as the gateway asks them: all SQL on the schema `public`. It never writes there; the
//! consumers do. What lives in the schema `control` is in control.rs.

mod moments;
mod outline;
mod sessions;

pub use kulti_tables::events::{EventsPage, EventsQuery, events_page, events_page_on};
pub(crate) use moments::{
    FoundEvent, event_at, find_event, last_position, places_of, position_at_clock, position_since_start,
    positions_of,
};
pub(crate) use outline::{OutlineRow, SessionSpan, kinds_after, outline_page, session_span};
pub(crate) use sessions::{OpenSession, open_sessions};
pub use sessions::{SessionAccess, SessionRow, session_access};
pub(crate) use sessions::{SessionsCursor, SessionsQuery, session_row, session_usage, sessions_page};
pub(crate) use sessions::{access_of_segment, fold_version, has_erased, has_event};

use std::time::Duration;

use sqlx::PgPool;

use crate::problem::Problem;

/// A statement that takes longer counts as no answer: a request is told so instead of hanging with the database.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The statement's answer, or the problem that there is none.
pub(crate) async fn answered<T>(
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, statement).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Problem::database_unavailable()),
    }
}

/// Partitions of projections that stand still, with the reason: `(projection, partition, reason)`.
pub(crate) async fn stopped_partitions(pool: &PgPool) -> Result<Vec<(String, i32, String)>, sqlx::Error> {
    sqlx::query_as(
        "select projection, partition, stopped from projection_partitions
         where stopped is not null order by projection, partition limit 100",
    )
    .fetch_all(pool)
    .await
}

/// The last number that a producer of this name gave one of the session's events.
pub(crate) async fn last_seq(
    pool: &PgPool,
    session: &str,
    producer: &str,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "select seq from events where session_id = $1 and producer = $2 and seq is not null
         order by position desc limit 1",
    )
    .bind(session)
    .bind(producer)
    .fetch_optional(pool)
    .await
}

/// What the last code event of this path in this session was: `None` if there is none, else whether it left
/// the file there.
///
/// The path is looked for as canonical JSON text, because `->>` refuses a document that holds `\u0000`
/// anywhere in it.
pub(crate) async fn path_exists(
    pool: &PgPool,
    session: &kulti_schemas::SessionId,
    path: &str,
) -> Result<Option<bool>, sqlx::Error> {
    let member = format!("\"path\":{}", serde_json::Value::from(path));
    sqlx::query_scalar(
        "select strpos(data::text, '\"action\":\"delete\"') = 0 from events
         where session_id = $1 and kind = 'code.changed' and strpos(data::text, $2) > 0
         order by position desc limit 1",
    )
    .bind(session.as_str())
    .bind(member)
    .fetch_optional(pool)
    .await
}
