//! One viewer's socket: reads what the client says, writes what the outbox could not send at once, keeps alive.
//!
//! tungstenite parses what comes in and answers pings and closes; event frames never pass through it: they are
//! framed once for everybody and go to the socket by the outbox.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;

use super::viewer::{MESSAGES_PER_SECOND, SUBSCRIPTIONS, Viewer};
use crate::access::{Credentials, Reader};
use crate::close_codes::{self, CloseCode};
use crate::live::{Format, FrameType, Outbox, Push, plain, websocket_frame};
use crate::state::AppState;

/// A client's message at the most: 4,000 characters of chat, and what is around them.
const MESSAGE_BYTES: usize = 16 * 1024;
/// A silent client is asked after this, and given up after that.
const PING_AFTER: Duration = Duration::from_secs(25);
const PONG_WITHIN: Duration = Duration::from_secs(8);
/// What was sent before a close may take this long to go out.
const CLOSING: Duration = Duration::from_secs(2);

/// Serves one socket until either side closes it.
pub(super) async fn serve(
    state: AppState,
    (reader, credentials): (Reader, Credentials),
    stream: TcpStream,
    received: Bytes,
) {
    let gauge = state.live.connections_gauge();
    gauge.inc();
    let stream = Arc::new(stream);
    let outbox = Arc::new(Outbox::new(Some(stream.clone()), state.config.viewer_queue_bytes));
    let hello = json!({
        "protocol": "kulti.v1",
        "limits": {
            "message_bytes": MESSAGE_BYTES,
            "messages_per_second": MESSAGES_PER_SECOND,
            "subscriptions": SUBSCRIPTIONS,
        },
    });
    outbox.push_control(&plain(Format::WebSocket, FrameType::Hello, hello));
    let stopping = state.lifecycle.stopping();
    let viewer = Viewer::new(state, (reader, credentials), outbox.clone());
    let closed = talk(viewer, &stopping, &stream, received).await;
    if let Some(close) = closed {
        let mut payload = close.code.to_be_bytes().to_vec();
        payload.extend_from_slice(close.reason.as_bytes());
        outbox.push_control(&websocket_frame(0x8, &payload));
        if tokio::time::timeout(CLOSING, drain(&outbox, &stream))
            .await
            .is_err()
        {
            tracing::debug!("a viewer did not take what was left for it");
        }
    }
    outbox.close();
    gauge.dec();
}

async fn drain(outbox: &Outbox, stream: &TcpStream) -> std::io::Result<()> {
    while !outbox.write_pending()? {
        stream.writable().await?;
    }
    Ok(())
}

/// Until the client goes, or has to: then the code to close with.
async fn talk(
    mut viewer: Viewer,
    stopping: &CancellationToken,
    stream: &Arc<TcpStream>,
    received: Bytes,
) -> Option<CloseCode> {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_write_buffer_size(64 * 1024)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let outbox = viewer.outbox.clone();
    let side = ReadSide {
        stream: stream.clone(),
        outbox: outbox.clone(),
    };
    let mut socket =
        WebSocketStream::from_partially_read(side, received.to_vec(), Role::Server, Some(config)).await;
    let mut heard = Instant::now();
    let mut asked: Option<(Instant, u64)> = None;
    loop {
        let deadline = asked.map_or(heard + PING_AFTER, |(asked, _)| asked + PONG_WITHIN);
        let pending = async {
            outbox.wait_pending().await;
            stream.writable().await
        };
        tokio::select! {
            () = stopping.cancelled() => return Some(close_codes::SHUTTING_DOWN),
            event = viewer.own() => viewer.act(event),
                            message = socket.next() => {
                (heard, asked) = (Instant::now(), None);
                match message {
                    Some(Ok(Message::Text(text))) => {
                        if !viewer.may_speak() {
                            return Some(close_codes::TOO_MANY_MESSAGES);
                        }
                        viewer.hear(&text).await;
                    }
                    Some(Ok(Message::Binary(_))) => return Some(close_codes::NOT_TEXT),
                    // tungstenite has queued the answer already.
                    Some(Ok(_)) => {}
                    Some(Err(error)) if is_protocol_error(&error) => return Some(close_codes::BAD_FRAME),
                    Some(Err(_)) | None => return None,
                }
            }
            writable = pending => {
                if writable.is_err() || outbox.is_closed() || outbox.write_pending().is_err() {
                    return None;
                }
            }
            () = sleep_until(deadline) => match asked {
                None => {
                    outbox.push_control(&websocket_frame(0x9, b""));
                    asked = Some((Instant::now(), outbox.written()));
                }
                // A slow reader has the ping behind a long queue: as long as it takes bytes, it is there.
                Some((_, written)) if outbox.written() > written => {
                    asked = Some((Instant::now(), outbox.written()));
                }
                Some(_) => return Some(close_codes::NO_PONG),
            },
        }
    }
}

fn is_protocol_error(error: &tokio_tungstenite::tungstenite::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    matches!(error, Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_))
}

/// What tungstenite sees of the connection: it reads from the socket; what it writes joins the outbox, behind the
/// frames that are there.
struct ReadSide {
    stream: Arc<TcpStream>,
    outbox: Arc<Outbox>,
}

impl AsyncRead for ReadSide {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for ReadSide {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.outbox.push_control(&Bytes::copy_from_slice(bytes)) {
            Push::Closed => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
