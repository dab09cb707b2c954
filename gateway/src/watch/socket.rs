//! One viewer's socket: reads what the client says, writes what the outbox could not send at once, keeps alive.
//!
//! tungstenite parses what comes in and answers pings and closes; event frames never pass through it: they are
//! framed once for everybody and go to the socket by the outbox.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use kulti_schemas::SessionId;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::protocol::{ClientMessage, parse};
use crate::access::Reader;
use crate::close_codes::{self, CloseCode};
use crate::live::{Format, Outbox, Push, Subscription, SubscriptionRequest, plain, websocket_frame};
use crate::state::AppState;

/// A client's message at the most.
const MESSAGE_BYTES: usize = 4096;
/// Messages a second, and how many may come at once.
const MESSAGES_PER_SECOND: f64 = 10.0;
const MESSAGE_BURST: f64 = 20.0;
/// Subscriptions on one socket.
const SUBSCRIPTIONS: usize = 32;
/// A silent client is asked after this, and given up after that.
const PING_AFTER: Duration = Duration::from_secs(25);
const PONG_WITHIN: Duration = Duration::from_secs(8);
/// What was sent before a close may take this long to go out.
const CLOSING: Duration = Duration::from_secs(2);

/// Serves one socket until either side closes it.
pub(super) async fn serve(state: AppState, reader: Reader, stream: TcpStream, received: Bytes) {
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
    outbox.push_control(&plain(Format::WebSocket, "hello", hello));
    let viewer = Viewer {
        state,
        reader,
        outbox: outbox.clone(),
        subscriptions: HashMap::new(),
        allowance: (MESSAGE_BURST, Instant::now()),
    };
    let closed = viewer.talk(&stream, received).await;
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

struct Viewer {
    state: AppState,
    reader: Reader,
    outbox: Arc<Outbox>,
    subscriptions: HashMap<SessionId, (Option<String>, Subscription)>,
    allowance: (f64, Instant),
}

impl Viewer {
    /// Until the client goes, or has to: then the code to close with.
    async fn talk(mut self, stream: &Arc<TcpStream>, received: Bytes) -> Option<CloseCode> {
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024)
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let side = ReadSide {
            stream: stream.clone(),
            outbox: self.outbox.clone(),
        };
        let mut socket =
            WebSocketStream::from_partially_read(side, received.to_vec(), Role::Server, Some(config)).await;
        let stopping = self.state.lifecycle.stopping();
        let mut heard = Instant::now();
        let mut asked: Option<(Instant, u64)> = None;
        loop {
            let deadline = asked.map_or(heard + PING_AFTER, |(asked, _)| asked + PONG_WITHIN);
            let pending = async {
                self.outbox.wait_pending().await;
                stream.writable().await
            };
            tokio::select! {
                () = stopping.cancelled() => return Some(close_codes::SHUTTING_DOWN),
                message = socket.next() => {
                    (heard, asked) = (Instant::now(), None);
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            if !self.may_speak() {
                                return Some(close_codes::TOO_MANY_MESSAGES);
                            }
                            self.hear(&text).await;
                        }
                        Some(Ok(Message::Binary(_))) => return Some(close_codes::NOT_TEXT),
                        // tungstenite has queued the answer already.
                        Some(Ok(_)) => {}
                        Some(Err(error)) if is_protocol_error(&error) => return Some(close_codes::BAD_FRAME),
                        Some(Err(_)) | None => return None,
                    }
                }
                writable = pending => {
                    if writable.is_err() || self.outbox.is_closed() || self.outbox.write_pending().is_err() {
                        return None;
                    }
                }
                () = sleep_until(deadline) => match asked {
                    None => {
                        self.outbox.push_control(&websocket_frame(0x9, b""));
                        asked = Some((Instant::now(), self.outbox.written()));
                    }
                    // A slow reader has the ping behind a long queue: as long as it takes bytes, it is there.
                    Some((_, written)) if self.outbox.written() > written => {
                        asked = Some((Instant::now(), self.outbox.written()));
                    }
                    Some(_) => return Some(close_codes::NO_PONG),
                },
            }
        }
    }

    fn may_speak(&mut self) -> bool {
        let (allowance, at) = self.allowance;
        let allowance =
            (allowance + at.elapsed().as_secs_f64() * MESSAGES_PER_SECOND).min(MESSAGE_BURST) - 1.0;
        self.allowance = (allowance, Instant::now());
        allowance >= 0.0
    }

    async fn hear(&mut self, text: &str) {
        match parse(text) {
            Ok(ClientMessage::Subscribe(request)) => self.subscribe(request).await,
            Ok(ClientMessage::Unsubscribe { sub, session }) => {
                self.subscriptions.retain(|subscribed, (name, _)| {
                    let named = sub.is_some() && *name == sub;
                    let meant = session
                        .as_deref()
                        .is_some_and(|session| session == subscribed.as_str());
                    !(named || meant)
                });
            }
            Ok(ClientMessage::Ping { id }) => {
                let fields = id.map_or(json!({}), |id| json!({"id": id}));
                self.outbox
                    .push_control(&plain(Format::WebSocket, "pong", fields));
            }
            Err(problem) => self.error(problem.sub, None, problem.code, &problem.detail, false),
        }
    }

    async fn subscribe(&mut self, request: SubscriptionRequest) {
        let session = request.session.clone();
        if !self.subscriptions.contains_key(&session) && self.subscriptions.len() >= SUBSCRIPTIONS {
            let detail = format!("a socket takes {SUBSCRIPTIONS} subscriptions");
            return self.error(
                request.sub,
                Some(&session),
                "too_many_subscriptions",
                &detail,
                false,
            );
        }
        if let Err(problem) = super::check_may_watch(&self.state, &self.reader, &session).await {
            let code = problem.code.as_str();
            return self.error(
                request.sub,
                Some(&session),
                code,
                &problem.detail,
                problem.retry_after.is_some(),
            );
        }
        // One subscription per session and socket: a second one takes the first one's place.
        self.subscriptions.remove(&session);
        let sub = request.sub.clone();
        let subscription = Subscription::start(&self.state.live, request, self.outbox.clone());
        self.subscriptions.insert(session, (sub, subscription));
    }

    fn error(
        &self,
        sub: Option<String>,
        session: Option<&SessionId>,
        code: &str,
        detail: &str,
        retryable: bool,
    ) {
        let mut fields = json!({"code": code, "detail": detail, "retryable": retryable});
        if let Some(sub) = sub {
            fields["sub"] = sub.into();
        }
        if let Some(session) = session {
            fields["session"] = session.as_str().into();
        }
        if self
            .outbox
            .push_control(&plain(Format::WebSocket, "error", fields))
            == Push::Closed
        {
            tracing::debug!("the viewer went before it could be told of {code}");
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
