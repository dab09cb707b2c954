//! The accept loop: limits that a framework's own loop has no place for, and the end of the process's life.
//!
//! hyper serves `TokioIo<TcpStream>` itself, so that a handler which upgrades gets that very type back.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use kulti_pipeline::lifecycle::Lifecycle;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::access::ConnectionInfo;
use crate::router::build_router;
use crate::state::AppState;

/// For a request's headers to arrive, and for the next request on a connection that is kept open.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Request line and headers together.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// After an accept that failed for want of descriptors: trying again at once would only spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// One connection's place among those that the gateway takes; free when the last clone is dropped. It is in each
/// request's extensions, so that whoever upgrades the connection keeps the place.
#[derive(Clone)]
pub struct ConnectionSlot {
    _occupied: Arc<OccupiedSlot>,
}

struct OccupiedSlot {
    _permit: OwnedSemaphorePermit,
    gauge: IntGauge,
}

impl ConnectionSlot {
    fn new(permit: OwnedSemaphorePermit, state: &AppState) -> Self {
        let gauge = state.metrics.connections.clone();
        gauge.inc();
        ConnectionSlot {
            _occupied: Arc::new(OccupiedSlot {
                _permit: permit,
                gauge,
            }),
        }
    }
}

impl Drop for OccupiedSlot {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// Serves until the life cycle stops, then lets requests finish within the configured budget. Sockets that were
/// upgraded are told through the same life cycle, by whoever upgraded them.
///
/// # Errors
/// If the listener does not know its own address.
pub async fn run(listener: TcpListener, state: AppState, lifecycle: Lifecycle) -> std::io::Result<()> {
    let bound = listener.local_addr()?;
    let router = build_router(state.clone());
    let stopping = lifecycle.stopping();
    let abort = CancellationToken::new();
    let connections = TaskTracker::new();
    tracing::info!(gateway.address = %bound, "gateway listens on {bound}");
    loop {
        let (stream, peer) = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let Ok(permit) = Arc::clone(&state.connections).try_acquire_owned() else {
            refuse(&state, &stream);
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let connection = ConnectionInfo {
            peer,
            listener: bound,
            is_http_10: false,
        };
        let slot = ConnectionSlot::new(permit, &state);
        let serving = serve_connection(stream, connection, slot, (router.clone(), stopping.clone()));
        let abort = abort.clone();
        connections.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = abort.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(state.config.shutdown_budget, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(
            gateway.connections = connections.len(),
            "connections did not end in time and are cut"
        );
        abort.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// Answers without reading anything: who floods gets no memory.
fn refuse(state: &AppState, stream: &TcpStream) {
    state.metrics.connections_refused.inc();
    if let Err(error) = stream.try_write(BUSY) {
        tracing::debug!(%error, "a refused connection could not be told");
    }
}

async fn serve_connection(
    stream: TcpStream,
    connection: ConnectionInfo,
    slot: ConnectionSlot,
    (router, stopping): (Router, CancellationToken),
) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        let is_http_10 = request.version() == hyper::Version::HTTP_10;
        request.extensions_mut().insert(ConnectionInfo {
            is_http_10,
            ..connection
        });
        request.extensions_mut().insert(slot.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stopping.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}
