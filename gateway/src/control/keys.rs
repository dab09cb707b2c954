//! API keys: `kulti_<id>_<secret>`, stored as their SHA-256.

use chrono::{DateTime, Utc};
use rand::RngExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::{FromRow, PgPool, Row};

const PREFIX: &str = "kulti_";
const SECRET_BYTES: usize = 24;
const ID_BYTES: usize = 6;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Write events, and read the sessions that it owns.
    Produce,
    /// Read every session of this server.
    Read,
    /// Everything, and make and revoke keys.
    Admin,
}

impl Scope {
    /// As in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Produce => "produce",
            Scope::Read => "read",
            Scope::Admin => "admin",
        }
    }
    /// From its name.
    pub fn parse(text: &str) -> Option<Self> {
        [Scope::Produce, Scope::Read, Scope::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize, utoipa::ToSchema)]

pub struct KeyRecord {
    /// The readable part.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// produce, read, admin.
    pub scopes: Vec<String>,
    /// Produces for this agent only.
    #[serde(rename = "agent")]
    pub agent_id: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl KeyRecord {
    /// Says whether the key has this scope; admin has them all.
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes
            .iter()
            .any(|name| name == scope.as_str() || name == Scope::Admin.as_str())
    }
}

/// A key to make.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Produces for this agent only.
    pub agent: Option<String>,
}

/// A key that was just made. The secret is shown once and stored nowhere; no `Debug`, so it is not logged.
pub struct CreatedKey {
    /// What is kept of it.
    pub record: KeyRecord,
    /// The whole key, as clients send it.
    pub secret: String,
}

/// Makes a key.
pub async fn create_key(pool: &PgPool, new: &NewKey) -> Result<CreatedKey, sqlx::Error> {
    let (id, secret) = {
        let mut random = [0u8; ID_BYTES + SECRET_BYTES];
        rand::rng().fill(&mut random[..]);
        let id = hex(&random[..ID_BYTES]);
        let secret = format!("{PREFIX}{id}_{}", hex(&random[ID_BYTES..]));
        (id, secret)
    };
    let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
    let record = sqlx::query_as(
        "insert into control.keys (id, hash, name, scopes, agent_id) values ($1, $2, $3, $4, $5)
         returning id, name, scopes, agent_id, created_at, revoked_at",
    )
    .bind(&id)
    .bind(hash_key(&secret).to_vec())
    .bind(&new.name)
    .bind(scopes)
    .bind(new.agent.as_deref())
    .fetch_one(pool)
    .await?;
    Ok(CreatedKey { record, secret })
}

/// All keys, revoked ones too, oldest first.
pub async fn list_keys(pool: &PgPool) -> Result<Vec<KeyRecord>, sqlx::Error> {
    sqlx::query_as(
        "select id, name, scopes, agent_id, created_at, revoked_at from control.keys order by created_at, id",
    )
    .fetch_all(pool)
    .await
}

/// Revokes a key; every gateway refuses it within 5 s. False if there is no such key or it is revoked already.
pub async fn revoke_key(pool: &PgPool, id: &str) -> Result<bool, sqlx::Error> {
    let result =
        sqlx::query("update control.keys set revoked_at = now() where id = $1 and revoked_at is null")
            .bind(id)
            .execute(pool)
            .await?;
    Ok(result.rows_affected() == 1)
}

/// The key of this id with its hash.
pub(crate) async fn find_key(pool: &PgPool, id: &str) -> Result<Option<(Vec<u8>, KeyRecord)>, sqlx::Error> {
    let row = sqlx::query(
        "select hash, id, name, scopes, agent_id, created_at, revoked_at from control.keys where id = $1",
    )
    .bind(id)
    .fetch_optional(pool)
    .await?;
    row.map(|row| Ok((row.try_get(0)?, KeyRecord::from_row(&row)?)))
        .transpose()
}

/// Says whether a key was ever made.
pub(crate) async fn any_key(pool: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select 1 from control.keys)")
        .fetch_one(pool)
        .await
}

/// The id inside a key that has the right form.
pub(crate) fn key_id(presented: &str) -> Option<&str> {
    let (id, secret) = presented.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (id.len() == 2 * ID_BYTES && secret.len() == 2 * SECRET_BYTES && is_hex(id) && is_hex(secret))
        .then_some(id)
}

/// What is stored of a key.
pub(crate) fn hash_key(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
