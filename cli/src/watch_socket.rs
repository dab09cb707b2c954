//! A WebSocket over the HTTP client's own connection, so that proxies, TLS and keys are the same for both.

use anyhow::{Context, bail};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, StatusCode, Upgraded};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::client::Client;

/// A frame holds at least one event, and an event up to 1 MiB of JSON text; this leaves room for many.
const LARGEST_FRAME: usize = 64 << 20;

/// An open socket.
pub(crate) type Socket = WebSocketStream<Upgraded>;

/// Opens `/v1/watch`.
pub(crate) async fn open(client: &Client) -> anyhow::Result<Socket> {
    let key = generate_key();
    let request = client
        .request(Method::GET, client.url(&["v1", "watch"]))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    let response = request.send().await.map_err(|error| client.unreachable(&error))?;
    let response = client.success(response).await?;
    let accepted = response
        .headers()
        .get(SEC_WEBSOCKET_ACCEPT)
        .is_some_and(|accept| *accept == derive_accept_key(key.as_bytes()));
    if response.status() != StatusCode::SWITCHING_PROTOCOLS || !accepted {
        bail!("{} does not speak WebSocket at /v1/watch", client.base());
    }
    let connection = response
        .upgrade()
        .await
        .context("the server took its offer of a WebSocket back")?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(LARGEST_FRAME))
        .max_frame_size(Some(LARGEST_FRAME));
    Ok(WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await)
}
