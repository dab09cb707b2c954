//! `GET /v1/sessions/{id}/events`: rows by position.

use axum::extract::{Request, State};
use axum::response::Response;
use kulti_schemas::{PositionedEvent, SessionId};

use super::at::{At, resolve};
use super::cursor::{EventsCursor, read_events, write_events};
use super::parameters::Parameters;
use crate::access;
use crate::json::json_text;
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{EventsPage, EventsQuery, answered, events_page_on};

/// A page holds at most about this much: a thousand events of 1 MiB would be no page.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Lists a session's events by position. With `before` alone it is the page that ends there, and `next` goes
/// further back; the events are in order all the same.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/events", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("after" = Option<String>, Query, description = "Only after this moment: a position, an event's id, or \
            any other form that `at` takes"),
        ("before" = Option<String>, Query, description = "Only below this position or event; only up to this time"),
        ("kind" = Option<String>, Query, description = "Only of these kinds; may be repeated or separated by commas"),
        ("limit" = Option<i64>, Query, description = "1 to 1,000, default 100; large events make a page shorter"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses(
        (status = 200, body = serde_json::Value, description = "`{items: [event], next: cursor or null}`"),
        (status = 404, description = "Not there, or not for this reader"),
    ),
)]
pub(crate) async fn list_events(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let parameters = Parameters::of(request.uri())?;
    let (session, _) = super::visible_session(&state, &reader, &id).await?;
    let mut after = bound(&state, &session, &parameters, "after").await?;
    let mut before = bound(&state, &session, &parameters, "before").await?;
    let backwards = before.is_some() && after.is_none();
    match parameters.text("cursor").map(read_events).transpose()? {
        Some(EventsCursor::After(position)) => after = Some(position),
        Some(EventsCursor::Before(position)) => before = Some(position),
        None => {}
    }
    let kinds = parameters.list("kind");
    let query = EventsQuery {
        session: &session,
        after: after.unwrap_or(0),
        before: before.unwrap_or(i64::MAX),
        kinds: &kinds,
        backwards,
        limit_rows: parameters.limit()?,
        limit_bytes: PAGE_BYTES,
    };
    let mut page = answered(async {
        let mut connection = state.pool.acquire().await?;
        events_page_on(&mut connection, &query).await
    })
    .await?;
    let next = next_cursor(&page, backwards);
    if backwards {
        page.events.reverse();
    }
    Ok(json_text(render(&page.events, next.as_deref())))
}

/// A position itself, so that it may lie beyond the session; of other moments the position that they are. `after` a
/// time and `before` it are all events together.
async fn bound(
    state: &AppState,
    session: &SessionId,
    parameters: &Parameters,
    name: &str,
) -> Result<Option<i64>, Problem> {
    let Some(at) = At::named(parameters, name)? else {
        return Ok(None);
    };
    let is_position = match at {
        At::Position(position) => return Ok(Some(position)),
        At::Event(_) => true,
        At::Live | At::Since(_) | At::Time(_) => false,
    };
    let position = resolve(&state.pool, session, at)
        .await
        .map_err(|problem| problem.about(name))?
        .position;
    Ok(Some(if name == "before" && !is_position {
        position + 1
    } else {
        position
    }))
}

/// Where the list goes on. A page that was cut at its very end goes on too, so the last page may be empty.
fn next_cursor(page: &EventsPage, backwards: bool) -> Option<String> {
    let position = page.events.last().filter(|_| page.is_cut)?.position;
    Some(write_events(if backwards {
        EventsCursor::Before(position)
    } else {
        EventsCursor::After(position)
    }))
}

fn render(page: &[PositionedEvent], next: Option<&str>) -> Vec<u8> {
    let mut text = b"{\"items\":[".to_vec();
    for (index, event) in page.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        event.write_json(&mut text);
    }
    text.extend_from_slice(b"],\"next\":");
    match next {
        // Base64 for URLs: nothing in it needs an escape.
        Some(cursor) => text.extend_from_slice(format!("\"{cursor}\"}}").as_bytes()),
        None => text.extend_from_slice(b"null}"),
    }
    text
}
