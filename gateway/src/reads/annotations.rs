//! What people added to a session, as known now: few events among many, found by an index of their own.

use kulti_schemas::{PositionedEvent, SessionId};

use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{EventsQuery, answered, events_page_on};

/// Of one session and kind; what comes after these is not shown.
const MOST: i64 = 10_000;
const MOST_BYTES: usize = 16 << 20;

/// The session's events of this kind, in order.
pub(super) async fn annotations(
    state: &AppState,
    session: &SessionId,
    kind: &str,
) -> Result<Vec<PositionedEvent>, Problem> {
    let kinds = [kind.to_owned()];
    let query = EventsQuery {
        session,
        after: 0,
        before: i64::MAX,
        kinds: &kinds,
        backwards: false,
        limit_rows: MOST,
        limit_bytes: MOST_BYTES,
    };
    let page = answered(async {
        let mut connection = state.pool.acquire().await?;
        events_page_on(&mut connection, &query).await
    })
    .await?;
    Ok(page.events)
}

/// The first so many characters of a text.
pub(super) fn beginning(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
