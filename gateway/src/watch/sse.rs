//! The same frames as server-sent events, for `curl -N` and scripts.

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
use kulti_schemas::{AgentId, SessionId};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::check_may_watch;
use super::following::{FollowRequest, Following, LOOK_EVERY};
use super::protocol::{filter, parse_pace};
use crate::access::{self, Reader};
use crate::live::{Format, From, Outbox, Pace, Settings, Subscription, SubscriptionRequest};
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::reads::at::{At, not_a_moment};
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
    /// `start` (default) or any form of `at`: what comes after it. A position, `live`, `12m30s`, an event's id, …
    from: Option<String>,
    /// Begins with the state as of there.
    state: Option<bool>,
    /// `max` (default) or a number from 0.1 to 64.
    speed: Option<String>,
    /// Instead of a speed: live after so many seconds, 1 to 3600.
    deadline_s: Option<f64>,
    /// Idle time of the session longer than this is cut while pacing.
    idle_cap_ms: Option<u64>,
    /// Only these kinds, separated by commas.
    kinds: Option<String>,
    /// Closed segments are told of in place of their events, at max and without `kinds`.
    segments: Option<bool>,
    /// Where a client without headers goes on; the header `Last-Event-ID` wins.
    last_event_id: Option<String>,
}

impl StreamQuery {
    fn settings(&self) -> Result<Settings, Problem> {
        let pace = match (self.deadline_s, &self.speed) {
            (Some(deadline), _) => parse_pace(&json!({"deadline_s": deadline})),
            (None, Some(speed)) => parse_pace(&match speed.parse::<f64>() {
                Ok(speed) => json!(speed),
                Err(_) => json!(speed),
            }),
            (None, None) => Ok(Pace::Max),
        };
        let kinds = self.kinds.as_deref();
        let kinds = kinds.map(|kinds| kinds.split(',').map(|kind| kind.trim().to_owned()).collect());
        Ok(Settings {
            pace: pace.map_err(parameter)?,
            idle_cap: self.idle_cap_ms.map(Duration::from_millis),
            filter: filter(kinds),
            paused: false,
            segments: self.segments.unwrap_or(false),
        })
    }
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
    let request = SubscriptionRequest {
        sub: None,
        session,
        from,
        // Who comes back has it.
        state: resumed.is_none() && query.state.unwrap_or(false),
        settings: query.settings()?,
        format: Format::Sse,
    };
    let outbox = Arc::new(Outbox::new(None, state.config.viewer_queue_bytes));
    let subscription = Subscription::start(&state, request, outbox.clone());
    Ok(response(Open {
        outbox,
        subscription: Some(subscription),
        following: None,
        state,
    }))
}

/// Streams the sessions of an agent as server-sent events: the newest open one, and the next ones as they begin.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/stream", tag = "watch",
    params(("agent" = String, Path, description = "The agent"), StreamQuery),
    responses((status = 200, description = "Frames as in docs/protocol.md", content_type = "text/event-stream"))
)]
pub(crate) async fn stream_agent(
    State(state): State<AppState>,
    PathSegment(agent): PathSegment,
    query: Result<Query<StreamQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let agent = AgentId::parse(&agent).map_err(|_| Problem::not_found())?;
    let Query(query) = query.map_err(|error| Problem::new(Code::InvalidParameter, error.body_text()))?;
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let request = FollowRequest {
        sub: None,
        agent: agent.clone(),
        from: starting_point(None, Some(query.from.as_deref().unwrap_or("live")))?,
        state: query.state.unwrap_or(false),
        settings: query.settings()?,
        format: Format::Sse,
    };
    let following = Following::new(state.followed.follow(agent), request);
    Ok(response(Open {
        outbox: Arc::new(Outbox::new(None, state.config.viewer_queue_bytes)),
        subscription: None,
        following: Some((following, reader)),
        state,
    }))
}

fn response(open: Open) -> Response {
    let mut response = Response::new(Body::from_stream(frames(open)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

fn parameter(problem: super::protocol::BadMessage) -> Problem {
    Problem::new(Code::InvalidParameter, problem.detail)
}

fn starting_point(resumed: Option<&str>, from: Option<&str>) -> Result<From, Problem> {
    let place = match resumed.or(from) {
        None | Some("start") => return Ok(From::Start),
        Some(text) => At::parse(text),
    };
    match place {
        Some(At::Live) => Ok(From::Live),
        Some(At::Position(position)) => Ok(From::Position(position, None)),
        Some(moment) => Ok(From::Moment(moment)),
        None => Err(not_a_moment("from")),
    }
}

async fn has_all_of_an_ended_session(state: &AppState, session: &SessionId, position: i64) -> bool {
    let access = store::session_access(&state.pool, session).await;
    matches!(access, Ok(Some(access)) if access.ended_at.is_some() && position >= access.position)
}

/// What lives as long as the response.
struct Open {
    outbox: Arc<Outbox>,
    subscription: Option<Subscription>,
    following: Option<(Following, Reader)>,
    state: AppState,
}

impl Open {
    /// Goes on to the session that the agent has begun, if it is one that is followed.
    fn look(&mut self) {
        let Some((following, reader)) = &mut self.following else {
            return;
        };
        if let Some(switch) = following.look(reader, self.subscription.as_ref()) {
            self.outbox.push_control(&switch.frame);
            if let Some(request) = switch.request {
                // The one before ends first: nothing of it may come after this.
                self.subscription = None;
                self.subscription = Some(Subscription::start(&self.state, request, self.outbox.clone()));
            }
        }
    }

    async fn looks(&self) {
        if self.following.is_none() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
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
    let comment_at = Instant::now() + COMMENT_EVERY;
    let rest = stream::unfold(
        (open, stopping, Some(comment_at)),
        |(mut open, stopping, comment_at)| async move {
            let mut comment_at = comment_at?;
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return None,
                    () = open.outbox.wait_pending() => break,
                    () = sleep_until(comment_at) => {
                        comment_at = Instant::now() + COMMENT_EVERY;
                        return Some((Ok(COMMENT), (open, stopping, Some(comment_at))));
                    }
                    () = open.looks() => open.look(),
                }
            }
            let frames = open.outbox.take();
            let ended = open.following.is_none() && frames.iter().any(|frame| frame.starts_with(ENDED));
            let mut bytes = Vec::with_capacity(frames.iter().map(Bytes::len).sum());
            for frame in &frames {
                bytes.extend_from_slice(frame);
            }
            comment_at = Instant::now() + COMMENT_EVERY;
            let next = (!ended).then_some(comment_at);
            Some((Ok(Bytes::from(bytes)), (open, stopping, next)))
        },
    );
    futures_util::StreamExt::chain(first, rest)
}
