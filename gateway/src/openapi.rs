//! /openapi.json: what the handlers say of themselves.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use utoipa::OpenApi;

use crate::json::json_text;
use crate::state::AppState;

/// The document without its paths: those come from the handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Kulti",
        description = "Errors are RFC 9457 problems, `{type, title, status, code, detail, field?}`, with the codes of \
            docs/errors.md. Lists take `limit` and `cursor`. `Authorization: Bearer` and a key where one is needed.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(crate::replay::routes::get_file),
    tags(
        (name = "produce", description = "Events into the log"),
        (name = "simple", description = "One call for what an agent does; works at `/` as well"),
        (name = "asciinema", description = "asciinema's own server API, for its command line"),
        (name = "read", description = "Sessions as they were"),
        (name = "watch", description = "Sessions as they happen"),
        (name = "viewers", description = "What those who watch add"),
        (name = "admin", description = "Keys; what must not be shown any more"),
        (name = "operate", description = "For those who run it"),
    ),
)]
pub(crate) struct Document;

/// Serves the document, rendered once.
pub(crate) fn openapi_router(document: &utoipa::openapi::OpenApi) -> Router<AppState> {
    let text: Arc<[u8]> = serde_json::to_vec(document).expect("the document is JSON").into();
    Router::new().route(
        "/openapi.json",
        get(move || async move { json_text(text.to_vec()) }),
    )
}
