//! `POST /v1/sessions/{id}/chat`, `/markers`, `/clips`.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use kulti_schemas::{EventId, SessionId};
use serde::Serialize;

use super::body::RemarkBody;
use super::{Remark, write};
use crate::access::{self, Viewer};
use crate::json::JsonBody;
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::reads::at::{At, resolve};
use crate::reads::visible_session;
use crate::state::AppState;
use crate::store::{self, SessionAccess, answered};

/// What was said is in the log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RemarkAnswer {
    session: String,
    /// The event's id.
    event: String,
}

/// A message to the agent and to everybody who watches.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents what `RemarkBody` takes")]
pub(crate) struct ChatBody {
    /// At most 4,000 characters.
    text: String,
    /// What the viewer is called, at most 64 characters.
    name: Option<String>,
    /// The event that was being looked at.
    at: Option<uuid::Uuid>,
    /// The message that this answers.
    reply_to: Option<uuid::Uuid>,
    /// The event's id, a UUIDv7; sent again with it, it is there once.
    id: Option<uuid::Uuid>,
}

/// A moment with a name.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents what `RemarkBody` takes")]
pub(crate) struct MarkerBody {
    /// At most 200 characters.
    label: String,
    /// A number or a word.
    level: Option<serde_json::Value>,
    /// The event that is marked; without it, where the session has come to.
    at: Option<uuid::Uuid>,
    /// The event's id, a UUIDv7.
    id: Option<uuid::Uuid>,
}

/// A part of a session.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "documents what `RemarkBody` takes")]
pub(crate) struct ClipBody {
    /// At most 200 characters.
    title: Option<String>,
    /// Where it begins: an event's id or any other form that `at` takes.
    from: String,
    /// Where it ends, likewise.
    to: String,
    /// The event's id, a UUIDv7.
    id: Option<uuid::Uuid>,
}

/// Says something to the agent and to everybody who watches.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/chat", tag = "viewers",
    params(("id" = String, Path, description = "The session's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again with it, the message is there once")),
    request_body = ChatBody,
    responses(
        (status = 201, body = RemarkAnswer),
        (status = 403, description = "`writes_closed`: there is no key yet"),
        (status = 404, description = "Not there, or not for this viewer"),
        (status = 422, description = "Something in it is not valid, or the key only produces: `kind_not_allowed`"),
        (status = 429, description = "Too much at once"),
    ),
)]
pub(crate) async fn post_chat(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let speaker = Speaker::of(&state, &parts, &id).await?;
    let body = RemarkBody::read(&parts.headers, body).await?;
    let remark = Remark::Chat {
        text: body.required_text("text")?,
        name: body.text("name")?,
        at: body.event("at")?,
        reply_to: body.event("reply_to")?,
    };
    speaker.say(&state, &parts, &body, remark).await
}

/// Gives a moment a name.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/markers", tag = "viewers",
    params(("id" = String, Path, description = "The session's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again with it, the marker is there once")),
    request_body = MarkerBody,
    responses((status = 201, body = RemarkAnswer), (status = 422, description = "Something in it is not valid")),
)]
pub(crate) async fn post_marker(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let speaker = Speaker::of(&state, &parts, &id).await?;
    let body = RemarkBody::read(&parts.headers, body).await?;
    let remark = Remark::Marker {
        label: body.required_text("label")?,
        level: body.value("level").cloned(),
        at: body.event("at")?,
    };
    speaker.say(&state, &parts, &body, remark).await
}

/// Cuts a part out of a session, for a link that plays just that.
#[utoipa::path(
    post, path = "/v1/sessions/{id}/clips", tag = "viewers",
    params(("id" = String, Path, description = "The session's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Sent again with it, the clip is there once")),
    request_body = ClipBody,
    responses((status = 201, body = RemarkAnswer), (status = 422, description = "Something in it is not valid")),
)]
pub(crate) async fn post_clip(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let speaker = Speaker::of(&state, &parts, &id).await?;
    let body = RemarkBody::read(&parts.headers, body).await?;
    let from = clip_end(&state, &speaker.session, "from", body.moment("from")?).await?;
    let to = clip_end(&state, &speaker.session, "to", body.moment("to")?).await?;
    if let (Some(from), Some(to)) = (from.position, to.position)
        && from > to
    {
        return Err(super::invalid("to", "must not be before `from`"));
    }
    let remark = Remark::Clip {
        title: body.text("title")?,
        from: from.id,
        to: to.id,
    };
    speaker.say(&state, &parts, &body, remark).await
}

/// Who speaks, about which session.
struct Speaker {
    viewer: Viewer,
    session: SessionId,
    access: SessionAccess,
}

impl Speaker {
    async fn of(state: &AppState, parts: &Parts, id: &str) -> Result<Self, Problem> {
        let viewer = access::viewer(state, &parts.headers, &parts.extensions).await?;
        let reader = access::reader(state, &parts.headers, &parts.extensions).await?;
        let (session, access) = visible_session(state, &reader, id).await?;
        Ok(Speaker {
            viewer,
            session,
            access,
        })
    }

    async fn say(
        self,
        state: &AppState,
        parts: &Parts,
        body: &RemarkBody,
        remark: Remark,
    ) -> Result<Response, Problem> {
        let id = body.remark_id(&parts.headers)?;
        let about = (&self.session, &self.access);
        let event = write(state, &self.viewer, about, remark, id).await?;
        let answer = RemarkAnswer {
            session: self.session.to_string(),
            event: event.to_string(),
        };
        Ok((StatusCode::CREATED, JsonBody(answer)).into_response())
    }
}

/// An end of a clip; the position of an event that is not a row yet is not known.
struct ClipEnd {
    id: EventId,
    position: Option<i64>,
}

async fn clip_end(state: &AppState, session: &SessionId, name: &str, at: At) -> Result<ClipEnd, Problem> {
    if let At::Event(id) = at
        && state.live.holds_event(session, id)
    {
        return Ok(ClipEnd { id, position: None });
    }
    let moment = resolve(&state.pool, session, at).await.map_err(|problem| {
        let problem = problem.about(name);
        match problem.code {
            Code::NotFound => Problem {
                code: Code::InvalidField,
                ..problem
            },
            _ => problem,
        }
    })?;
    // Of a clip, its end; before the first event, the first.
    let position = if name == "to" {
        moment.until.unwrap_or(moment.position)
    } else {
        moment.position
    };
    let position = position.max(1);
    let id = answered(store::event_at(&state.pool, session, position))
        .await?
        .ok_or_else(|| super::invalid(name, "names a moment of a session that has no events"))?;
    Ok(ClipEnd {
        id,
        position: Some(position),
    })
}
