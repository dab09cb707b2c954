//! `DELETE /v1/sessions/{id}`.

use axum::extract::{Request, State};
use chrono::TimeDelta;
use kulti_schemas::{EventId, Timestamp};
use serde::Serialize;

use super::{followed, session_for_admin, write};
use crate::json::JsonBody;
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store;

/// A session that is not there any more.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ErasureAnswer {
    session: String,
    /// The event that erased it.
    event: String,
    /// Its rows are gone; if not, they will be.
    applied: bool,
    log: LogCopy,
}

/// What becomes of the copy in the log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LogCopy {
    /// `forever`: the topic keeps its records for ever, and this copy with them. `until`: it goes at `until`.
    /// `unknown`: the broker could not be asked.
    kept: &'static str,
    /// When the topic's retention has passed, at the earliest.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// Erases a session: from now on it is nowhere, and nothing can be added to it.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", tag = "admin",
    params(("id" = String, Path, description = "The session's id")),
    responses((status = 200, body = ErasureAnswer), (status = 401), (status = 403), (status = 404)),
)]
pub(crate) async fn erase_session(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<ErasureAnswer>, Problem> {
    let (parts, _) = request.into_parts();
    let (session, access) = session_for_admin(&state, &parts, &id).await?;
    let event = EventId::derive(&[b"session.erased", session.as_str().as_bytes()]);
    write(
        &state,
        (&session, &access),
        "session.erased",
        &serde_json::json!({}),
        event,
    )
    .await?;
    tracing::info!(session.id = session.as_str(), "session {session} is erased");
    state.live.erase(&session);
    let applied = followed(|| store::has_erased(&state.pool, &session)).await;
    Ok(JsonBody(ErasureAnswer {
        session: session.to_string(),
        event: event.to_string(),
        applied,
        log: log_copy(&state).await,
    }))
}

async fn log_copy(state: &AppState) -> LogCopy {
    match state.live.log_retention().await {
        Ok(None) => LogCopy {
            kept: "forever",
            until: None,
        },
        Ok(Some(retention)) => {
            let retention = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
            let until = Timestamp::now().to_datetime().checked_add_signed(retention);
            LogCopy {
                kept: "until",
                until: until.map(|until| Timestamp::from(until).to_rfc3339()),
            }
        }
        Err(error) => {
            tracing::warn!(%error, "the log's retention cannot be read");
            LogCopy {
                kept: "unknown",
                until: None,
            }
        }
    }
}
