//! Sessions as they were: the state at any position, and the segments that it is made of.
//!
//! The state at a position is the keyframe of the segment that it lies in, and that segment's events up to it; of the
//! open segment, rows. Both caches are keyed by the session's `fold_version`, which grows in the transaction that
//! changes rows: what a redaction hides is in no answer after it.

mod moments;
pub(crate) mod routes;
pub(crate) mod segments;

use std::sync::Arc;
use std::time::Duration;

use kulti_schemas::SessionId;
use kulti_tables::segments::SegmentText;
use moka::future::Cache;

pub(crate) use moments::{Moment, moment_at};
use segments::HotSegments;

/// Bytes of unpacked segments that are kept for those who seek.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes of moments that are kept: the panels of one page ask for the same one.
const MOMENT_BYTES: u64 = 64 << 20;
/// What one takes beside the contents of files, roughly: its terminals, mostly.
const MOMENT_OVERHEAD_BYTES: usize = 1 << 20;
const MOMENT_IDLE: Duration = Duration::from_secs(60);

/// A segment of a session whose rows have changed so many times.
type SegmentKey = (SessionId, i64, i64);
/// The same of a position.
type MomentKey = (SessionId, i64, i64);

/// What is kept of replays.
pub(crate) struct Replays {
    segments: Cache<SegmentKey, Arc<SegmentText>>,
    moments: Cache<MomentKey, Arc<Moment>>,
    hot: HotSegments,
}

impl Replays {
    /// Rows have changed, and this gateway knows it before a second has passed.
    pub(crate) fn ask_again(&self) {
        self.hot.ask_again();
    }
}

impl Default for Replays {
    fn default() -> Self {
        Replays {
            segments: Cache::builder()
                .max_capacity(SEGMENT_BYTES)
                .weigher(|_, text: &Arc<SegmentText>| u32::try_from(text.bytes()).unwrap_or(u32::MAX))
                .build(),
            moments: Cache::builder()
                .max_capacity(MOMENT_BYTES)
                .weigher(|_, moment: &Arc<Moment>| {
                    let bytes = MOMENT_OVERHEAD_BYTES + moment.workspace().content_bytes();
                    u32::try_from(bytes).unwrap_or(u32::MAX)
                })
                .time_to_idle(MOMENT_IDLE)
                .build(),
            hot: HotSegments::default(),
        }
    }
}
