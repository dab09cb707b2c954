//! Absolute links to this server's pages.

use axum::http::HeaderMap;
use axum::http::header::HOST;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::state::AppState;

/// What a path segment may hold as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where people reach this server: as configured, else as this request reached it.
pub(crate) fn base_url(state: &AppState, headers: &HeaderMap) -> String {
    if let Some(url) = &state.config.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let is_safe = |host: &str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
    };
    let host = headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .filter(|host| is_safe(host));
    format!("http://{}", host.unwrap_or("localhost"))
}

/// The page that shows an agent live.
pub(crate) fn watch_url(base: &str, agent: &str) -> String {
    format!("{base}/watch/{}", utf8_percent_encode(agent, SEGMENT))
}

/// The page of a session.
pub(crate) fn session_url(base: &str, session: &str) -> String {
    format!("{base}/s/{}", utf8_percent_encode(session, SEGMENT))
}
