//! Watching: `GET /v1/watch` (WebSocket) and `GET /v1/sessions/{id}/stream` (SSE), one protocol over both.

mod agents;
pub(crate) mod asyncapi;
mod following;
pub(crate) mod handshake;
mod protocol;
mod remarks;
mod socket;
pub(crate) mod sse;
mod viewer;

pub(crate) use self::agents::FollowedAgents;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use kulti_schemas::SessionId;

use tokio::time::{Instant, sleep};

use crate::access::{self, Credentials, Reader};
use crate::live::Phase;
use crate::problem::{Code, Problem};
use crate::server::ConnectionSlot;
use crate::state::AppState;
use crate::{control, store};

/// How long a session may take to come back from the log after its first event was accepted.
const ARRIVES: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a session that was never projected may take to be read from the log.
const TAKEN_UP: Duration = Duration::from_secs(3);

/// Opens a watch socket. See docs/protocol.md for its frames.
#[utoipa::path(
    get, path = "/v1/watch", tag = "watch",
    responses((status = 101, description = "A WebSocket; the frames are described in docs/protocol.md"))
)]
pub(crate) async fn open_watch_socket(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, Problem> {
    access::check_origin(&state, request.headers())?;
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let credentials = Credentials::of(&state, request.headers(), request.extensions());
    // The connection's place among those that the gateway takes stays taken while the socket lives.
    let slot = request.extensions().get::<ConnectionSlot>().cloned();
    let (response, upgraded) = handshake::accept(request)?;
    tokio::spawn(async move {
        match upgraded.await {
            Ok((stream, received)) => socket::serve(state, (reader, credentials), stream, received).await,
            Err(error) => tracing::debug!(%error, "a socket was not upgraded"),
        }
        drop(slot);
    });
    Ok(response)
}

/// Refuses what this reader may not see in the words for what does not exist, and after the same time: an event that
/// was accepted a moment ago may not have come back from the log yet.
pub(crate) async fn check_may_watch(
    state: &AppState,
    reader: &Reader,
    session: &SessionId,
) -> Result<(), Problem> {
    let deadline = Instant::now() + ARRIVES;
    while !state.live.is_erased(session) {
        if may_watch(state, reader, session).await? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    Err(Problem::new(
        Code::NotFound,
        format!("there is no session {session} that you may see"),
    ))
}

async fn may_watch(state: &AppState, reader: &Reader, session: &SessionId) -> Result<bool, Problem> {
    let unavailable = |error: sqlx::Error| {
        tracing::warn!(%error, "a session's visibility cannot be read");
        Problem::new(Code::DatabaseUnavailable, "try again in a moment").retry_after(1)
    };
    // A session that is watched here: the log said who may see it, and no query stands before the first event.
    if let Some(channel) = state.live.watched(session)
        && channel.position() > 0
        && reader.may_read(channel.visibility().as_deref(), None)
    {
        return Ok(true);
    }
    if let Some(access) = store::session_access(&state.pool, session)
        .await
        .map_err(unavailable)?
    {
        return Ok(reader.may_read(access.visibility.as_deref(), access.owner.as_deref()));
    }
    // In the log before replay has it?
    if !state.live.may_hold(session) {
        return Ok(false);
    }
    let channel = state.live.channel(session);
    if channel.ready(TAKEN_UP).await != Phase::Live {
        return Err(Problem::new(Code::Busy, "the session is still being taken up").retry_after(1));
    }
    let owner = control::session_owner(&state.pool, session)
        .await
        .map_err(unavailable)?;
    Ok(channel.position() > 0 && reader.may_read(channel.visibility().as_deref(), owner.as_deref()))
}
