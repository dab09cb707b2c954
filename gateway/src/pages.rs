//! The pages that the gateway serves: static files embedded in the binary, under a strict content policy.
//!
//! Owns the routes `/`, `/watch/{agent}` and `/assets/{file}`, and the pages behind `/s/{session}` (`pictures.rs` has that
//! route) and `/connect/{install-id}` (`asciinema.rs`). Refuses to render anything: the pages are the same bytes for everybody, but for the tags that name a public
//! session's picture, and ask the public API for what they show, so who may see a session is decided there.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::etag::is_known;

/// What a page may load: its own scripts and styles, and connections to this server. No inline code, so an
/// event's text that ever reached the markup could still not run.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Assets keep their names between releases, so a browser asks each time and the ETag answers.
const REVALIDATE: &str = "no-cache";

const HEAD_END: &str = "</head>";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// One embedded file with what is sent beside it.
struct PageFile {
    name: &'static str,
    content_type: &'static str,
    body: &'static [u8],
    etag: HeaderValue,
}

impl PageFile {
    fn new(name: &'static str, content_type: &'static str, body: &'static [u8]) -> Self {
        Self {
            name,
            content_type,
            body,
            etag: etag(body),
        }
    }
}

fn etag(body: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(body);
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).expect("hex digits in quotes are a header value")
}

macro_rules! page_files {
    ($(($name:literal, $content_type:expr)),* $(,)?) => {
        [$(PageFile::new($name, $content_type, include_bytes!(concat!("../pages/", $name)))),*]
    };
}

static HOME_PAGE: LazyLock<PageFile> =
    LazyLock::new(|| PageFile::new("home.html", HTML, include_bytes!("../pages/home.html")));

static SESSION_PAGE: LazyLock<PageFile> =
    LazyLock::new(|| PageFile::new("session.html", HTML, include_bytes!("../pages/session.html")));

static CONNECT_PAGE: LazyLock<PageFile> =
    LazyLock::new(|| PageFile::new("connect.html", HTML, include_bytes!("../pages/connect.html")));

static ASSETS: LazyLock<Vec<PageFile>> = LazyLock::new(|| {
    Vec::from(page_files![
        ("activity.css", CSS),
        ("activity.js", JAVASCRIPT),
        ("ansi.js", JAVASCRIPT),
        ("api.js", JAVASCRIPT),
        ("base.css", CSS),
        ("cells.js", JAVASCRIPT),
        ("connect.css", CSS),
        ("connect.js", JAVASCRIPT),
        ("controls.js", JAVASCRIPT),
        ("diff.js", JAVASCRIPT),
        ("dom.js", JAVASCRIPT),
        ("favicon.svg", SVG),
        ("files.js", JAVASCRIPT),
        ("fold.js", JAVASCRIPT),
        ("format.js", JAVASCRIPT),
        ("home.css", CSS),
        ("home.js", JAVASCRIPT),
        ("notices.js", JAVASCRIPT),
        ("player.js", JAVASCRIPT),
        ("session.css", CSS),
        ("session.js", JAVASCRIPT),
        ("sgr.js", JAVASCRIPT),
        ("socket.js", JAVASCRIPT),
        ("source.js", JAVASCRIPT),
        ("store.js", JAVASCRIPT),
        ("terminal.js", JAVASCRIPT),
        ("watch.js", JAVASCRIPT),
    ])
});

/// The routes of the pages, for a router of any state.
pub fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    Router::new()
        .route("/", get(show_home))
        .route("/watch/{agent}", get(show_session))
        .route("/assets/{file}", get(show_asset))
}

async fn show_home(headers: HeaderMap) -> Response {
    serve_file(&HOME_PAGE, &headers)
}

async fn show_session(headers: HeaderMap) -> Response {
    session_page(&headers, None)
}

/// The page that connects an installation of asciinema's command line with a key.
pub(crate) fn connect_page(headers: &HeaderMap) -> Response {
    serve_file(&CONNECT_PAGE, headers)
}

/// The page of a session, with tags for its head: markup, already escaped.
pub(crate) fn session_page(headers: &HeaderMap, tags: Option<&str>) -> Response {
    let page = &*SESSION_PAGE;
    let text = std::str::from_utf8(page.body).unwrap_or_default();
    match (tags, text.split_once(HEAD_END)) {
        (Some(tags), Some((head, rest))) => {
            let body = [head, tags, HEAD_END, rest].concat().into_bytes();
            let etag = etag(&body);
            respond(page, &etag, headers, axum::body::Bytes::from(body))
        }
        _ => serve_file(page, headers),
    }
}

async fn show_asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|file| file.name == name) {
        Some(file) => serve_file(file, &headers),
        None => (StatusCode::NOT_FOUND, "no such asset\n").into_response(),
    }
}

fn serve_file(file: &'static PageFile, request_headers: &HeaderMap) -> Response {
    respond(file, &file.etag, request_headers, file.body)
}

fn respond(
    file: &PageFile,
    etag: &HeaderValue,
    request_headers: &HeaderMap,
    body: impl IntoResponse,
) -> Response {
    let headers: [(HeaderName, HeaderValue); 6] = [
        (ETAG, etag.clone()),
        (CACHE_CONTROL, HeaderValue::from_static(REVALIDATE)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_POLICY)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (CONTENT_TYPE, HeaderValue::from_static(file.content_type)),
    ];
    if is_known(request_headers, etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (StatusCode::OK, headers, body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use axum::http::header::IF_NONE_MATCH;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn fetch(path: &str, if_none_match: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(etag) = if_none_match {
            request = request.header(IF_NONE_MATCH, etag);
        }
        routes::<()>()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    async fn body_text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_page_forbids_inline_code_and_foreign_origins() {
        for path in ["/", "/watch/nex", "/assets/session.js", "/assets/base.css"] {
            let response = fetch(path, None).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let policy = response.headers()[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .to_owned();
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert!(!policy.contains("unsafe"), "{path}: {policy}");
            assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        }
    }

    #[tokio::test]
    async fn a_known_etag_is_answered_without_a_body() {
        let first = fetch("/assets/session.js", None).await;
        let etag = first.headers()[ETAG].to_str().unwrap().to_owned();
        for candidate in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}")] {
            let again = fetch("/assets/session.js", Some(&candidate)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{candidate}");
            assert!(body_text(again).await.is_empty());
        }
        assert_eq!(
            fetch("/assets/session.js", Some("\"other\"")).await.status(),
            StatusCode::OK
        );
    }

    #[tokio::test]
    async fn only_embedded_files_are_assets() {
        for path in [
            "/assets/none.js",
            "/assets/..%2Fsrc%2Fpages.rs",
            "/assets/home.html",
        ] {
            assert_eq!(fetch(path, None).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn whatever_a_page_or_a_script_loads_is_embedded() {
        let mut texts = vec![
            body_text(fetch("/", None).await).await,
            body_text(fetch("/watch/x", None).await).await,
            body_text(connect_page(&HeaderMap::new())).await,
        ];
        for file in ASSETS.iter() {
            texts.push(String::from_utf8(file.body.to_vec()).unwrap());
        }
        for text in &texts {
            assert!(
                !text.contains("innerHTML"),
                "text of events must never become markup"
            );
            for part in text.split(['"', '\'']) {
                let name = part.strip_prefix("/assets/").or_else(|| part.strip_prefix("./"));
                if let Some(name) = name.filter(|name| name.contains('.')) {
                    assert!(
                        ASSETS.iter().any(|file| file.name == name),
                        "{name} is loaded but not embedded"
                    );
                }
            }
        }
    }
}
