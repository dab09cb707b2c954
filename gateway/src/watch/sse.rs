//! The same frames as server-sent events, for `curl -N` and scripts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use kulti_schemas::SessionId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::check_may_watch;
use super::protocol::{parse_from, parse_pace};
use crate::access;
use crate::live::{Filter, Format, From, Outbox, Pace, Subscription, SubscriptionRequest};
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::store;

/// A comment keeps the connection open through proxies.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
const COMMENT: Bytes = Bytes::from_static(b": still here\n\n");
const RETRY: Bytes = Bytes::from_static(b"retry: 2000\n\n");
const ENDED: &[u8] = b"event: ended\n";

/// As in `subscribe`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// `live`, `start` (default) or a position: what comes after it.
    from: Option<String>,
    /// `max` (default) or a number from 0.1 to 64.
    speed: Option<String>,
    /// The longest pause while pacing.
    idle_cap_ms: Option<u64>,
    /// Only these kinds, separated by commas.
    kinds: Option<String>,
    /// Where a client without headers goes on; the header `Last-Event-ID` wins.
    last_event_id: Option<String>,
}

/// Streams a session as server-sent events.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/stream", tag = "watch",
    params(("id" = String, Path, description = "The session"), StreamQuery),
    responses(
        (status = 200, description = "Frames as in docs/protocol.md", content_type = "text/event-stream"),
        (status = 204, description = "The session has ended and the client has all of it"),
        (status = 404, description = "No such session for this reader"),
    )
)]
pub(crate) async fn stream_session(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    query: Result<Query<StreamQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let session = SessionId::parse(&id).map_err(|_| Problem::not_found())?;
    let Query(query) = query.map_err(|error| Problem::new(Code::InvalidParameter, error.body_text()))?;
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    check_may_watch(&state, &reader, &session).await?;
    let resumed = request
        .headers()
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let resumed = resumed
        .or(query.last_event_id.clone())
        .filter(|id| !id.is_empty());
    let from = starting_point(resumed.as_deref(), query.from.as_deref())?;
    if let (Some(_), From::Position(position, _)) = (&resumed, from)
        && has_all_of_an_ended_session(&state, &session, position).await
    {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let speed = query.speed.as_deref().map(|speed| match speed.parse::<f64>() {
        Ok(speed) => json!(speed),
        Err(_) => json!(speed),
    });
    let kinds = query
        .kinds
        .as_deref()
        .map(|kinds| kinds.split(',').map(|kind| kind.trim().to_owned()));
    let request = SubscriptionRequest {
        sub: None,
        session,
        from,
        pace: speed
            .map_or(Ok(Pace::Max), |speed| parse_pace(&speed))
            .map_err(parameter)?,
        idle_cap: query.idle_cap_ms.map(Duration::from_millis),
        filter: kinds.map_or(Filter::All, |kinds| {
            Filter::Kinds(Arc::new(kinds.collect::<BTreeSet<_>>()))
        }),
        format: Format::Sse,
    };
    let outbox = Arc::new(Outbox::new(None, state.config.viewer_queue_bytes));
    let subscription = Subscription::start(&state.live, request, outbox.clone());
    let open = Open {
        outbox,
        _subscription: subscription,
        state,
    };
    let mut response = Response::new(Body::from_stream(frames(open)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

fn parameter(problem: super::protocol::BadMessage) -> Problem {
    Problem::new(Code::InvalidParameter, problem.detail)
}

fn starting_point(resumed: Option<&str>, from: Option<&str>) -> Result<From, Problem> {
    let text = resumed.or(from).unwrap_or("start");
    let value = text
        .parse::<i64>()
        .map_or_else(|_| Value::from(text), |position| json!({"position": position}));
    parse_from(&value).map_err(parameter)
}

async fn has_all_of_an_ended_session(state: &AppState, session: &SessionId, position: i64) -> bool {
    let access = store::session_access(&state.pool, session).await;
    matches!(access, Ok(Some(access)) if access.ended_at.is_some() && position >= access.position)
}

/// What lives as long as the response.
struct Open {
    outbox: Arc<Outbox>,
    _subscription: Subscription,
    state: AppState,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.outbox.close();
    }
}

/// The body: frames as they come; it ends when the session has, or at shutdown. A client that reconnects after the
/// end gets 204 and stays away.
fn frames(open: Open) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    let stopping = open.state.lifecycle.stopping();
    let first = stream::iter([Ok(RETRY)]);
    let rest = stream::unfold((open, stopping, false), |(open, stopping, ended)| async move {
        if ended {
            return None;
        }
        tokio::select! {
            () = stopping.cancelled() => return None,
            () = tokio::time::sleep(COMMENT_EVERY) => return Some((Ok(COMMENT), (open, stopping, false))),
            () = open.outbox.wait_pending() => {}
        }
        let frames = open.outbox.take();
        let ended = frames.iter().any(|frame| frame.starts_with(ENDED));
        let mut bytes = Vec::with_capacity(frames.iter().map(Bytes::len).sum());
        for frame in &frames {
            bytes.extend_from_slice(frame);
        }
        Some((Ok(Bytes::from(bytes)), (open, stopping, ended)))
    });
    futures_util::StreamExt::chain(first, rest)
}
