//! What readers ask for once: sessions, one session, its events. What they watch is in `watch` and `live`.
//!
//! Who may not see a session gets the same 404 as for one that does not exist.

mod annotations;
pub(crate) mod as_of;
pub(crate) mod at;
pub(crate) mod chat;
pub(crate) mod clips;
pub(crate) mod cost;
pub(crate) mod cursor;
pub(crate) mod events;
pub(crate) mod found_markers;
pub(crate) mod markers;
pub(crate) mod outline;
pub(crate) mod parameters;
pub(crate) mod sessions;

use kulti_schemas::SessionId;

use crate::access::Reader;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, SessionAccess, answered};

/// The session of a path, if this reader may see it.
pub(crate) async fn visible_session(
    state: &AppState,
    reader: &Reader,
    id: &str,
) -> Result<(SessionId, SessionAccess), Problem> {
    let session = SessionId::parse(id).map_err(|_| Problem::not_found())?;
    if state.live.is_erased(&session) {
        return Err(Problem::not_found());
    }
    let access = answered(store::session_access(&state.pool, &session))
        .await?
        .ok_or_else(Problem::not_found)?;
    if !reader.may_read(access.visibility.as_deref(), access.owner.as_deref()) {
        return Err(Problem::not_found());
    }
    Ok((session, access))
}
