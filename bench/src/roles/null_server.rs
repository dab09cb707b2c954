//! The limit for requests: the same HTTP server with the same settings, and handlers that do nothing. One reads the body
//! of an ingest request and gives an answer of the usual size; one returns bytes that it has.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use super::{Listening, server_runtime};
use crate::child::Parent;
use crate::machine::stay_on;

const ANSWER: &str = r#"{"accepted":1,"rejected":0,"retry":0,"results":[{"id":"01a1fb95-6021-75cc-9f30-8046bcc71a6e","status":"accepted"}]}"#;
/// As the gateway has them.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NullSpec {
    pub(crate) core: Option<usize>,
    /// What `/bytes` returns.
    pub(crate) answer_bytes: usize,
}

/// Serves until the parent is gone.
pub(super) fn run(spec: &NullSpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    server_runtime()?.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let mut parent = Parent::new();
        parent.say(&Listening {
            address: listener.local_addr()?,
        })?;
        tokio::select! {
            gone = parent.gone() => gone,
            served = serve(listener, spec.answer_bytes) => served.map(|never| match never {}),
        }
    })
}

async fn serve(listener: TcpListener, answer_bytes: usize) -> anyhow::Result<Infallible> {
    let handler = async |_body: Bytes| ([(CONTENT_TYPE, "application/json")], ANSWER);
    let bytes = Bytes::from(vec![b'x'; answer_bytes]);
    let router = Router::new()
        .route("/v1/events", post(handler))
        .route("/bytes", get(async move || bytes.clone()));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve_connection(stream, router.clone()));
    }
}

async fn serve_connection(stream: TcpStream, router: Router) {
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        router.clone().oneshot(request.map(Body::new))
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        eprintln!("null: {error}");
    }
}
