//! `GET /v1/sessions/{id}/cost`: what a session had used by a moment.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use kulti_schemas::Timestamp;
use kulti_session::Usage;
use serde::Serialize;

use super::as_of::keyframe_at;
use super::at::{At, resolve};
use super::parameters::Parameters;
use crate::access;
use crate::json::JsonBody;
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, answered};

/// Tokens and money.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CostView {
    session: String,
    /// The last event that is counted.
    position: i64,
    /// The session's clock there; null before the first event.
    time: Option<String>,
    tokens: i64,
    cost_usd: f64,
    models: BTreeMap<String, ModelCost>,
}

/// What one model used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ModelCost {
    /// Without those of the caches.
    input: i64,
    output: i64,
    cache_read: i64,
    cache_write: i64,
    tokens: i64,
    cost_usd: f64,
}

/// What the session had used by a moment, by model.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/cost", tag = "read",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("at" = Option<String>, Query, description = "As of this moment: a position, a time since the start (90s, \
            1:02:03), a time, or the id of an event, marker or clip; live unless told"),
    ),
    responses((status = 200, body = CostView), (status = 404, description = "Not there, or not for this reader")),
)]
pub(crate) async fn get_cost(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<JsonBody<CostView>, Problem> {
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, _) = super::visible_session(&state, &reader, &id).await?;
    let parameters = Parameters::of(request.uri())?;
    let at = At::of(&parameters)?;
    if at == At::Live {
        let usage = answered(store::session_usage(&state.pool, &session))
            .await?
            .ok_or_else(Problem::not_found)?;
        return Ok(JsonBody(CostView {
            session: session.to_string(),
            position: usage.position,
            time: Some(Timestamp::from(usage.clock).to_rfc3339()),
            tokens: usage.tokens,
            cost_usd: usage.cost_usd,
            models: by_model(&serde_json::from_value(usage.usage).unwrap_or_default()),
        }));
    }
    let moment = resolve(&state.pool, &session, at).await?;
    let keyframe = keyframe_at(&state, &session, moment.position).await?;
    Ok(JsonBody(CostView {
        session: session.to_string(),
        position: keyframe.now.position,
        time: keyframe.now.time.map(|micros| Timestamp(micros).to_rfc3339()),
        tokens: keyframe.tokens,
        cost_usd: keyframe.cost_usd,
        models: by_model(&keyframe.usage),
    }))
}

fn by_model(usage: &Usage) -> BTreeMap<String, ModelCost> {
    let cost = |(model, amounts): (&str, kulti_session::Amounts)| {
        let cost = ModelCost {
            input: amounts.input,
            output: amounts.output,
            cache_read: amounts.cache_read,
            cache_write: amounts.cache_write,
            tokens: amounts.tokens(),
            cost_usd: amounts.cost_usd,
        };
        (model.to_owned(), cost)
    };
    usage.by_model().map(cost).collect()
}
