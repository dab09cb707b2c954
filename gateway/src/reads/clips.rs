//! `GET /v1/sessions/{id}/clips` and `/clips/{clip}`: parts of a session that somebody cut out.
//!
//! A clip is only a pair of events; where they are is looked up when it is shown.

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use kulti_schemas::{EventId, PositionedEvent, SessionId};
use serde::{Deserialize, Serialize};

use super::annotations::{annotations, beginning};
use super::cursor::{read_place, write_place};
use super::parameters::Parameters;
use crate::access;
use crate::json::JsonBody;
use crate::links::{base_url, session_url};
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, EventsQuery, answered, events_page_on};

const TITLE_CHARACTERS: usize = 300;

/// A part of a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ClipView {
    /// The clip's own event: `at=` takes it.
    id: String,
    title: Option<String>,
    /// The first event of it.
    from: String,
    /// The last event of it.
    to: String,
    from_position: i64,
    to_position: i64,
    /// The session's clock at its first event.
    from_time: String,
    /// The session's clock at its last event.
    to_time: String,
    duration_ms: i64,
    /// When it was cut.
    created_at: String,
    /// The page that plays just this.
    url: String,
}

/// A page of clips.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ClipsPage {
    items: Vec<ClipView>,
    /// Give it as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// Lists a session's clips, the first that was cut first.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/clips", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("limit" = Option<i64>, Query, description = "1 to 1,000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = ClipsPage), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn list_clips(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<ClipsPage>, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = super::visible_session(&state, &reader, &id).await?;
    let parameters = Parameters::of(request.uri())?;
    let cursor = parameters.text("cursor").map(read_place).transpose()?;
    let limit = parameters.limit()? as usize;
    let mut events = annotations(&state, &session, "clip").await?;
    if let Some((position, _)) = cursor {
        events.retain(|event| event.position > position);
    }
    let has_more = events.len() > limit;
    events.truncate(limit);
    let next = events
        .last()
        .filter(|_| has_more)
        .map(|last| write_place(last.position, ""));
    let items = views(&state, &session, request.headers(), &events).await?;
    Ok(JsonBody(ClipsPage { items, next }))
}

/// One clip.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/clips/{clip}", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("clip" = String, Path, description = "The clip's id"),
    ),
    responses((status = 200, body = ClipView), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn get_clip(
    State(state): State<AppState>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Result<JsonBody<ClipView>, Problem> {
    let Path((id, clip)) = path.map_err(|_| Problem::not_found())?;
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = super::visible_session(&state, &reader, &id).await?;
    let clip = EventId::parse(&clip).map_err(|_| Problem::not_found())?;
    let found = answered(store::find_event(&state.pool, &session, clip))
        .await?
        .filter(|found| found.kind == "clip")
        .ok_or_else(Problem::not_found)?;
    let query = EventsQuery {
        session: &session,
        after: found.position - 1,
        before: found.position + 1,
        kinds: &[],
        backwards: false,
        limit_rows: 1,
        limit_bytes: usize::MAX,
    };
    let page = answered(async {
        let mut connection = state.pool.acquire().await?;
        events_page_on(&mut connection, &query).await
    })
    .await?;
    let mut views = views(&state, &session, request.headers(), &page.events).await?;
    views.pop().map(JsonBody).ok_or_else(Problem::not_found)
}

#[derive(Deserialize)]
struct ClipData {
    title: Option<String>,
    from: String,
    to: String,
}

/// Clips whose ends are both in the session.
async fn views(
    state: &AppState,
    session: &SessionId,
    headers: &HeaderMap,
    events: &[PositionedEvent],
) -> Result<Vec<ClipView>, Problem> {
    let read: Vec<(&PositionedEvent, ClipData, EventId, EventId)> = events
        .iter()
        .filter_map(|event| {
            let data: ClipData = serde_json::from_str(event.event.data.get()).ok()?;
            let (from, to) = (EventId::parse(&data.from).ok()?, EventId::parse(&data.to).ok()?);
            Some((event, data, from, to))
        })
        .collect();
    let ends: Vec<EventId> = read.iter().flat_map(|(_, _, from, to)| [*from, *to]).collect();
    let places = answered(store::places_of(&state.pool, session, &ends)).await?;
    let page = session_url(&base_url(state, headers), session.as_str());
    let view = |(event, data, from, to): (&PositionedEvent, ClipData, EventId, EventId)| {
        let (first, last) = (places.get(&from)?, places.get(&to)?);
        let id = event.event.meta.event_id.to_string();
        Some(ClipView {
            url: format!("{page}?at={id}"),
            id,
            title: data.title.map(|title| beginning(&title, TITLE_CHARACTERS)),
            from: from.to_string(),
            to: to.to_string(),
            from_position: first.position,
            to_position: last.position.max(first.position),
            from_time: first.clock.to_rfc3339(),
            to_time: last.clock.max(first.clock).to_rfc3339(),
            duration_ms: (last.clock.0 - first.clock.0).max(0) / 1000,
            created_at: event.event.meta.received.to_rfc3339(),
        })
    };
    Ok(read.into_iter().filter_map(view).collect())
}
