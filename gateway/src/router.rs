//! All routes, and what holds for all of them: time limits, metrics, headers, problems for what is not there.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::cors::{Any, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ingest::simple;
use crate::moderation::{erase, redact};
use crate::openapi::{Document, openapi_router};
use crate::problem::{Code, Problem};
use crate::state::AppState;
use crate::viewers::routes as viewers;
use crate::{
    alis, asciinema, exports, health, ingest, keys_api, pages, pictures, reads, registry_api, replay, watch,
};

/// Until a response begins: longer than a body may take and the log may take together.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// The label of requests that no route takes.
const NO_ROUTE: &str = "none";

/// The whole HTTP service.
pub(crate) fn build_router(state: AppState) -> Router {
    let (api, document) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(public_reads())
        .routes(routes!(ingest::ingest_events))
        .routes(routes!(
            simple::start_stream,
            simple::update_stream,
            simple::end_stream
        ))
        .routes(routes!(ingest::claude_hooks::hear_claude_hook))
        .routes(routes!(keys_api::create_key, keys_api::list_keys))
        .routes(routes!(keys_api::revoke_key))
        .routes(routes!(viewers::post_chat))
        .routes(routes!(viewers::post_marker))
        .routes(routes!(viewers::post_clip))
        .routes(routes!(redact::redact_session))
        .routes(routes!(erase::erase_session))
        .routes(routes!(watch::open_watch_socket))
        .routes(routes!(alis::open_alis_socket))
        .merge(asciinema::routes())
        .routes(routes!(health::get_liveness))
        .routes(routes!(health::get_readiness))
        .routes(routes!(health::get_metrics))
        .split_for_parts();
    let open_documents = registry_api::registry_router()
        .merge(openapi_router(&document))
        .merge(watch::asyncapi::asyncapi_router())
        .layer(open_to_pages());
    api.merge(open_documents)
        .route("/", post(simple::start_stream))
        .merge(pages::routes())
        .merge(pictures::routes())
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            Problem::new(Code::MethodNotAllowed, "this route does not take this method")
        })
        .layer(from_fn_with_state(state.clone(), observe))
        .with_state(state)
}

/// What anybody's page may show: the browser sends it no keys by itself, and a page of another origin is not this
/// machine (access).
fn public_reads() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(reads::sessions::list_sessions))
        .routes(routes!(reads::sessions::get_session))
        .routes(routes!(reads::events::list_events))
        .routes(routes!(reads::markers::list_markers))
        .routes(routes!(reads::chat::list_chat))
        .routes(routes!(reads::cost::get_cost))
        .routes(routes!(reads::clips::list_clips))
        .routes(routes!(reads::clips::get_clip))
        .routes(routes!(reads::outline::get_outline))
        .routes(routes!(replay::routes::get_state))
        .routes(routes!(replay::routes::get_screen))
        .routes(routes!(replay::routes::list_files))
        .routes(routes!(replay::segments::list_segments))
        .routes(routes!(replay::segments::get_segment))
        // The document has it by itself: its paths know no names with slashes.
        .route("/v1/sessions/{id}/files/{*path}", get(replay::routes::get_file))
        .routes(routes!(exports::export_session))
        .routes(routes!(watch::sse::stream_session))
        .routes(routes!(watch::sse::stream_agent))
        .layer(open_to_pages())
}

fn open_to_pages() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([header::AUTHORIZATION, HeaderName::from_static("last-event-id")])
        .max_age(Duration::from_secs(3600))
}

async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route_name = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let limit = match asciinema::UPLOAD_ROUTES.contains(&route_name) {
        true => asciinema::UPLOAD_TIMEOUT,
        false => REQUEST_TIMEOUT,
    };
    let mut response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            Code::RequestTimeout,
            "the request took too long; it may have been done all the same",
        )
        .into_response(),
    };
    let headers = response.headers_mut();
    headers
        .entry(X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    headers
        .entry(REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("strict-origin-when-cross-origin"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    state.metrics.record_request(
        known_method(&method),
        route_name,
        response.status().as_u16(),
        started.elapsed(),
    );
    response
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
