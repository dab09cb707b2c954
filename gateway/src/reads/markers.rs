//! `GET /v1/sessions/{id}/markers`: the moments of a session that have a name.
//!
//! Markers of viewers are annotations: shown as known now, at the event that they point to.

use axum::extract::{Request, State};
use kulti_schemas::{EventId, PositionedEvent, SessionId, Source, Timestamp};
use serde::{Deserialize, Serialize};

use super::annotations::{annotations, beginning};
use super::cursor::{read_place, write_place};
use super::parameters::Parameters;
use crate::access;
use crate::json::JsonBody;
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, answered};

const LABEL_CHARACTERS: usize = 300;

/// A moment with a name.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct MarkerView {
    /// The marker's own event; for one that was found, the event that it stands at.
    pub(crate) id: String,
    /// The event that it points to.
    pub(crate) event: String,
    /// That event's position.
    pub(crate) position: i64,
    /// The session's clock there.
    pub(crate) time: String,
    pub(crate) label: String,
    /// agent, viewer, system, or what it was found by: first_error, tests_passed, tests_failed, preview, idle.
    pub(crate) origin: String,
    /// As its author gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) level: Option<serde_json::Value>,
}

impl MarkerView {
    /// Tells it from the others at its position: the fold may set several at one event.
    fn key(&self) -> String {
        format!("{} {}", self.id, self.origin)
    }
}

/// A page of markers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MarkersPage {
    items: Vec<MarkerView>,
    /// Give it as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// Lists a session's markers by the moment that they point to.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/markers", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("limit" = Option<i64>, Query, description = "1 to 1,000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = MarkersPage), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn list_markers(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<MarkersPage>, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = super::visible_session(&state, &reader, &id).await?;
    let parameters = Parameters::of(request.uri())?;
    let cursor = parameters.text("cursor").map(read_place).transpose()?;
    let limit = parameters.limit()? as usize;
    let mut items = markers_of(&state, &session).await?;
    if let Some((position, key)) = &cursor {
        items.retain(|marker| (marker.position, marker.key().as_str()) > (*position, key.as_str()));
    }
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items
        .last()
        .filter(|_| has_more)
        .map(|last| write_place(last.position, &last.key()));
    Ok(JsonBody(MarkersPage { items, next }))
}

#[derive(Deserialize)]
struct MarkerData {
    label: Option<String>,
    level: Option<serde_json::Value>,
    at: Option<String>,
}

/// All markers, by the moment that they point to.
pub(crate) async fn markers_of(state: &AppState, session: &SessionId) -> Result<Vec<MarkerView>, Problem> {
    let events = annotations(state, session, "marker").await?;
    let read: Vec<(&PositionedEvent, MarkerData, Option<EventId>)> = events
        .iter()
        .filter_map(|event| {
            let data: MarkerData = serde_json::from_str(event.event.data.get()).ok()?;
            let at = data.at.as_deref().and_then(|id| EventId::parse(id).ok());
            Some((event, data, at))
        })
        .collect();
    let named: Vec<EventId> = read.iter().filter_map(|(_, _, at)| *at).collect();
    let places = if named.is_empty() {
        Default::default()
    } else {
        answered(store::places_of(&state.pool, session, &named)).await?
    };
    let mut markers: Vec<MarkerView> = read
        .into_iter()
        .map(|(event, data, at)| {
            let id = event.event.meta.event_id;
            // What it points to may be gone with a log that was cut.
            let place = at.and_then(|at| Some((at, places.get(&at)?)));
            let (pointed, position, clock) = match place {
                Some((at, place)) => (at, place.position, place.clock),
                None => (id, event.position, event.clock),
            };
            MarkerView {
                id: id.to_string(),
                event: pointed.to_string(),
                position,
                time: time(clock),
                label: beginning(&data.label.unwrap_or_default(), LABEL_CHARACTERS),
                origin: origin(event.event.meta.source),
                level: data.level,
            }
        })
        .collect();
    let last = answered(store::last_position(&state.pool, session))
        .await?
        .unwrap_or(0);
    let found = state.found_markers.up_to(state, session, last).await?;
    markers.extend(found.into_iter().map(|marker| MarkerView {
        id: marker.event.clone(),
        event: marker.event,
        position: marker.position,
        time: marker.time,
        label: marker.label,
        origin: marker.origin,
        level: None,
    }));
    markers.sort_by_cached_key(|marker| (marker.position, marker.key()));
    Ok(markers)
}

fn origin(source: Source) -> String {
    source.as_str().to_owned()
}

fn time(clock: Timestamp) -> String {
    clock.to_rfc3339()
}
