//! What asciinema's API has to remember: which installation of its command line writes as which key, and its streams.

use kulti_schemas::{AgentId, SessionId};
use sha2::{Digest, Sha256};
use sqlx::{FromRow, PgPool};

use super::KeyRecord;

/// A session that one producer socket at a time writes.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Stream {
    pub(crate) id: i64,
    pub(crate) session_id: String,
    pub(crate) agent_id: String,
    /// Empty before there are keys.
    pub(crate) key_id: String,
}

/// What is stored of an installation's id. Never equal to that of a key or of a token.
pub(crate) fn hash_installation(install_id: &str) -> [u8; 32] {
    hash("installation", install_id)
}

/// What is stored of the token in a producer's URL.
pub(crate) fn hash_token(token: &str) -> [u8; 32] {
    hash("stream", token)
}

fn hash(what: &str, secret: &str) -> [u8; 32] {
    Sha256::digest(format!("{what}:{secret}")).into()
}

/// Connects an installation with a key. False: another key has it, and was not revoked.
pub(crate) async fn connect_installation(
    pool: &PgPool,
    hash: &[u8; 32],
    key_id: &str,
) -> Result<bool, sqlx::Error> {
    let result = sqlx::query(
        "insert into control.installations as known (hash, key_id) values ($1, $2)
         on conflict (hash) do update set key_id = excluded.key_id, connected_at = now()
         where known.key_id = excluded.key_id
             or exists (select 1 from control.keys k where k.id = known.key_id and k.revoked_at is not null)",
    )
    .bind(hash.as_slice())
    .bind(key_id)
    .execute(pool)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The key that an installation was connected with.
pub(crate) async fn key_of_installation(
    pool: &PgPool,
    hash: &[u8; 32],
) -> Result<Option<KeyRecord>, sqlx::Error> {
    sqlx::query_as(
        "select k.id, k.name, k.scopes, k.agent_id, k.created_at, k.revoked_at
         from control.installations i join control.keys k on k.id = i.key_id where i.hash = $1",
    )
    .bind(hash.as_slice())
    .fetch_optional(pool)
    .await
}

/// The key whose stream the token is of.
pub(crate) async fn key_of_token(pool: &PgPool, hash: &[u8; 32]) -> Result<Option<KeyRecord>, sqlx::Error> {
    sqlx::query_as(
        "select k.id, k.name, k.scopes, k.agent_id, k.created_at, k.revoked_at
         from control.streams s join control.keys k on k.id = s.key_id where s.token_hash = $1",
    )
    .bind(hash.as_slice())
    .fetch_optional(pool)
    .await
}

/// Makes a stream and returns its number.
pub(crate) async fn create_stream(
    pool: &PgPool,
    (session, agent, key_id): (&SessionId, &AgentId, &str),
    token_hash: &[u8; 32],
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "insert into control.streams (session_id, agent_id, key_id, token_hash) values ($1, $2, $3, $4) returning id",
    )
    .bind(session.as_str())
    .bind(agent.as_str())
    .bind(key_id)
    .bind(token_hash.as_slice())
    .fetch_one(pool)
    .await
}

/// The key's streams whose session's id begins so, the newest first.
pub(crate) async fn streams_of_key(
    pool: &PgPool,
    key_id: &str,
    prefix: &str,
    limit: i64,
) -> Result<Vec<Stream>, sqlx::Error> {
    sqlx::query_as(
        "select id, session_id, agent_id, key_id from control.streams s
         where key_id = $1 and starts_with(session_id, $2)
             and not exists (select 1 from erased_sessions e where e.session_id = s.session_id)
         order by id desc limit $3",
    )
    .bind(key_id)
    .bind(prefix)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// The key's stream of this number, whose token is this one from now on.
pub(crate) async fn take_up_stream(
    pool: &PgPool,
    (key_id, id): (&str, i64),
    token_hash: impl FnOnce(&str) -> [u8; 32],
) -> Result<Option<Stream>, sqlx::Error> {
    let stream: Option<Stream> = sqlx::query_as(
        "select id, session_id, agent_id, key_id from control.streams s where key_id = $1 and id = $2
             and not exists (select 1 from erased_sessions e where e.session_id = s.session_id)",
    )
    .bind(key_id)
    .bind(id)
    .fetch_optional(pool)
    .await?;
    if let Some(stream) = &stream {
        sqlx::query("update control.streams set token_hash = $2 where id = $1 and token_hash <> $2")
            .bind(id)
            .bind(token_hash(&stream.session_id).as_slice())
            .execute(pool)
            .await?;
    }
    Ok(stream)
}

/// The stream of this token.
pub(crate) async fn stream_of_token(pool: &PgPool, hash: &[u8; 32]) -> Result<Option<Stream>, sqlx::Error> {
    sqlx::query_as(
        "select id, session_id, agent_id, key_id from control.streams s where token_hash = $1
             and not exists (select 1 from erased_sessions e where e.session_id = s.session_id)",
    )
    .bind(hash.as_slice())
    .fetch_optional(pool)
    .await
}

/// Counts one more connection of the stream; the number of this one.
pub(crate) async fn claim_stream(pool: &PgPool, id: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("update control.streams set claims = claims + 1 where id = $1 returning claims")
        .bind(id)
        .fetch_one(pool)
        .await
}

/// The number of the stream's latest connection.
pub(crate) async fn latest_claim(pool: &PgPool, id: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("select claims from control.streams where id = $1")
        .bind(id)
        .fetch_one(pool)
        .await
}
