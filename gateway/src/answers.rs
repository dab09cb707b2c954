//! What holds for every answer: when it begins at the latest, headers that are never missing, what any page may read,
//! and its metrics.
//!
//! One layer around each route, without an allocation or a timer for requests that are answered at once: those are most,
//! and what stands around them is what they cost.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::{Layer, Service};

use crate::asciinema;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// Until a response begins: longer than a body may take and the log may take together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// The label of requests that no route takes.
const NO_ROUTE: &str = "none";
/// Headers that are added here and by the server, about: room for them is made at once.
pub(crate) const ADDED_HEADERS: usize = 6;

/// Whose pages may read the answers of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Ours.
    Own,
    /// Anybody's: the browser sends it no keys by itself, and a page of another origin is not this machine (access).
    Any,
}

/// Answers of routes that these pages may read.
#[derive(Clone)]
pub(crate) struct AnswerLayer {
    state: AppState,
    pages: Pages,
}

impl AnswerLayer {
    pub(crate) fn new(state: &AppState, pages: Pages) -> Self {
        AnswerLayer {
            state: state.clone(),
            pages,
        }
    }
}

impl<S> Layer<S> for AnswerLayer {
    type Service = Answering<S>;

    fn layer(&self, route: S) -> Answering<S> {
        Answering {
            route,
            layer: self.clone(),
        }
    }
}

/// A route in its layer.
#[derive(Clone)]
pub(crate) struct Answering<S> {
    route: S,
    layer: AnswerLayer,
}

impl<S> Service<Request> for Answering<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let asked = Asked {
            begun: Instant::now(),
            method: known_method(request.method()),
            route: request.extensions().get::<MatchedPath>().cloned(),
            layer: self.layer.clone(),
        };
        Answer {
            limit: None,
            response: self.route.call(request),
            asked,
        }
    }
}

/// What is remembered of a request.
struct Asked {
    begun: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
    layer: AnswerLayer,
}

pin_project! {
    /// An answer on its way.
    pub(crate) struct Answer<F> {
        asked: Asked,
        // Most answers are there at once and need none.
        #[pin]
        limit: Option<Sleep>,
        #[pin]
        response: F,
    }
}

impl<F> Future for Answer<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let response = match this.response.poll(context) {
            Poll::Ready(Ok(response)) => response,
            Poll::Ready(Err(never)) => match never {},
            Poll::Pending => {
                if this.limit.is_none() {
                    this.limit
                        .set(Some(sleep_until(this.asked.begun + this.asked.limit())));
                }
                match this.limit.as_pin_mut().map(|limit| limit.poll(context)) {
                    Some(Poll::Ready(())) => timed_out(),
                    _ => return Poll::Pending,
                }
            }
        };
        Poll::Ready(Ok(this.asked.complete(response)))
    }
}

impl Asked {
    fn route_name(&self) -> &str {
        self.route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str)
    }

    /// How long it may take.
    fn limit(&self) -> Duration {
        match asciinema::UPLOAD_ROUTES.contains(&self.route_name()) {
            true => asciinema::UPLOAD_TIMEOUT,
            false => REQUEST_TIMEOUT,
        }
    }

    /// Adds what no answer goes without, and counts it.
    fn complete(&self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        headers.reserve(ADDED_HEADERS);
        for (name, value) in [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "strict-origin-when-cross-origin"),
            (CACHE_CONTROL, "no-store"),
        ] {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if self.layer.pages == Pages::Any {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        self.layer.state.metrics.record_request(
            self.method,
            self.route_name(),
            response.status(),
            self.begun.elapsed(),
        );
        response
    }
}

fn timed_out() -> Response {
    let detail = "the request took too long; it may have been done all the same";
    Problem::new(Code::RequestTimeout, detail).into_response()
}

/// For methods that a route does not take. What a browser asks before a page of another origin reads with a key is
/// answered alike everywhere: whether that page may see the answer then, the answer itself says. Before a write it is
/// told no.
pub(crate) async fn method_not_allowed(method: Method, headers: HeaderMap) -> Response {
    let wanted = headers.get(ACCESS_CONTROL_REQUEST_METHOD);
    if method == Method::OPTIONS && wanted.is_some_and(|wanted| wanted == "GET" || wanted == "HEAD") {
        let allowed = [
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ACCESS_CONTROL_ALLOW_METHODS, "GET,HEAD"),
            (ACCESS_CONTROL_ALLOW_HEADERS, "authorization,last-event-id"),
            (ACCESS_CONTROL_MAX_AGE, "3600"),
        ];
        return (StatusCode::NO_CONTENT, allowed).into_response();
    }
    Problem::new(Code::MethodNotAllowed, "this route does not take this method").into_response()
}

/// Methods are free text: what is not usual would make a label of its own.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
