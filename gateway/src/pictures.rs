//! `/s/{session}.svg` and `/s/{session}.png`: the real screen at a moment as a picture, and the page's tags that name it.
//!
//! Pictures are kept by what they show and how often the session's rows have changed, so a redaction is in the next one.
//! Few are drawn at once; of many who ask for the same one, one waits for the work and all get it.

mod palette;
mod png;
mod svg;
mod unfurl;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use kulti_schemas::SessionId;
use kulti_session::workspace::Screen;
use moka::future::Cache;
use tokio::sync::Semaphore;

use crate::access;
use crate::pages;
use crate::problem::{Code, Problem};
use crate::reads::at::{At, resolve};
use crate::reads::parameters::Parameters;
use crate::reads::visible_session;
use crate::replay::moment_at;
use crate::state::AppState;
use crate::store::{self, answered};

/// Pictures that are drawn at once, and those that may wait for it.
const AT_ONCE: usize = 2;
const WAITING: usize = 32;
const WAIT: Duration = Duration::from_secs(10);
/// Bytes of pictures that are kept.
const KEPT_BYTES: u64 = 16 << 20;
/// Of what everybody may see; the rest is not kept anywhere.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=60");
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-store");
/// An SVG is a document: opened by itself it loads and runs nothing.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Format {
    Svg,
    Png,
}

impl Format {
    /// A session's name and the picture that is asked for, of the last part of a path.
    fn split(name: &str) -> Option<(&str, Self)> {
        let svg = name.strip_suffix(".svg").map(|id| (id, Format::Svg));
        svg.or_else(|| name.strip_suffix(".png").map(|id| (id, Format::Png)))
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Format::Svg => "image/svg+xml",
            Format::Png => "image/png",
        })
    }
}

/// What a picture shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subject {
    session: SessionId,
    fold_version: i64,
    position: i64,
    terminal: Option<String>,
    format: Format,
}

/// Pictures that were drawn, and permits to draw.
pub(crate) struct Pictures {
    kept: Cache<Subject, Bytes>,
    at_once: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Pictures {
    fn default() -> Self {
        Pictures {
            kept: Cache::builder()
                .max_capacity(KEPT_BYTES)
                .weigher(|_, picture: &Bytes| u32::try_from(picture.len()).unwrap_or(u32::MAX))
                .build(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Semaphore::new(WAITING),
        }
    }
}

/// The session's page and its pictures.
pub(crate) fn routes() -> Router<AppState> {
    Router::new().route("/s/{session}", get(show))
}

async fn show(State(state): State<AppState>, Path(name): Path<String>, request: Request) -> Response {
    match Format::split(&name) {
        Some((id, format)) => match picture(&state, id, format, request).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(),
        },
        None => {
            // A body cannot be shared between threads.
            let (head, _) = request.into_parts();
            let tags = unfurl::tags(&state, &name, &head).await;
            pages::session_page(&head.headers, tags.as_deref())
        }
    }
}

async fn picture(state: &AppState, id: &str, format: Format, request: Request) -> Result<Response, Problem> {
    let reader = access::reader(state, request.headers(), request.extensions()).await?;
    let (session, about) = visible_session(state, &reader, id).await?;
    let parameters = Parameters::of(request.uri())?;
    let moment = resolve(&state.pool, &session, At::of(&parameters)?).await?;
    let fold_version = answered(store::fold_version(&state.pool, &session)).await?;
    let subject = Subject {
        session,
        fold_version: fold_version.ok_or_else(Problem::not_found)?,
        position: moment.position,
        terminal: parameters.text("terminal").map(str::to_owned),
        format,
    };
    let kept = state
        .pictures
        .kept
        .try_get_with(subject.clone(), draw(state, &subject));
    let picture = kept.await.map_err(|problem| Problem::clone(&problem))?;
    let everybody = reader.is_public(about.visibility.as_deref());
    let headers = [
        (CONTENT_TYPE, format.content_type()),
        (CACHE_CONTROL, if everybody { PUBLIC } else { PRIVATE }),
        (CONTENT_SECURITY_POLICY, NOTHING),
    ];
    Ok((headers, picture).into_response())
}

async fn draw(state: &AppState, subject: &Subject) -> Result<Bytes, Problem> {
    let busy = || {
        let detail = "many pictures are being drawn; try again in a moment";
        Problem::new(Code::Busy, detail).retry_after(2)
    };
    let _waiting = state.pictures.waiting.try_acquire().map_err(|_| busy())?;
    let permit = tokio::time::timeout(WAIT, Arc::clone(&state.pictures.at_once).acquire_owned());
    let permit = permit.await.map_err(|_| busy())?.map_err(|_| busy())?;
    let moment = moment_at(state, &subject.session, subject.position).await?;
    let screen = match (
        moment.workspace().screen(subject.terminal.as_deref()),
        &subject.terminal,
    ) {
        (Some(screen), _) => screen,
        (None, None) => no_screen(),
        (None, Some(_)) => {
            let detail = "no terminal of this name has been used by then";
            return Err(Problem::field(Code::NotFound, "terminal", detail));
        }
    };
    let format = subject.format;
    let drawing = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let svg = svg::draw(&screen);
        match format {
            Format::Svg => Ok(svg.into()),
            Format::Png => png::render(&svg).map(Bytes::from),
        }
    });
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(session = %subject.session, %error, "a picture could not be drawn");
        Problem::new(Code::Internal, "the picture could not be drawn")
    };
    drawing
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))
}

/// What is drawn of a session that has used no terminal.
fn no_screen() -> Screen {
    Screen {
        terminal: String::new(),
        cols: 80,
        rows: 24,
        cursor: None,
        lines: Vec::new(),
        scrollback: Vec::new(),
    }
}
