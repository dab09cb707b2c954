//! `GET /v1/sessions` and `GET /v1/sessions/{id}`.

use axum::extract::{Request, State};
use chrono::{DateTime, TimeDelta, Utc};
use kulti_schemas::{SessionId, Timestamp};
use kulti_session::Keyframe;
use serde::Serialize;

use super::as_of::keyframe_at;
use super::at::{At, resolve};
use super::cursor::{read_sessions, write_sessions};
use super::parameters::{Parameters, invalid};
use crate::access;
use crate::json::JsonBody;
use crate::links::{base_url, session_url};
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, SessionRow, SessionsCursor, SessionsQuery, answered};

/// A session without an event for so long is quiet.
const QUIET_AFTER: TimeDelta = TimeDelta::minutes(2);

/// A session as readers get it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SessionView {
    id: String,
    /// The agent's id.
    agent: String,
    agent_name: Option<String>,
    agent_avatar: Option<String>,
    title: Option<String>,
    task: Option<String>,
    tags: Vec<String>,
    /// live, quiet (2 minutes without an event) or ended.
    status: &'static str,
    /// The agent's own word for what it does.
    agent_status: Option<String>,
    /// public, unlisted or private.
    visibility: String,
    started_at: String,
    /// When the last event came in.
    last_event_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<String>,
    /// How many there are, which is also the last one's position.
    events: i64,
    /// Who watches it now through this gateway.
    viewers: u32,
    tokens: i64,
    cost_usd: f64,
    /// Its page.
    url: String,
    /// The moment that the answer is about, if `at` named one.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
}

/// A moment of a session.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AsOf {
    position: i64,
    /// The event there; null before the first.
    event: Option<String>,
    /// The session's clock there.
    time: Option<String>,
}

/// A page of sessions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SessionsPage {
    items: Vec<SessionView>,
    /// Give it as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// Lists the sessions that the reader may see: those that are open first, each half by its last event.
#[utoipa::path(
    get, path = "/v1/sessions", tag = "read",
    params(
        ("agent" = Option<String>, Query, description = "Only of this agent"),
        ("status" = Option<String>, Query, description = "live, quiet or ended"),
        ("from" = Option<String>, Query, description = "Only with an event at or after this time"),
        ("to" = Option<String>, Query, description = "Only started before this time"),
        ("tag" = Option<String>, Query, description = "Only with this tag"),
        ("limit" = Option<i64>, Query, description = "1 to 1,000, default 100"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = SessionsPage), (status = 400, description = "A parameter is not valid")),
)]
pub(crate) async fn list_sessions(
    State(state): State<AppState>,
    request: Request,
) -> Result<JsonBody<SessionsPage>, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let parameters = Parameters::of(request.uri())?;
    let cursor = parameters.text("cursor").map(read_sessions).transpose()?;
    let limit = parameters.limit()?;
    let now = Timestamp::now().to_datetime();
    let mut query = SessionsQuery {
        agent: parameters.text("agent"),
        open: None,
        active_since: parameters.moment("from")?,
        silent_since: None,
        started_before: parameters.moment("to")?,
        tag: parameters.text("tag"),
        sees_all: reader.sees_all(),
        key_id: reader.key_id(),
        default_visibility: reader.default_visibility().as_str(),
        // One more than asked for tells whether there is a next page.
        limit: limit + 1,
    };
    match parameters.text("status") {
        None => {}
        Some("live") => {
            query.open = Some(true);
            query.active_since = query.active_since.max(Some(now - QUIET_AFTER));
        }
        Some("quiet") => {
            query.open = Some(true);
            query.silent_since = Some(now - QUIET_AFTER);
        }
        Some("ended") => query.open = Some(false),
        Some(_) => return Err(invalid("status", "live, quiet or ended")),
    }
    let mut rows = answered(store::sessions_page(&state.pool, &query, cursor.as_ref())).await?;
    let has_more = rows.len() as i64 > limit;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| has_more).map(|last| {
        let cursor = SessionsCursor {
            open: last.ended_at.is_none(),
            received_at: last.received_at,
            id: last.id.clone(),
        };
        write_sessions(&cursor)
    });
    let base = base_url(&state, request.headers());
    // What was erased a moment ago may still be a row.
    let is_erased = |row: &SessionRow| SessionId::parse(&row.id).is_ok_and(|id| state.live.is_erased(&id));
    let items = rows
        .into_iter()
        .filter(|row| !is_erased(row))
        .map(|row| view(&state, row, now, &base))
        .collect();
    Ok(JsonBody(SessionsPage { items, next }))
}

/// One session, now or as of a moment: then title, status, count of events, tokens and cost are what they were. Who may
/// see it, and how many watch, is as now.
#[utoipa::path(
    get, path = "/v1/sessions/{id}", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("at" = Option<String>, Query, description = "As of this moment: a position, a time since the start (90s, \
            1:02:03), a time, or the id of an event, marker or clip; live unless told"),
    ),
    responses((status = 200, body = SessionView), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn get_session(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<SessionView>, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = super::visible_session(&state, &reader, &id).await?;
    let row = answered(store::session_row(&state.pool, &session))
        .await?
        .ok_or_else(Problem::not_found)?;
    let base = base_url(&state, request.headers());
    let mut session_view = view(&state, row, Timestamp::now().to_datetime(), &base);
    let at = At::of(&Parameters::of(request.uri())?)?;
    if at != At::Live {
        let moment = resolve(&state.pool, &session, at).await?;
        session_view.turn_back(keyframe_at(&state, &session, moment.position).await?);
    }
    Ok(JsonBody(session_view))
}

impl SessionView {
    /// Makes it what it was.
    fn turn_back(&mut self, then: Keyframe) {
        let time = then.now.time.map(|micros| Timestamp(micros).to_rfc3339());
        let profile = then.profile;
        self.status = if profile.ended.is_some() { "ended" } else { "live" };
        (self.ended_at, self.end_reason) = profile.ended.map(|ended| (ended.at, ended.reason)).unzip();
        self.agent_name = profile.agent_name;
        self.agent_avatar = profile.agent_avatar;
        self.title = profile.title;
        self.task = profile.task;
        self.tags = profile.tags;
        self.agent_status = then.activity.status.map(|status| status.status);
        self.events = then.now.position;
        self.tokens = then.tokens;
        self.cost_usd = then.cost_usd;
        if let Some(time) = &time {
            self.last_event_at.clone_from(time);
        }
        self.as_of = Some(AsOf {
            position: then.now.position,
            event: then.now.event,
            time,
        });
    }
}

fn view(state: &AppState, row: SessionRow, now: DateTime<Utc>, base: &str) -> SessionView {
    let text = |moment: DateTime<Utc>| Timestamp::from(moment).to_rfc3339();
    let status = match row.ended_at {
        Some(_) => "ended",
        None if row.received_at < now - QUIET_AFTER => "quiet",
        None => "live",
    };
    let viewers = SessionId::parse(&row.id).map_or(0, |session| state.live.viewers(&session));
    SessionView {
        url: session_url(base, &row.id),
        id: row.id,
        agent: row.agent_id,
        agent_name: row.agent_name,
        agent_avatar: row.agent_avatar,
        title: row.title,
        task: row.task,
        tags: row.tags,
        status,
        agent_status: row.status,
        visibility: row
            .visibility
            .unwrap_or_else(|| state.config.default_visibility.as_str().to_owned()),
        started_at: text(row.started_at),
        last_event_at: text(row.received_at),
        ended_at: row.ended_at.map(text),
        end_reason: row.end_reason,
        events: row.position,
        viewers,
        tokens: row.tokens,
        cost_usd: row.cost_usd,
        as_of: None,
    }
}
