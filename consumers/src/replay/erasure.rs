//! `session.erased`: everything that the tables have of a session goes, and a tombstone stays.

use kulti_schemas::{Event, EventId, Kind, SessionId, Timestamp};
use sqlx::PgConnection;

/// Which event erased a session, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Erasure {
    event_id: EventId,
    at: Timestamp,
}

impl Erasure {
    /// If this event erases its session.
    pub(super) fn of(event: &Event) -> Option<Self> {
        (event.kind == Kind::Known("session.erased")).then_some(Erasure {
            event_id: event.meta.event_id,
            at: event.meta.received,
        })
    }
}

/// Removes the session's rows from every table; whatever the log gets of it from now on is nothing.
pub(super) async fn apply(
    connection: &mut PgConnection,
    partition: i32,
    session: &SessionId,
    erasure: &Erasure,
) -> sqlx::Result<()> {
    for statement in [
        "delete from events where session_id = $1",
        "delete from sessions where id = $1",
        "delete from segments where session_id = $1",
        "delete from file_contents where session_id = $1",
        "delete from awaited_redactions where session_id = $1",
    ] {
        sqlx::query(statement)
            .bind(session.as_str())
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(
        "insert into erased_sessions (session_id, partition, event_id, erased_at) values ($1, $2, $3, $4)
         on conflict (session_id) do nothing",
    )
    .bind(session.as_str())
    .bind(partition)
    .bind(erasure.event_id.uuid())
    .bind(erasure.at.to_datetime())
    .execute(connection)
    .await?;
    Ok(())
}
