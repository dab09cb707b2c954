//! Which key owns a session: the first one that writes it.

use std::collections::HashMap;

use kulti_schemas::SessionId;
use sqlx::PgPool;

/// Takes each session that nobody owns for this key, and returns who owns them now.
///
/// The ids are sorted, so that two writers of the same sessions never wait for each other in a circle.
pub(crate) async fn take_ownership(
    pool: &PgPool,
    key_id: &str,
    sessions: &[&str],
) -> Result<HashMap<String, String>, sqlx::Error> {
    let mut sorted = sessions.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sqlx::query(
        "insert into control.session_owners (session_id, key_id) select unnest($1::text[]), $2
         on conflict (session_id) do nothing",
    )
    .bind(&sorted)
    .bind(key_id)
    .execute(pool)
    .await?;
    // A statement of its own: the one above does not see rows that others committed while it ran.
    let owners: Vec<(String, String)> =
        sqlx::query_as("select session_id, key_id from control.session_owners where session_id = any($1)")
            .bind(&sorted)
            .fetch_all(pool)
            .await?;
    Ok(owners.into_iter().collect())
}

/// The key that owns a session, if one does.
pub(crate) async fn session_owner(pool: &PgPool, session: &SessionId) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("select key_id from control.session_owners where session_id = $1")
        .bind(session.as_str())
        .fetch_optional(pool)
        .await
}
