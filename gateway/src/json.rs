//! JSON in and out: the content type of requests, and responses that are JSON.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::{Code, Problem};

/// A response of status 200.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for JsonBody<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(text) => json_text(text),
            Err(error) => {
                tracing::error!(%error, "a response could not be rendered");
                Problem::new(Code::Internal, "the answer could not be rendered").into_response()
            }
        }
    }
}

/// A response of status 200 whose JSON text is there already.
pub(crate) fn json_text(text: Vec<u8>) -> Response {
    (
        [(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        text,
    )
        .into_response()
}

/// The media type, in lower case and without parameters.
pub(crate) fn media_type(content_type: Option<&HeaderValue>) -> Option<String> {
    let text = content_type?.to_str().ok()?;
    text.split(';')
        .next()
        .map(|name| name.trim().to_ascii_lowercase())
}

/// Refuses what is not JSON: a form that a foreign page sends needs no permission from the browser.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    match media_type(headers.get(CONTENT_TYPE)).as_deref() {
        Some("application/json") => Ok(()),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            "send `Content-Type: application/json`",
        )),
    }
}
