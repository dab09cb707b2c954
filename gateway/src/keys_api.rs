//! `/v1/keys`: making, listing and revoking keys, for admins, and for this machine before there is a key.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::access;
use crate::control::{self, KeyRecord, NewKey, Scope};
use crate::ingest::read_body;
use crate::json::{JsonBody, require_json};
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store::answered;

const MAX_NAME_CHARACTERS: usize = 100;

/// A key to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct KeyRequest {
    /// What people call it.
    name: Option<String>,
    /// produce, read, admin.
    scopes: Option<Vec<String>>,
    /// Produces for this agent only.
    agent: Option<String>,
}

/// A key that was just made.
#[derive(Serialize, utoipa::ToSchema)]
pub(crate) struct KeyAnswer {
    /// Shown this once and stored nowhere.
    key: String,
    #[serde(flatten)]
    record: KeyRecord,
}

/// All keys.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct KeysPage {
    items: Vec<KeyRecord>,
    /// Always null: they come all at once.
    next: Option<String>,
}

/// Makes a key.
#[utoipa::path(
    post, path = "/v1/keys", tag = "admin", request_body = KeyRequest,
    responses((status = 201, body = KeyAnswer), (status = 401), (status = 403), (status = 422)),
)]
pub(crate) async fn create_key(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    access::admin(&state, &parts.headers, &parts.extensions).await?;
    require_json(&parts.headers)?;
    let body = read_body(&state, &parts.headers, body).await?;
    let request: KeyRequest = serde_json::from_slice(&body.bytes).map_err(|error| {
        Problem::new(
            Code::InvalidJson,
            format!("the body is not a key to make: {error}"),
        )
    })?;
    let created = answered(control::create_key(&state.pool, &new_key(request)?)).await?;
    state.keys.remember_any(true);
    tracing::info!(key.id = created.record.id, "key {} was made", created.record.id);
    let answer = KeyAnswer {
        key: created.secret,
        record: created.record,
    };
    Ok((StatusCode::CREATED, JsonBody(answer)).into_response())
}

/// Lists all keys, revoked ones too.
#[utoipa::path(
    get, path = "/v1/keys", tag = "admin",
    responses((status = 200, body = KeysPage), (status = 401), (status = 403)),
)]
pub(crate) async fn list_keys(
    State(state): State<AppState>,
    request: Request,
) -> Result<JsonBody<KeysPage>, Problem> {
    access::admin(&state, request.headers(), request.extensions()).await?;
    let items = answered(control::list_keys(&state.pool)).await?;
    Ok(JsonBody(KeysPage { items, next: None }))
}

/// Revokes a key: every gateway refuses it within 5 s.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "admin",
    params(("id" = String, Path, description = "The readable part: kulti_<id>_…")),
    responses((status = 204), (status = 401), (status = 403), (status = 404)),
)]
pub(crate) async fn revoke_key(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<StatusCode, Problem> {
    access::admin(&state, request.headers(), request.extensions()).await?;
    if !answered(control::revoke_key(&state.pool, &id)).await? {
        return Err(Problem::not_found());
    }
    tracing::info!(key.id = id, "key {id} was revoked");
    Ok(StatusCode::NO_CONTENT)
}

fn new_key(request: KeyRequest) -> Result<NewKey, Problem> {
    let name = request
        .name
        .ok_or_else(|| Problem::field(Code::MissingField, "name", "`name` is needed"))?;
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARACTERS || name.chars().any(char::is_control) {
        let detail = format!("must be 1 to {MAX_NAME_CHARACTERS} characters without control characters");
        return Err(Problem::field(Code::InvalidField, "name", detail));
    }
    let invalid = || {
        Problem::field(
            Code::InvalidField,
            "scopes",
            "must be some of produce, read, admin",
        )
    };
    let scopes = request
        .scopes
        .ok_or_else(|| Problem::field(Code::MissingField, "scopes", "`scopes` is needed"))?;
    let scopes: Vec<Scope> = scopes
        .iter()
        .map(|scope| Scope::parse(scope).ok_or_else(invalid))
        .collect::<Result<_, _>>()?;
    if scopes.is_empty() {
        return Err(invalid());
    }
    if let Some(agent) = &request.agent {
        kulti_schemas::AgentId::parse(agent)
            .map_err(|error| Problem::field(Code::InvalidId, "agent", error.to_string()))?;
    }
    Ok(NewKey {
        name,
        scopes,
        agent: request.agent,
    })
}
