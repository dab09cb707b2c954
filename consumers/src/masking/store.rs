//! Which sessions to look through, and how far it has come.

use sqlx::{PgConnection, PgPool};

/// What it has to know of a session.
pub(super) struct SessionHead {
    pub(super) agent: String,
    /// Of the last row.
    pub(super) position: i64,
    /// Of the last row that was looked through.
    pub(super) masked_to: i64,
}

/// Sessions with rows that nobody has looked through.
pub(super) async fn sessions_to_mask(pool: &PgPool, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select id from sessions where position > masked_to order by id limit $1")
        .bind(limit)
        .fetch_all(pool)
        .await
}

/// Takes the session for this transaction; `None` if another process has it, or there is no such session.
pub(super) async fn take_session(
    connection: &mut PgConnection,
    session: &str,
) -> sqlx::Result<Option<SessionHead>> {
    let is_free: bool =
        sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtextextended('kulti.masking.' || $1, 0))")
            .bind(session)
            .fetch_one(&mut *connection)
            .await?;
    if !is_free {
        return Ok(None);
    }
    let head: Option<(String, i64, i64)> =
        sqlx::query_as("select agent_id, position, masked_to from sessions where id = $1")
            .bind(session)
            .fetch_optional(connection)
            .await?;
    Ok(head.map(|(agent, position, masked_to)| SessionHead {
        agent,
        position,
        masked_to,
    }))
}

/// Says how far it has come.
pub(super) async fn masked_to(
    connection: &mut PgConnection,
    session: &str,
    position: i64,
) -> sqlx::Result<()> {
    sqlx::query("update sessions set masked_to = $2 where id = $1")
        .bind(session)
        .bind(position)
        .execute(connection)
        .await?;
    Ok(())
}
