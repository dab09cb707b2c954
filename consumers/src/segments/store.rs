//! The SQL of `segments` and `file_contents`.

use kulti_schemas::SessionId;
use kulti_session::FOLD;
use kulti_tables::segments::StoredSegment;
use sqlx::{FromRow as _, PgConnection, PgPool, Row as _};

use super::builder::{MIN_EVENTS, PackedFile, PackedSegment};

/// What the sealer has to know of a session.
pub(super) struct SessionHead {
    pub(super) position: i64,
    pub(super) fold_version: i64,
    /// The open segment of this build's fold.
    pub(super) open: Option<StoredSegment>,
    /// There are segments of another fold.
    pub(super) is_outdated: bool,
}

/// Takes the session for this transaction; `None` if another sealer has it, or there is no such session.
pub(super) async fn take_session(
    connection: &mut PgConnection,
    session: &str,
) -> sqlx::Result<Option<SessionHead>> {
    let is_free: bool =
        sqlx::query_scalar("select pg_try_advisory_xact_lock(hashtextextended('kulti.segments.' || $1, 0))")
            .bind(session)
            .fetch_one(&mut *connection)
            .await?;
    if !is_free {
        return Ok(None);
    }
    let head: Option<(i64, i64, bool)> = sqlx::query_as(
        "select position, fold_version,
             exists (select from segments where session_id = id and fold <> $2)
         from sessions where id = $1",
    )
    .bind(session)
    .bind(FOLD as i32)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((position, fold_version, is_outdated)) = head else {
        return Ok(None);
    };
    let open = sqlx::query_as(
        "select first_position, last_position, content, bytes, sha256 from segments
         where session_id = $1 and last_position is null and fold = $2",
    )
    .bind(session)
    .bind(FOLD as i32)
    .fetch_optional(connection)
    .await?;
    Ok(Some(SessionHead {
        position,
        fold_version,
        open,
        is_outdated,
    }))
}

/// Says when to look again; false if the rows that were folded have changed, or the session is gone. Holds the
/// session's row from here on, so that neither happens before the transaction ends.
pub(super) async fn look_again_at(
    connection: &mut PgConnection,
    session: &str,
    fold_version: i64,
    seal_at: i64,
) -> sqlx::Result<bool> {
    let done = sqlx::query("update sessions set seal_at = $3 where id = $1 and fold_version = $2")
        .bind(session)
        .bind(fold_version)
        .bind(seal_at)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The next segment of a session after one that begins at `after`, whatever fold made it, and that fold.
pub(super) async fn next_segment(
    connection: &mut PgConnection,
    session: &str,
    after: i64,
) -> sqlx::Result<Option<(i32, StoredSegment)>> {
    let row = sqlx::query(
        "select first_position, last_position, content, bytes, sha256, fold from segments
         where session_id = $1 and first_position > $2 order by first_position limit 1",
    )
    .bind(session)
    .bind(after)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((row.try_get("fold")?, StoredSegment::from_row(&row)?)))
        .transpose()
}

/// Where a stored file belongs, and its content, packed.
pub(super) async fn stored_file(
    connection: &mut PgConnection,
    session: &str,
    sha256: &[u8],
) -> sqlx::Result<Option<(i64, Vec<u8>)>> {
    sqlx::query_as("select first_position, content from file_contents where session_id = $1 and sha256 = $2")
        .bind(session)
        .bind(sha256)
        .fetch_optional(connection)
        .await
}

/// How many files are stored of a session.
pub(super) async fn count_files(connection: &mut PgConnection, session: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from file_contents where session_id = $1")
        .bind(session)
        .fetch_one(connection)
        .await
}

/// Position and fold version of a session.
pub(super) async fn versions(
    connection: &mut PgConnection,
    session: &str,
) -> sqlx::Result<Option<(i64, i64)>> {
    sqlx::query_as("select position, fold_version from sessions where id = $1")
        .bind(session)
        .fetch_optional(connection)
        .await
}

/// Removes everything that was folded from a session, and has it sealed anew. False if its rows changed meanwhile.
pub(super) async fn begin_anew(pool: &PgPool, session: &str, fold_version: i64) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    let done = sqlx::query(
        "update sessions set seal_at = 0, fold_version = fold_version + 1 where id = $1 and fold_version = $2",
    )
    .bind(session)
    .bind(fold_version)
    .execute(&mut *transaction)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    forget(&mut transaction, session).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Sessions that have segments or are long enough to, after this one.
pub(super) async fn sessions_after(pool: &PgPool, after: &str, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select id from sessions where id > $1 and (position >= $2 or seal_at <> $2) order by id limit $3",
    )
    .bind(after)
    .bind(MIN_EVENTS)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// How many there are.
pub(super) async fn count_sessions(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from sessions where position >= $1 or seal_at <> $1")
        .bind(MIN_EVENTS)
        .fetch_one(pool)
        .await
}

/// Removes what belongs to no session.
pub(super) async fn forget_strays(pool: &PgPool) -> sqlx::Result<u64> {
    let mut removed = 0;
    for statement in [
        "delete from segments where not exists (select from sessions where id = session_id)",
        "delete from file_contents where not exists (select from sessions where id = session_id)",
    ] {
        removed += sqlx::query(statement).execute(pool).await?.rows_affected();
    }
    Ok(removed)
}

/// Removes everything that was folded from a session.
pub(super) async fn forget(connection: &mut PgConnection, session: &str) -> sqlx::Result<()> {
    for statement in [
        "delete from segments where session_id = $1",
        "delete from file_contents where session_id = $1",
    ] {
        sqlx::query(statement)
            .bind(session)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Writes segments, the first of which may take the open one's place, and contents of files.
pub(super) async fn write(
    connection: &mut PgConnection,
    session: &str,
    segments: &[PackedSegment],
    files: &[PackedFile],
) -> sqlx::Result<()> {
    sqlx::query("delete from segments where session_id = $1 and last_position is null")
        .bind(session)
        .execute(&mut *connection)
        .await?;
    for segment in segments {
        insert(connection, session, FOLD as i32, segment).await?;
    }
    for file in files {
        sqlx::query(
            "insert into file_contents (session_id, sha256, first_position, content, bytes)
             values ($1, $2, $3, $4, $5) on conflict (session_id, sha256) do nothing",
        )
        .bind(session)
        .bind(file.sha256.as_slice())
        .bind(file.first_position)
        .bind(&file.content)
        .bind(file.bytes as i64)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Sessions that have come to where the sealer looks again.
pub(super) async fn sessions_to_seal(pool: &PgPool, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("select id from sessions where position >= seal_at order by id limit $1")
        .bind(limit)
        .fetch_all(pool)
        .await
}

/// Has sessions looked at whose segments were made by another fold.
pub(super) async fn find_outdated(pool: &PgPool) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "update sessions set seal_at = 0
         where seal_at > 0 and id in (select distinct session_id from segments where fold <> $1)",
    )
    .bind(FOLD as i32)
    .execute(pool)
    .await?;
    Ok(done.rows_affected())
}

/// See `segments::unseal`. The session's row comes first, as in `look_again_at`: two that lock in one order never
/// wait for each other.
pub(super) async fn unseal(
    connection: &mut PgConnection,
    session: &SessionId,
    from_position: i64,
) -> sqlx::Result<()> {
    sqlx::query("update sessions set seal_at = 0, fold_version = fold_version + 1 where id = $1")
        .bind(session.as_str())
        .execute(&mut *connection)
        .await?;
    let mut removed: Vec<(i64, i32, Vec<u8>)> = sqlx::query_as(
        "delete from segments where session_id = $1 and coalesce(last_position, $2) >= $2
         returning first_position, fold, content",
    )
    .bind(session.as_str())
    .bind(from_position)
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query("delete from file_contents where session_id = $1 and first_position > $2")
        .bind(session.as_str())
        .bind(from_position)
        .execute(&mut *connection)
        .await?;
    removed.sort_unstable_by_key(|(first_position, ..)| *first_position);
    // The state before the first of them still holds: it is the open one now.
    let Some((first_position, fold, content)) = removed.into_iter().next() else {
        return Ok(());
    };
    let open =
        PackedSegment::open(first_position, &content).map_err(|error| sqlx::Error::Decode(error.into()))?;
    insert(connection, session.as_str(), fold, &open).await
}

async fn insert(
    connection: &mut PgConnection,
    session: &str,
    fold: i32,
    segment: &PackedSegment,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into segments (session_id, first_position, last_position, fold, content, bytes, sha256)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(session)
    .bind(segment.first_position)
    .bind(segment.last_position)
    .bind(fold)
    .bind(&segment.content)
    .bind(segment.bytes as i64)
    .bind(segment.sha256.as_slice())
    .execute(connection)
    .await?;
    Ok(())
}
