//! Closed segments in place of their events, for viewers who fetch and unpack them themselves.

use kulti_tables::segments::segments_of;
use serde_json::json;

use super::Filter;
use super::catch_up::Stop;
use super::frames::FrameType;
use super::playhead::Playhead;
use super::subscriber::Sent;
use super::subscription::{Course, Pace};
use crate::replay::segments::SegmentView;
use crate::store::answered;

/// What comes next for a viewer who takes segments.
pub(super) enum Ahead {
    /// A closed segment was told of: it has everything up to here.
    Told(i64),
    /// Events up to this position, as rows.
    Events(i64),
}

impl Course {
    /// Tells of the closed segment that begins after the cursor, if one does; otherwise says how far it is to the next.
    pub(super) async fn segment_after(&self, cursor: i64, clock: &mut Playhead) -> Result<Ahead, Stop> {
        let takes_segments = self.settings.segments
            && clock.pace == Pace::Max
            && self.settings.filter == Filter::All
            && !clock.no_more_segments;
        if !takes_segments || !self.channel.rows_are_masked() {
            return Ok(Ahead::Events(i64::MAX));
        }
        let session = &self.channel.session;
        let next = answered(segments_of(&self.state.pool, session, cursor, 1)).await?;
        let Some((segment, to)) = next
            .first()
            .and_then(|segment| Some((segment, segment.last_position?)))
        else {
            clock.no_more_segments = true;
            return Ok(Ahead::Events(i64::MAX));
        };
        if segment.first_position > cursor + 1 {
            return Ok(Ahead::Events(segment.first_position - 1));
        }
        if to > clock.limit {
            return Ok(Ahead::Events(i64::MAX));
        }
        let fields = json!(SegmentView::of(session, segment));
        let frame = self.frame(FrameType::Segment, fields);
        self.subscriber.arrive(Sent::up_to(to, None), Some(&frame));
        Ok(Ahead::Told(to))
    }
}
