//! Markers that the fold sets by itself: first error, tests red or green, preview opened, long idle.
//!
//! A state holds the last of them; earlier ones are in earlier states. What was found is kept, so that a session that
//! goes on costs one state more.

use std::sync::Arc;
use std::time::Duration;

use kulti_schemas::SessionId;
use kulti_session::workspace::Marker;
use moka::future::Cache;
use tokio::sync::Mutex;

use super::as_of::keyframe_at;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, answered};

/// Of one session; earlier ones are not listed.
const MOST: usize = 300;
/// States that are looked at for one answer.
const MOST_STATES: usize = 20;
const SESSIONS: u64 = 500;
const IDLE: Duration = Duration::from_secs(3600);

/// What was found in sessions that were looked at.
pub(crate) struct FoundMarkers {
    /// By the session and how often its rows have changed: a label may be of a text that was redacted.
    sessions: Cache<(SessionId, i64), Arc<Mutex<Found>>>,
}

#[derive(Default)]
struct Found {
    /// Up to here.
    position: i64,
    markers: Vec<Marker>,
}

impl Default for FoundMarkers {
    fn default() -> Self {
        FoundMarkers {
            sessions: Cache::builder().max_capacity(SESSIONS).time_to_idle(IDLE).build(),
        }
    }
}

impl FoundMarkers {
    /// Those up to a position, in order.
    pub(super) async fn up_to(
        &self,
        state: &AppState,
        session: &SessionId,
        position: i64,
    ) -> Result<Vec<Marker>, Problem> {
        let fold_version = answered(store::fold_version(&state.pool, session)).await?;
        let key = (session.clone(), fold_version.ok_or_else(Problem::not_found)?);
        let found = self.sessions.get_with(key, async { Arc::default() }).await;
        let mut found = found.lock().await;
        if found.position < position {
            let mut newer = newer_markers(state, session, (found.position, position)).await?;
            found.markers.append(&mut newer);
            let too_many = found.markers.len().saturating_sub(MOST);
            found.markers.drain(..too_many);
            found.position = position;
        }
        let known = found.markers.iter();
        Ok(known
            .filter(|marker| marker.position <= position)
            .cloned()
            .collect())
    }
}

/// Those above a position, from the states that hold them: the last one, then what it has forgotten, and so on.
async fn newer_markers(
    state: &AppState,
    session: &SessionId,
    (after, mut position): (i64, i64),
) -> Result<Vec<Marker>, Problem> {
    let mut newest_first: Vec<Marker> = Vec::new();
    for _ in 0..MOST_STATES {
        let list = keyframe_at(state, session, position).await?.markers.list;
        let is_all = list.total() == list.iter().len() as u64;
        let earliest = list.iter().next().map(|marker| marker.position);
        let in_reach = list.iter().rev().filter(|marker| marker.position > after);
        newest_first.extend(in_reach.filter(|marker| !is_set(marker)).cloned());
        match earliest {
            Some(earliest) if !is_all && earliest > after + 1 => position = earliest - 1,
            _ => break,
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// True for those that somebody set: they are events of their own.
fn is_set(marker: &Marker) -> bool {
    ["agent", "viewer", "system"].contains(&marker.origin.as_str())
}
