//! The state of a session as of a moment, for reads that show a part of it.

use kulti_schemas::SessionId;
use kulti_session::Keyframe;

use crate::problem::Problem;
use crate::replay::moment_at;
use crate::state::AppState;

/// The state after the event at this position.
pub(crate) async fn keyframe_at(
    state: &AppState,
    session: &SessionId,
    position: i64,
) -> Result<Keyframe, Problem> {
    Ok(moment_at(state, session, position).await?.keyframe())
}
