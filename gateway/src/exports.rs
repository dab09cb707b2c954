//! `GET /v1/sessions/{id}/export`: a session to take away, in one of several formats.
//!
//! Streamed page by page from the rows: what an export holds in memory is one page, whatever the session's length.
//! Each format is an [`Encoder`]; they know nothing of where events come from.

mod asciicast;
mod html;
mod markdown;
mod ndjson;
mod parquet;
mod stream;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use kulti_schemas::{PositionedEvent, SessionId};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::access;
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::reads::as_of::keyframe_at;
use crate::reads::at::{At, resolve};
use crate::reads::markers::markers_of;
use crate::reads::parameters::{Parameters, invalid};
use crate::reads::visible_session;
use crate::state::AppState;
use crate::store::{self, SessionRow, answered};

/// Exports that run at once in one gateway; each asks the database for one page after the other.
const AT_ONCE: usize = 8;

/// What a session can be taken away as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// The events as readers get them, a line each.
    Ndjson,
    /// A terminal, for asciinema's player.
    Asciicast,
    /// A transcript for people.
    Markdown,
    /// A page that plays it by itself.
    Html,
    /// A table for analysts.
    Parquet,
}

impl Format {
    const ALL: [Format; 5] = [
        Format::Ndjson,
        Format::Asciicast,
        Format::Markdown,
        Format::Html,
        Format::Parquet,
    ];

    fn name(self) -> &'static str {
        match self {
            Format::Ndjson => "ndjson",
            Format::Asciicast => "asciicast",
            Format::Markdown => "markdown",
            Format::Html => "html",
            Format::Parquet => "parquet",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Format::ALL.into_iter().find(|format| format.name() == text)
    }

    /// Content type and file extension.
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Format::Ndjson => ("application/x-ndjson", "ndjson"),
            Format::Asciicast => ("application/x-asciicast", "cast"),
            Format::Markdown => ("text/markdown; charset=utf-8", "md"),
            Format::Html => ("text/html; charset=utf-8", "html"),
            Format::Parquet => ("application/vnd.apache.parquet", "parquet"),
        }
    }
}

/// Why an export ends before its end: the connection is cut, so that nobody takes a part for the whole.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("{0}")]
    Problem(Problem),
    #[error("the session changed while it was exported")]
    Changed,
    #[error("the encoder failed")]
    Encoder,
}

/// Makes a file of events.
trait Encoder: Send + Sync + 'static {
    /// The first event to give it, if not the first of the range.
    fn first_needed(&self) -> Option<i64> {
        None
    }
    /// What comes before all events.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError>;
    /// The next event.
    fn event(&mut self, event: &PositionedEvent, out: &mut Vec<u8>) -> Result<(), ExportError>;
    /// What comes after all events.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError>;
}

/// Permits to export.
pub(crate) struct Exports {
    at_once: Arc<Semaphore>,
}

impl Default for Exports {
    fn default() -> Self {
        Exports {
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

/// What is exported: the events from one position up to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: i64,
    last: i64,
}

/// Takes a session away: `ndjson` (the events as readers get them), `asciicast` (v3, one terminal), `markdown` (a transcript), `html` (a page that plays it without a network), `parquet` (a table).
///
/// The export ends where the session is when it begins. One that fails on the way is cut off, never ended in order.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/export", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("format" = Option<String>, Query, description = "ndjson (default), asciicast, markdown, html or parquet"),
        ("from" = Option<String>, Query, description = "The first event, or a time from which on: any form that `at` \
            takes. A clip alone is that clip"),
        ("to" = Option<String>, Query, description = "The last event, or a time up to which"),
        ("terminal" = Option<String>, Query, description = "Of asciicast: which terminal, `main` unless told"),
    ),
    responses(
        (status = 200, body = String, description = "The file"),
        (status = 400, description = "A parameter is not valid"),
        (status = 404, description = "Not there, or not for this reader"),
        (status = 503, description = "Too many exports at once"),
    ),
)]
pub(crate) async fn export_session(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = visible_session(&state, &reader, &id).await?;
    let parameters = Parameters::of(request.uri())?;
    let format = match parameters.text("format") {
        None => Format::Ndjson,
        Some(text) => Format::parse(text).ok_or_else(|| {
            let names: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
            invalid("format", &format!("one of {}", names.join(", ")))
        })?,
    };
    let range = range(&state.pool, &session, &parameters).await?;
    let row = answered(store::session_row(&state.pool, &session))
        .await?
        .ok_or_else(Problem::not_found)?;
    let permit = Arc::clone(&state.exports.at_once)
        .try_acquire_owned()
        .map_err(|_| {
            let detail = format!("{AT_ONCE} exports are running; try again when one of them has ended");
            Problem::new(Code::Busy, detail).retry_after(5)
        })?;
    let encoder: Box<dyn Encoder> = match format {
        Format::Ndjson => Box::new(ndjson::Ndjson),
        Format::Asciicast => {
            let markers = markers_of(&state, &session).await?;
            let terminal = parameters.text("terminal");
            Box::new(asciicast::Asciicast::new(&row, range, terminal, markers))
        }
        Format::Markdown => Box::new(markdown::Markdown::new(&row, range)),
        Format::Html => {
            let start = match range.first {
                1 => None,
                first => Some(keyframe_at(&state, &session, first - 1).await?),
            };
            Box::new(html::Html::new(&row, start.as_ref())?)
        }
        Format::Parquet => Box::new(
            parquet::Parquet::new()
                .map_err(|_| Problem::new(Code::Internal, "Parquet could not be begun"))?,
        ),
    };
    let body = stream::body(state.clone(), session, range, encoder, permit).await?;
    Ok(respond(body, format, &row))
}

fn respond(body: Body, format: Format, row: &SessionRow) -> Response {
    let (content_type, extension) = format.file();
    // The alphabet of a session id needs no quoting in a header; a colon is none for file names.
    let name = row.id.replace([':', '~'], "_");
    let disposition = format!("attachment; filename=\"{name}.{extension}\"");
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    response
}

/// From the event that `from` names, or the first at or after that time, to the event that `to` names, or the last at
/// or before that time.
async fn range(pool: &PgPool, session: &SessionId, parameters: &Parameters) -> Result<Range, Problem> {
    let (from, to) = (At::named(parameters, "from")?, At::named(parameters, "to")?);
    let about = |name: &'static str| move |problem: Problem| problem.about(name);
    let (mut first, mut clip_end) = (1, None);
    if let Some(from) = from {
        let (before, step) = match from {
            At::Time(time) => (At::Time(kulti_schemas::Timestamp(time.0 - 1)), 1),
            At::Since(since) => (At::Since(since - chrono::TimeDelta::microseconds(1)), 1),
            At::Live | At::Position(_) | At::Event(_) => (from, 0),
        };
        let moment = resolve(pool, session, before).await.map_err(about("from"))?;
        first = (moment.position + step).max(1);
        clip_end = moment.until;
    }
    let end = match (to, clip_end) {
        (Some(to), _) => {
            let moment = resolve(pool, session, to).await.map_err(about("to"))?;
            moment.until.unwrap_or(moment.position)
        }
        (None, Some(end)) => end,
        (None, None) => resolve(pool, session, At::Live).await?.position,
    };
    Ok(Range {
        first,
        last: end.max(first - 1),
    })
}
