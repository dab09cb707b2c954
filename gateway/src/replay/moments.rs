//! The state at a position.

use std::sync::Arc;

use kulti_schemas::SessionId;
use kulti_session::workspace::EventTexts;
use kulti_session::{FOLD, FoldEvent, Keyframe, Workspace};
use kulti_tables::segments::{SegmentText, StoredSegment, file_content, segment_at};
use sqlx::PgPool;

use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store::{answered, events_page};

/// Rows of the open segment that are read at a time, and bytes of them.
const PAGE_ROWS: i64 = 1_000;
const PAGE_BYTES: usize = 256 << 10;
/// Events that are folded until others get the thread.
const EVENTS_AT_ONCE: usize = 128;

/// A session at a position.
pub(crate) struct Moment {
    workspace: Workspace,
}

impl Moment {
    /// Everything about it.
    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// The whole state, as stored and sent.
    pub(crate) fn keyframe(&self) -> Keyframe {
        self.workspace.keyframe()
    }
}

/// Where the segment is that a position lies in.
#[derive(sqlx::FromRow)]
struct Place {
    fold_version: i64,
    first_position: Option<i64>,
    is_open: Option<bool>,
}

/// The state after the event at this position: one keyframe and one segment, whatever the session's length. The caller
/// has made sure that the reader may see the session.
///
/// # Errors
/// 404 if the session is gone, 503 if the database does not answer.
pub(crate) async fn moment_at(
    state: &AppState,
    session: &SessionId,
    position: i64,
) -> Result<Arc<Moment>, Problem> {
    let place = answered(place_of(&state.pool, session, position))
        .await?
        .ok_or_else(Problem::not_found)?;
    let key = (session.clone(), place.fold_version, position);
    let fold = fold_to(state, session, position, &place);
    let moment = state.replays.moments.try_get_with(key, fold).await;
    moment.map_err(|problem| Problem::clone(&problem))
}

async fn place_of(pool: &PgPool, session: &SessionId, position: i64) -> sqlx::Result<Option<Place>> {
    sqlx::query_as(
        "select s.fold_version, g.first_position, g.last_position is null as is_open
         from sessions s left join lateral (
             select first_position, last_position from segments
             where session_id = s.id and first_position <= $2 and fold = $3
             order by first_position desc limit 1
         ) g on true
         where s.id = $1",
    )
    .bind(session.as_str())
    .bind(position)
    .bind(FOLD as i32)
    .fetch_optional(pool)
    .await
}

async fn fold_to(
    state: &AppState,
    session: &SessionId,
    position: i64,
    place: &Place,
) -> Result<Arc<Moment>, Problem> {
    let text = match place.first_position {
        Some(first) => segment_text(state, session, place, first).await?,
        None => None,
    };
    let mut fold = Fold {
        state,
        session,
        workspace: Workspace::new(),
        folded: 0,
    };
    if let Some(text) = &text {
        match Keyframe::from_json(text.keyframe()) {
            Ok(Some(keyframe)) => fold.workspace = Workspace::from_keyframe(keyframe),
            // Another build's: its columns say so, and it is not asked for.
            Ok(None) => {}
            Err(error) => return Err(broken(session, &error)),
        }
        for line in text.events() {
            let event = FoldEvent::parse(line).map_err(|error| broken(session, &error))?;
            if event.position > position {
                break;
            }
            fold.push(&event).await?;
        }
    }
    fold.rows_until(position).await?;
    state.metrics.events_folded.inc_by(fold.folded as u64);
    Ok(Arc::new(Moment {
        workspace: fold.workspace,
    }))
}

/// The segment's content, read once for all who ask. `None` if it is not there any more.
async fn segment_text(
    state: &AppState,
    session: &SessionId,
    place: &Place,
    first_position: i64,
) -> Result<Option<Arc<SegmentText>>, Problem> {
    if place.is_open == Some(true) {
        let read = read_segment(state, session, first_position).await?;
        return read
            .map(|stored| unpack(session, &stored).map(Arc::new))
            .transpose();
    }
    let key = (session.clone(), place.fold_version, first_position);
    let load = async {
        let stored = read_segment(state, session, first_position).await?;
        let stored = stored.filter(|stored| stored.last_position.is_some());
        let Some(stored) = stored else { return Ok(None) };
        unpack(session, &stored).map(|text| Some(Arc::new(text)))
    };
    let text = state.replays.segments.optionally_get_with(key, async {
        load.await.unwrap_or_else(|problem: Problem| {
            tracing::warn!(%session, %problem, "a segment is not used");
            None
        })
    });
    Ok(text.await)
}

async fn read_segment(
    state: &AppState,
    session: &SessionId,
    first_position: i64,
) -> Result<Option<StoredSegment>, Problem> {
    let stored = answered(async {
        let mut connection = state.pool.acquire().await?;
        segment_at(&mut connection, session, first_position).await
    })
    .await?;
    state.metrics.segments_read.inc();
    Ok(stored.filter(|stored| stored.first_position == first_position))
}

fn unpack(session: &SessionId, stored: &StoredSegment) -> Result<SegmentText, Problem> {
    SegmentText::unpack(&stored.content).map_err(|error| broken(session, &error))
}

fn broken(session: &SessionId, error: &impl std::fmt::Display) -> Problem {
    tracing::error!(%session, %error, "a segment is broken: `kulti rebuild` makes it anew");
    Problem::new(
        Code::Internal,
        "what is stored of this session's replay is broken",
    )
}

/// A fold under way.
struct Fold<'a> {
    state: &'a AppState,
    session: &'a SessionId,
    workspace: Workspace,
    folded: usize,
}

impl Fold<'_> {
    async fn push(&mut self, event: &FoldEvent<'_>) -> Result<(), Problem> {
        if let Some(sha256) = self.workspace.wants(event)
            && let Some(content) = stored_file(&self.state.pool, self.session, &sha256).await?
        {
            self.workspace.supply(&content);
        }
        self.workspace.apply(event);
        self.folded += 1;
        if self.folded.is_multiple_of(EVENTS_AT_ONCE) {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// What no closed segment has.
    async fn rows_until(&mut self, position: i64) -> Result<(), Problem> {
        while self.workspace.position() < position {
            let after = self.workspace.position();
            let rows = PAGE_ROWS.min(position - after);
            let page = events_page(&self.state.pool, self.session, after, rows, PAGE_BYTES);
            let page = answered(page).await?;
            if page.is_empty() {
                break;
            }
            for event in &page {
                let texts = EventTexts::of(event);
                self.push(&texts.event(event)).await?;
            }
        }
        Ok(())
    }
}

/// A file's content by its hash, where a keyframe names it.
pub(super) async fn stored_file(
    pool: &PgPool,
    session: &SessionId,
    sha256: &str,
) -> Result<Option<String>, Problem> {
    answered(async {
        let mut connection = pool.acquire().await?;
        file_content(&mut connection, session, sha256).await
    })
    .await
}
