//! The state of a session as of a moment, for reads that show a part of it.

use kulti_schemas::SessionId;
use kulti_session::workspace::EventTexts;
use kulti_session::{Keyframe, Workspace};

use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{answered, events_page};

const PAGE_ROWS: i64 = 1_000;
const PAGE_BYTES: usize = 1 << 20;

/// The state after the event at this position. Folds the rows from the session's start, so it costs what the session is
/// long; whoever has a keyframe nearer puts it in here.
pub(crate) async fn keyframe_at(
    state: &AppState,
    session: &SessionId,
    position: i64,
) -> Result<Keyframe, Problem> {
    let mut workspace = Workspace::new();
    while workspace.position() < position {
        let after = workspace.position();
        let rows = PAGE_ROWS.min(position - after);
        let page = answered(events_page(&state.pool, session, after, rows, PAGE_BYTES)).await?;
        for event in &page {
            let texts = EventTexts::of(event);
            workspace.apply(&texts.event(event));
        }
        if page.is_empty() {
            break;
        }
    }
    Ok(workspace.keyframe())
}
