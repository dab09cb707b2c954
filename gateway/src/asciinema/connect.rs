//! `/connect/{install-id}`: what `asciinema auth` prints. Whoever opens it and has a key connects the two, so that this
//! installation of asciinema's command line writes as that key (docs/adr/0016).

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use uuid::Uuid;

use crate::control::asciinema::{connect_installation as connect, hash_installation};
use crate::json::JsonBody;
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store::answered;
use crate::{access, pages};

/// What became of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Connected {
    /// False where there is no key yet, so that none is needed.
    connected: bool,
    /// For people.
    detail: String,
}

/// The page that asks for a key. The same for everybody.
pub(super) async fn show_page(headers: HeaderMap) -> Response {
    pages::connect_page(&headers)
}

/// Connects an installation of asciinema's command line with the key of this request.
#[utoipa::path(
    post, path = "/connect/{install_id}", tag = "asciinema",
    params(("install_id" = String, Path, description = "The UUID at the end of what `asciinema auth` prints")),
    responses(
        (status = 200, body = Connected),
        (status = 401, description = "A key with the scope `produce` is needed"),
        (status = 403, description = "Another key has it"),
        (status = 422, description = "Not an installation's id"),
    ),
)]
pub(crate) async fn connect_installation(
    State(state): State<AppState>,
    PathSegment(install_id): PathSegment,
    request: Request,
) -> Result<JsonBody<Connected>, Problem> {
    let writer = access::writer(&state, request.headers(), request.extensions()).await?;
    if Uuid::try_parse(&install_id).is_err() {
        let detail = "this is no installation's id: copy the whole address that `asciinema auth` printed";
        return Err(Problem::field(Code::InvalidId, "install_id", detail));
    }
    if writer.key_id().is_empty() {
        return Ok(JsonBody(Connected {
            connected: false,
            detail: "There is no key on this server yet: asciinema streams and uploads from this machine as it is. Open \
                     this page again once there is one."
                .to_owned(),
        }));
    }
    if !answered(connect(
        &state.pool,
        &hash_installation(&install_id),
        writer.key_id(),
    ))
    .await?
    {
        let detail = "this installation of asciinema is connected with another key; it is free again once that key is \
                      revoked (`kulti keys revoke`)";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    tracing::info!(
        key.id = writer.key_id(),
        "an installation of asciinema was connected with key {}",
        writer.key_id()
    );
    Ok(JsonBody(Connected {
        connected: true,
        detail: format!(
            "Connected. This asciinema streams and uploads as the key {} from now on.",
            writer.key_id()
        ),
    }))
}
