//! `GET /v1/sessions/{id}/outline`: a session's shape for a scrubber, in one small answer.
//!
//! The shape is kept and goes on from where it was: each event is counted once per gateway, by Postgres.

mod shape;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use chrono::TimeDelta;
use kulti_schemas::{SessionId, Timestamp};
use moka::future::Cache;
use serde::Serialize;
use tokio::sync::Mutex;

use self::shape::{Group, PAUSE, Shape};
use super::markers::{MarkerView, markers_of};
use crate::access;
use crate::json::JsonBody;
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, SessionSpan, answered};

/// Events that one statement counts: about 100 ms.
const PAGE_EVENTS: i64 = 50_000;
/// What all shapes may take.
const CACHE_BYTES: u64 = 64 << 20;
const IDLE: Duration = Duration::from_secs(3600);
/// Markers that a scrubber has room for.
const CHAPTERS: usize = 200;

/// The shapes of sessions that were looked at.
pub(crate) struct Outlines {
    shapes: Cache<SessionId, Arc<Kept>>,
}

/// A shape, and the lock that makes whoever asks at the same time wait for one count instead of counting too.
struct Kept {
    shape: Mutex<Option<Shape>>,
}

impl Default for Outlines {
    fn default() -> Self {
        // A shape grows after it is put in: it is weighed as the largest that there is.
        let largest = Shape::new(Timestamp(0), Timestamp(0)).bytes() + shape::BUCKETS * 32 + 200 * 24;
        let shapes = Cache::builder()
            .max_capacity(CACHE_BYTES / largest as u64)
            .time_to_idle(IDLE)
            .build();
        Outlines { shapes }
    }
}

impl Outlines {
    /// The shape as far as the rows have come.
    async fn shape(&self, state: &AppState, session: &SessionId) -> Result<Shape, Problem> {
        let kept = self
            .shapes
            .get_with_by_ref(session, async {
                Arc::new(Kept {
                    shape: Mutex::default(),
                })
            })
            .await;
        let mut kept = kept.shape.lock().await;
        let span = answered(store::session_span(&state.pool, session))
            .await?
            .ok_or_else(Problem::not_found)?;
        let started_at = Timestamp::from(span.started_at);
        // A session that begins otherwise than it did is another one, folded anew.
        let is_usable = |shape: &Shape| shape.started_at == started_at && shape.position <= span.position;
        let shape = match kept.take().filter(is_usable) {
            Some(shape) => shape,
            None => Shape::new(started_at, span.clock.into()),
        };
        let (shape, failure) = go_on(state, session, shape, &span).await;
        *kept = Some(shape.clone());
        failure.map_or(Ok(shape), Err)
    }
}

/// Counts what is not counted yet; what was counted before a failure is kept.
async fn go_on(
    state: &AppState,
    session: &SessionId,
    mut shape: Shape,
    span: &SessionSpan,
) -> (Shape, Option<Problem>) {
    while shape.position < span.position {
        let to = span.position.min(shape.position + PAGE_EVENTS);
        let buckets = (shape.started_at, TimeDelta::microseconds(shape.bucket_micros));
        let range = (shape.position, to);
        let pauses = (shape.clock, PAUSE);
        match answered(store::outline_page(&state.pool, session, range, buckets, pauses)).await {
            Ok(rows) => shape.absorb(rows, to),
            Err(problem) => return (shape, Some(problem)),
        }
    }
    (shape, None)
}

/// The shape of a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OutlineView {
    session: String,
    /// The last event that is counted.
    position: i64,
    started_at: String,
    /// From the first event to the last by the session's clock.
    duration_ms: i64,
    /// The length of a bucket.
    bucket_ms: i64,
    /// Events in each bucket, at most 400 of them; the last position of a bucket is the sum up to it.
    events: Vec<u64>,
    /// The same by kind: thoughts (with messages), tools, terminal, code, errors, chat, other. A group without an
    /// event is left out.
    groups: std::collections::BTreeMap<&'static str, Vec<u32>>,
    /// Events of each group.
    totals: std::collections::BTreeMap<&'static str, u64>,
    /// Pauses of 30 seconds and more, the 200 longest, in order.
    idle: Vec<IdleView>,
    /// Markers, in order; at most 200 of them: `GET /v1/sessions/{id}/markers` has all.
    chapters: Vec<MarkerView>,
}

/// A pause.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IdleView {
    /// The first event after it.
    position: i64,
    /// When it begins, since the start.
    from_ms: i64,
    /// When it ends.
    to_ms: i64,
}

/// The shape of a session: how dense it is, with what, where it pauses, and its chapters.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/outline", tag = "read",
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, body = OutlineView), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn get_outline(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<OutlineView>, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = super::visible_session(&state, &reader, &id).await?;
    let shape = state.outlines.shape(&state, &session).await?;
    let mut chapters = markers_of(&state, &session).await?;
    chapters.truncate(CHAPTERS);
    Ok(JsonBody(view(&session, &shape, chapters)))
}

fn view(session: &SessionId, shape: &Shape, chapters: Vec<MarkerView>) -> OutlineView {
    let since = |moment: Timestamp| (moment.0 - shape.started_at.0) / 1000;
    let sum = |bucket: &[u32; Group::ALL.len()]| bucket.iter().map(|count| u64::from(*count)).sum();
    let mut outline = OutlineView {
        session: session.to_string(),
        position: shape.position,
        started_at: shape.started_at.to_rfc3339(),
        duration_ms: since(shape.clock),
        bucket_ms: shape.bucket_micros / 1000,
        events: shape.buckets.iter().map(sum).collect(),
        groups: Default::default(),
        totals: Default::default(),
        idle: shape
            .pauses
            .iter()
            .map(|pause| IdleView {
                position: pause.position,
                from_ms: since(pause.from),
                to_ms: since(pause.to),
            })
            .collect(),
        chapters,
    };
    for group in Group::ALL {
        let counts: Vec<u32> = shape
            .buckets
            .iter()
            .map(|bucket| bucket[group as usize])
            .collect();
        let total = counts.iter().map(|count| u64::from(*count)).sum();
        if total > 0 {
            outline.groups.insert(group.name(), counts);
            outline.totals.insert(group.name(), total);
        }
    }
    outline
}
