//! asciinema's own server API, so that its stock command line works with `ASCIINEMA_SERVER_URL` pointing here:
//! `asciinema auth` (connect), `upload` (recordings), `stream` and `session` (streams, producer).
//!
//! Bodies and status codes are those of asciinema-server. What comes in is a session like any other, by the one way into
//! the log.

mod connect;
mod producer;
mod recording;
mod recordings;
mod seats;
mod streams;

use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use self::seats::Seats;
use crate::config::Visibility;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// Where version 3 of the command line sends recordings, and where version 2 does: such a request may take its time.
pub(crate) const UPLOAD_ROUTES: [&str; 2] = ["/api/v1/recordings", "/api/asciicasts"];
/// Longer than a body may take to arrive, and its events to be written.
pub(crate) const UPLOAD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// The agent of terminals that nobody named: as `kulti import` has it.
const AGENT: &str = "asciinema";
const AGENT_NAME: &str = "asciinema";
/// As asciinema's clients hear of it, and as people may set it.
const MAX_TITLE_CHARACTERS: usize = 1_000;

/// All routes.
pub(crate) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(connect::connect_installation))
        .route("/connect/{install_id}", axum::routing::get(connect::show_page))
        .routes(routes!(recordings::upload_recording))
        .routes(routes!(recordings::upload_asciicast))
        .routes(routes!(streams::create_stream))
        .routes(routes!(streams::update_stream))
        .routes(routes!(streams::list_streams))
        .routes(routes!(producer::open_producer_socket))
}

/// Who may see a session, as asciinema's clients say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Seen {
    Public,
    Unlisted,
    Private,
}

impl From<Seen> for Visibility {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Public => Visibility::Public,
            Seen::Unlisted => Visibility::Unlisted,
            Seen::Private => Visibility::Private,
        }
    }
}

/// A title, unless it is too long.
fn checked_title(title: Option<String>) -> Result<Option<String>, Problem> {
    let title = title.filter(|title| !title.trim().is_empty());
    if title
        .as_ref()
        .is_some_and(|title| title.chars().count() > MAX_TITLE_CHARACTERS)
    {
        let detail = format!("may have at most {MAX_TITLE_CHARACTERS} characters");
        return Err(Problem::field(Code::InvalidField, "title", detail));
    }
    Ok(title)
}

fn respond(result: Result<Response, Problem>) -> Response {
    match result {
        Ok(response) => response.into_response(),
        Err(problem) => problem.into_asciinema_response(),
    }
}
