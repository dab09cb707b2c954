//! A session as it was at a moment: `/state`, `/screen`, `/files`, `/files/{path}`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use kulti_schemas::{SessionId, Timestamp};
use kulti_session::workspace::{CursorPlace, FileState, StyledLine};
use serde::Serialize;

use super::moments::{Moment, moment_at, stored_file};
use crate::access;
use crate::json::{JsonBody, json_text};
use crate::path::{PathPair, PathSegment};
use crate::problem::{Code, Problem};
use crate::reads::at::{At, resolve};
use crate::reads::parameters::{Parameters, invalid};
use crate::reads::visible_session;
use crate::state::AppState;

/// Which moment an answer is of.
static POSITION: HeaderName = HeaderName::from_static("kulti-position");

/// The session and the moment that a request names.
async fn named_moment(
    state: &AppState,
    id: &str,
    request: Request,
) -> Result<(SessionId, Parameters, Arc<Moment>), Problem> {
    let reader = access::reader(state, request.headers(), request.extensions()).await?;
    let (session, _) = visible_session(state, &reader, id).await?;
    let parameters = Parameters::of(request.uri())?;
    let at = resolve(&state.pool, &session, At::of(&parameters)?).await?;
    let moment = moment_at(state, &session, at.position).await?;
    Ok((session, parameters, moment))
}

/// Everything about a session at a moment: what a `state` frame has, and what a segment begins with.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/state", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("at" = Option<String>, Query, description = "As of this moment: a position, a time since the start (90s, \
            1:02:03), a time, or the id of an event, marker or clip; live unless told"),
    ),
    responses(
        (status = 200, body = serde_json::Value, description = "The state: at most 256,000 bytes; docs/replay.md"),
        (status = 404, description = "Not there, or not for this reader"),
    ),
)]
pub(crate) async fn get_state(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    let (_, _, moment) = named_moment(&state, &id, request).await?;
    Ok(json_text(moment.keyframe().to_json().into_bytes()))
}

/// A terminal's screen.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ScreenView {
    /// The last event that it shows.
    position: i64,
    /// The session's clock there; null before the first event.
    time: Option<String>,
    /// All terminals, the one used last at the end.
    terminals: Vec<String>,
    /// Which one this is; null if there is none.
    terminal: Option<String>,
    cols: usize,
    rows: usize,
    /// Where the cursor is, from 0; null while it is hidden.
    #[schema(value_type = Option<Object>)]
    cursor: Option<CursorPlace>,
    /// The rows from the top, each a list of runs of one style.
    #[schema(value_type = Vec<Vec<Object>>)]
    lines: Vec<StyledLine>,
    /// The last lines that left the screen at its top.
    #[schema(value_type = Vec<Vec<Object>>)]
    scrollback: Vec<StyledLine>,
}

/// What a terminal showed at a moment.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/screen", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("at" = Option<String>, Query, description = "As of this moment; live unless told"),
        ("terminal" = Option<String>, Query, description = "Its name; unless told, the one used last of those that draw their own screen"),
        ("format" = Option<String>, Query, description = "json (default), or text: the lines without colours"),
    ),
    responses((status = 200, body = ScreenView), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn get_screen(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    let (_, parameters, moment) = named_moment(&state, &id, request).await?;
    let workspace = moment.workspace();
    let name = parameters.text("terminal");
    let screen = workspace.screen(name);
    if screen.is_none() && name.is_some() {
        let detail = "no terminal of this name has been used by then";
        return Err(Problem::field(Code::NotFound, "terminal", detail));
    }
    match parameters.text("format") {
        None | Some("json") => {}
        Some("text") => {
            let lines = screen.into_iter().flat_map(|screen| screen.lines);
            let text: String = lines.map(|line| line.text() + "\n").collect();
            return Ok(text.into_response());
        }
        Some(_) => return Err(invalid("format", "json or text")),
    }
    let now = workspace.now();
    let mut view = ScreenView {
        position: now.position,
        time: now.time.map(|micros| Timestamp(micros).to_rfc3339()),
        terminals: workspace.terminals().map(str::to_owned).collect(),
        terminal: None,
        cols: 80,
        rows: 24,
        cursor: None,
        lines: Vec::new(),
        scrollback: Vec::new(),
    };
    if let Some(screen) = screen {
        view.terminal = Some(screen.terminal);
        (view.cols, view.rows) = (screen.cols, screen.rows);
        (view.cursor, view.lines, view.scrollback) = (screen.cursor, screen.lines, screen.scrollback);
    }
    Ok(JsonBody(view).into_response())
}

/// The files that an agent had changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FilesView {
    /// The last event that they show.
    position: i64,
    /// The session's clock there; null before the first event.
    time: Option<String>,
    /// `{path, bytes?, sha256?, language?, action, changes, position}` each, the one changed last at the end.
    #[schema(value_type = Vec<Object>)]
    items: Vec<FileState>,
    /// Files that were changed so long ago that they are not listed.
    forgotten: u64,
}

/// The files that the agent had changed by a moment; without those that it had deleted.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/files", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("at" = Option<String>, Query, description = "As of this moment; live unless told"),
    ),
    responses((status = 200, body = FilesView), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn list_files(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<FilesView>, Problem> {
    let (_, _, moment) = named_moment(&state, &id, request).await?;
    let now = moment.workspace().now();
    Ok(JsonBody(FilesView {
        position: now.position,
        time: now.time.map(|micros| Timestamp(micros).to_rfc3339()),
        items: moment.workspace().files().cloned().collect(),
        forgotten: moment.workspace().forgotten_files(),
    }))
}

/// A file's text at a moment, as far as the session's events tell it.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/files/{path}", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("path" = String, Path, description = "As the agent named it; may hold slashes"),
        ("at" = Option<String>, Query, description = "As of this moment; live unless told"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "The text; `ETag` is its SHA-256"),
        (status = 404, description = "No such file by then (`not_found`), or its text was never told \
            (`content_unknown`), or not for this reader"),
    ),
)]
pub(crate) async fn get_file(
    State(state): State<AppState>,
    PathPair(id, path): PathPair,
    request: Request,
) -> Result<Response, Problem> {
    let (session, _, moment) = named_moment(&state, &id, request).await?;
    let workspace = moment.workspace();
    let file = workspace.files().rev().find(|file| file.path == path);
    let Some(file) = file else {
        let detail = "the agent had not changed a file of this name by then, or had deleted it";
        return Err(Problem::field(Code::NotFound, "path", detail));
    };
    let unknown = || {
        let detail = "the session's events do not tell this file's text at that moment";
        Problem::field(Code::ContentUnknown, "path", detail)
    };
    let sha256 = file.sha256.as_deref().ok_or_else(unknown)?;
    let text = match workspace.content(sha256) {
        Some(content) => content.to_string(),
        None => stored_file(&state.pool, &session, sha256)
            .await?
            .ok_or_else(unknown)?,
    };
    let header = |text: &str| HeaderValue::from_str(text).map_err(|_| unknown());
    let headers = [
        (
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        // What an agent wrote is shown, and never run.
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("sandbox; default-src 'none'"),
        ),
        (ETAG, header(&format!("\"{sha256}\""))?),
        (POSITION.clone(), header(&workspace.position().to_string())?),
    ];
    Ok((headers, text).into_response())
}
