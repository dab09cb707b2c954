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
