//! /livez, /readyz and /metrics: for those who run it.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus::{Encoder, TextEncoder};
use serde::Serialize;

use crate::json::JsonBody;
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store;

/// Who asks for readiness does not wait long.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How something does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum Condition {
    Ok,
    /// Something stands still, but this process can serve all the same.
    Degraded,
    Failing,
}

/// One part of the whole.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Component {
    name: String,
    condition: Condition,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Whether this process can serve, and what is wrong.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    ready: bool,
    components: Vec<Component>,
}

impl Component {
    fn new(name: impl Into<String>, failure: Option<String>, otherwise: Condition) -> Self {
        let condition = if failure.is_some() {
            otherwise
        } else {
            Condition::Ok
        };
        Component {
            name: name.into(),
            condition,
            detail: failure,
        }
    }
}

/// The process runs.
#[utoipa::path(get, path = "/livez", tag = "operate", responses((status = 200, body = String)))]
pub(crate) async fn get_liveness() -> &'static str {
    "ok\n"
}

/// Says whether requests should be sent here, and what is wrong. 503 from the first moment of shutdown.
///
/// A projection that stands still is named and does not count: nobody is served better by turning the gateway off.
#[utoipa::path(
    get, path = "/readyz", tag = "operate",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)),
)]
pub(crate) async fn get_readiness(State(state): State<AppState>) -> Response {
    let mut components = Vec::new();
    let stopping = state
        .lifecycle
        .stopping()
        .is_cancelled()
        .then(|| "shutting down".to_owned());
    components.push(Component::new("process", stopping, Condition::Failing));
    let kafka = (!state.producer.is_available()).then(|| "no broker can be reached".to_owned());
    components.push(Component::new("kafka", kafka, Condition::Failing));
    let (postgres, projections) =
        match tokio::time::timeout(PROBE_TIMEOUT, store::stopped_partitions(&state.pool)).await {
            Ok(Ok(stopped)) => (None, stopped),
            Ok(Err(error)) => (Some(error.to_string()), Vec::new()),
            Err(_) => (Some("no answer in time".to_owned()), Vec::new()),
        };
    components.push(Component::new("postgres", postgres, Condition::Failing));
    let stopped: Vec<String> = projections
        .iter()
        .map(|(name, partition, reason)| format!("{name}/{partition}: {reason}"))
        .collect();
    let projections = (!stopped.is_empty()).then(|| format!("stopped: {}", stopped.join(", ")));
    components.push(Component::new("projections", projections, Condition::Degraded));
    let live = (!state.live.is_ready()).then(|| "replay's position is not known".to_owned());
    components.push(Component::new("live", live, Condition::Failing));
    // The consumers of `kulti serve`: ingest and viewers do not wait for them.
    for (name, result) in state.lifecycle.readiness() {
        components.push(Component::new(name, result.err(), Condition::Degraded));
    }
    let ready = components
        .iter()
        .all(|component| component.condition != Condition::Failing);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, JsonBody(Readiness { ready, components })).into_response()
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operate", responses((status = 200, body = String)))]
pub(crate) async fn get_metrics(State(state): State<AppState>) -> Result<Response, Problem> {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    encoder
        .encode(&state.registry.gather(), &mut text)
        .map_err(|error| {
            tracing::error!(%error, "metrics could not be rendered");
            Problem::new(Code::Internal, "metrics could not be rendered")
        })?;
    Ok(([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response())
}
