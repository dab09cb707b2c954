//! `GET /v1/sessions/{id}/chat`: what was said to the agent and among those who watch.
//!
//! As of a moment it is what had been said by then, and besides, as annotations, what was said later about an event that
//! had happened by then.

use axum::extract::{Request, State};
use kulti_schemas::{EventId, PositionedEvent};
use serde::{Deserialize, Serialize};

use super::annotations::annotations;
use super::at::{At, resolve};
use super::cursor::{read_place, write_place};
use super::parameters::Parameters;
use crate::access;
use crate::json::JsonBody;
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, answered};

/// A line of the chat.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ChatView {
    /// The message's own event.
    event: String,
    /// That event's position.
    position: i64,
    /// When it came in.
    received: String,
    /// viewer, or agent where the agent's side wrote it.
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    text: String,
    /// The event that was being looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// That event's position.
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    /// Said after the moment that was asked for, about what had happened by then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    later: bool,
}

/// A page of the chat.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ChatPage {
    items: Vec<ChatView>,
    /// Give it as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

#[derive(Deserialize)]
struct ChatData {
    text: String,
    name: Option<String>,
    at: Option<String>,
    reply_to: Option<String>,
}

/// Lists the chat in the order in which it was said.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/chat", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("at" = Option<String>, Query, description = "As of this moment: a position, a time since the start (90s, \
            1:02:03), a time, or the id of an event, marker or clip; live unless told"),
        ("limit" = Option<i64>, Query, description = "1 to 1,000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = ChatPage), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn list_chat(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<ChatPage>, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = super::visible_session(&state, &reader, &id).await?;
    let parameters = Parameters::of(request.uri())?;
    let cursor = parameters.text("cursor").map(read_place).transpose()?;
    let limit = parameters.limit()? as usize;
    let moment = resolve(&state.pool, &session, At::of(&parameters)?)
        .await?
        .position;
    let events = annotations(&state, &session, "chat").await?;
    let lines: Vec<(&PositionedEvent, ChatData, Option<EventId>)> = events
        .iter()
        .filter_map(|event| {
            let data: ChatData = serde_json::from_str(event.event.data.get()).ok()?;
            let at = data.at.as_deref().and_then(|id| EventId::parse(id).ok());
            Some((event, data, at))
        })
        .collect();
    let named: Vec<EventId> = lines.iter().filter_map(|(_, _, at)| *at).collect();
    let anchors = if named.is_empty() {
        Default::default()
    } else {
        answered(store::positions_of(&state.pool, &session, &named)).await?
    };
    let after = cursor.map_or(0, |(position, _)| position);
    let mut items: Vec<ChatView> = lines
        .into_iter()
        .filter(|(event, ..)| event.position > after)
        .filter_map(|(event, data, at)| {
            let anchor = at.and_then(|at| anchors.get(&at).copied());
            let later = event.position > moment;
            let is_shown = !later || anchor.is_some_and(|anchor| anchor <= moment);
            is_shown.then(|| ChatView {
                event: event.event.meta.event_id.to_string(),
                position: event.position,
                received: event.event.meta.received.to_rfc3339(),
                source: event.event.meta.source.as_str(),
                name: data.name,
                text: data.text,
                at: data.at,
                anchor,
                reply_to: data.reply_to,
                later,
            })
        })
        .collect();
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items
        .last()
        .filter(|_| has_more)
        .map(|last| write_place(last.position, ""));
    Ok(JsonBody(ChatPage { items, next }))
}
