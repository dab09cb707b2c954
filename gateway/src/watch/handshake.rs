//! The WebSocket handshake (RFC 6455 §4.2), and the TCP stream behind it.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::problem::{Code, Problem};

/// The subprotocol's name, for clients that name one.
const PROTOCOL: &str = "kulti.v1";

/// The stream behind an upgraded connection, with what the client sent early.
pub(crate) type Upgraded = BoxFuture<'static, Result<(TcpStream, Bytes), hyper::Error>>;

/// The 101 response, and the stream once that is sent.
pub(super) fn accept(request: Request) -> Result<(Response, Upgraded), Problem> {
    accept_as(request, PROTOCOL)
}

/// The same with a subprotocol of another name.
pub(crate) fn accept_as(
    mut request: Request,
    protocol: &'static str,
) -> Result<(Response, Upgraded), Problem> {
    let headers = request.headers();
    let refuse =
        |detail: &str| Problem::new(Code::InvalidParameter, format!("this is a WebSocket: {detail}"));
    if request.method() != Method::GET
        || !has_token(headers, &CONNECTION, "upgrade")
        || !has_token(headers, &UPGRADE, "websocket")
    {
        return Err(refuse(
            "send GET with `Connection: Upgrade` and `Upgrade: websocket`",
        ));
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(refuse("send `Sec-WebSocket-Version: 13`"));
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .ok_or_else(|| refuse("`Sec-WebSocket-Key` is missing"))?;
    let accept_key = derive_accept_key(key.as_bytes());
    let offered = offers(&request, protocol);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| refuse("the connection cannot be upgraded"))?;
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_ACCEPT, accept_key);
    if offered {
        response = response.header(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let response = response
        .body(Body::empty())
        .map_err(|error| refuse(&error.to_string()))?;
    let upgraded = async move {
        let parts = upgrade.await?.downcast::<TokioIo<TcpStream>>();
        // server.rs serves exactly this type, so that frames can be written without a copy or a task.
        let parts = parts.expect("the server serves TokioIo<TcpStream>");
        Ok((parts.io.into_inner(), parts.read_buf))
    };
    Ok((response.into_response(), upgraded.boxed()))
}

/// Whether the client names this subprotocol.
pub(crate) fn offers(request: &Request, protocol: &str) -> bool {
    has_token(request.headers(), &SEC_WEBSOCKET_PROTOCOL, protocol)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}
