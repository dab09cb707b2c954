//! All routes. What holds for the answers of all of them is in `answers`.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{get, post};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answers::{AnswerLayer, Pages, method_not_allowed};
use crate::ingest::simple;
use crate::moderation::{erase, redact};
use crate::openapi::{Document, openapi_router};
use crate::problem::Problem;
use crate::state::AppState;
use crate::viewers::routes as viewers;
use crate::{
    alis, asciinema, exports, health, ingest, keys_api, pages, pictures, reads, registry_api, replay, watch,
};

/// The whole HTTP service.
pub(crate) fn build_router(state: AppState) -> Router {
    let (reads, documented_reads) = public_reads().split_for_parts();
    let (own, mut document) = OpenApiRouter::with_openapi(Document::openapi())
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
    document.merge(documented_reads);
    let open = reads
        .merge(registry_api::registry_router())
        .merge(openapi_router(&document))
        .merge(watch::asyncapi::asyncapi_router())
        .layer(AnswerLayer::new(&state, Pages::Any));
    let layer = AnswerLayer::new(&state, Pages::Own);
    own.route("/", post(simple::start_stream))
        .merge(pages::routes())
        .merge(pictures::routes())
        .layer(layer.clone())
        .merge(open)
        .fallback(not_found.layer(layer.clone()))
        .method_not_allowed_fallback(method_not_allowed.layer(layer))
        .with_state(state)
}

async fn not_found() -> Problem {
    Problem::not_found()
}

/// What anybody's page may show.
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
}
