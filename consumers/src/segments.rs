//! Segments: a session's replay in parts, each beginning with its keyframe, the state before its first event.
//!
//! They are a cache of the rows and can be dropped at any time. Whoever wants the state at a position reads the one
//! segment that it lies in, whatever the session's length. Where a segment ends depends on the session alone, so
//! segments that are made again are the same: it closes when it has [`MIN_EVENTS`] events and [`KEYFRAMES`] times its
//! keyframe's bytes, or [`MAX_BYTES`]. The last one of a session is open: a keyframe, and rows.

mod builder;
mod metrics;
mod rebuild;
mod sealer;
mod store;

use kulti_schemas::SessionId;
use sqlx::PgConnection;

pub use builder::{KEYFRAMES, MAX_BYTES, MIN_EVENTS};
pub use metrics::SealerMetrics;
pub use rebuild::{RebuiltSegments, rebuild};
pub use sealer::{SealError, Sealed, SealerContext, run, seal_session};
pub use store::{StoredSegment, file_content, segment_at, segment_of_hash, segments_of};

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

/// Forgets what was folded from a session's events from this position on, and has it sealed again. The caller has
/// changed those rows in the same transaction, so nobody finds a segment with what they held before.
///
/// # Errors
/// If Postgres cannot be used.
pub async fn unseal(
    connection: &mut PgConnection,
    session: &SessionId,
    from_position: i64,
) -> sqlx::Result<()> {
    store::unseal(connection, session, from_position).await
}
