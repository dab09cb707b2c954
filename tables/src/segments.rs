//! Rows of `segments` and `file_contents`.

use kulti_schemas::SessionId;
use kulti_session::FOLD;
use sqlx::{PgConnection, PgPool};

/// What is stored is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Not zstd, or cut.
    #[error("cannot be unpacked: {0}")]
    Packed(#[from] std::io::Error),
    /// No keyframe in its first line.
    #[error("no keyframe: {0}")]
    Keyframe(#[from] serde_json::Error),
    /// Not UTF-8.
    #[error("not text: {0}")]
    Text(#[from] std::string::FromUtf8Error),
}

/// A segment's content: the keyframe's line, then a line per event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentText(String);

impl SegmentText {
    /// Unpacks what is stored.
    ///
    /// # Errors
    /// If it is not a segment's content.
    pub fn unpack(packed: &[u8]) -> Result<Self, SegmentError> {
        Ok(SegmentText(unpack_text(packed)?))
    }

    /// JSON of the state before the first event.
    pub fn keyframe(&self) -> &str {
        self.0.split_once('\n').map_or(&self.0, |(keyframe, _)| keyframe)
    }

    /// JSON of each event, in order. None while the segment is open.
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.0.lines().skip(1)
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

fn unpack_text(packed: &[u8]) -> Result<String, SegmentError> {
    Ok(String::from_utf8(zstd::decode_all(packed)?)?)
}

/// A row of `segments`, packed.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StoredSegment {
    /// Its first event's; its keyframe is the state before.
    pub first_position: i64,
    /// Its last event's; `None` while it is open.
    pub last_position: Option<i64>,
    /// zstd of the keyframe's line and the events' lines.
    pub content: Vec<u8>,
    /// Of the content, unpacked.
    pub bytes: i64,
    /// Of the content, unpacked.
    pub sha256: Vec<u8>,
}

/// The segment that a position lies in, if there is one made by this build's fold.
///
/// # Errors
/// If Postgres cannot be used.
pub async fn segment_at(
    connection: &mut PgConnection,
    session: &SessionId,
    position: i64,
) -> sqlx::Result<Option<StoredSegment>> {
    sqlx::query_as(
        "select first_position, last_position, content, bytes, sha256 from segments
         where session_id = $1 and first_position <= $2 and fold = $3
         order by first_position desc limit 1",
    )
    .bind(session.as_str())
    .bind(position)
    .bind(FOLD as i32)
    .fetch_optional(connection)
    .await
}

/// The closed segment with this hash.
///
/// # Errors
/// If Postgres cannot be used.
pub async fn segment_of_hash(
    pool: &PgPool,
    session: &SessionId,
    sha256: &[u8],
) -> sqlx::Result<Option<StoredSegment>> {
    sqlx::query_as(
        "select first_position, last_position, content, bytes, sha256 from segments
         where session_id = $1 and sha256 = $2 and last_position is not null limit 1",
    )
    .bind(session.as_str())
    .bind(sha256)
    .fetch_optional(pool)
    .await
}

/// The closed segments above a position, in order, without their content.
///
/// # Errors
/// If Postgres cannot be used.
pub async fn segments_of(
    pool: &PgPool,
    session: &SessionId,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<StoredSegment>> {
    sqlx::query_as(
        "select first_position, last_position, ''::bytea as content, bytes, sha256 from segments
         where session_id = $1 and first_position > $2 and fold = $3 and last_position is not null
         order by first_position limit $4",
    )
    .bind(session.as_str())
    .bind(after)
    .bind(FOLD as i32)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// The content of a file that a keyframe names.
///
/// # Errors
/// If Postgres cannot be used, or what it has cannot be unpacked.
pub async fn file_content(
    connection: &mut PgConnection,
    session: &SessionId,
    sha256: &str,
) -> sqlx::Result<Option<String>> {
    let packed: Option<Vec<u8>> = sqlx::query_scalar(
        "select content from file_contents where session_id = $1 and sha256 = decode($2, 'hex')",
    )
    .bind(session.as_str())
    .bind(sha256)
    .fetch_optional(connection)
    .await?;
    let unpacked = packed.as_deref().map(unpack_text).transpose();
    unpacked.map_err(|error: SegmentError| sqlx::Error::Decode(error.into()))
}
