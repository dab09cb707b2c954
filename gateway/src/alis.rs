//! `GET /v1/sessions/{id}/alis`: one terminal of a session as an asciinema live stream (ALiS v1), recorded or live, for the
//! stock asciinema player.
//!
//! A viewer like any other: it has a subscription with a bounded outbox, and falls back to catching up when it is slow.
//! What it gets is what the screen fold feeds to its emulator.

pub(crate) mod frame;
mod terminal;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use kulti_schemas::SessionId;
use kulti_session::{FoldEvent, Keyframe, Workspace};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use self::terminal::{Pace, TerminalStream};
use crate::access;
use crate::live::{Filter, Format, From, Outbox, Settings, Subscription, SubscriptionRequest};
use crate::path::PathSegment;
use crate::problem::Problem;
use crate::reads::at::{At, resolve};
use crate::reads::parameters::{Parameters, invalid};
use crate::reads::visible_session;
use crate::replay::moment_at;
use crate::server::ConnectionSlot;
use crate::state::AppState;
use crate::watch::handshake::{self, Upgraded};

/// What a client that knows it names.
pub(crate) const PROTOCOL: &str = "v1.alis";
const SLOWEST: f64 = 0.1;
const FASTEST: f64 = 64.0;
/// Players say nothing.
const MESSAGE_BYTES: usize = 4_096;
/// A viewer that takes nothing for so long has gone.
const TAKES_WITHIN: Duration = Duration::from_secs(30);
/// An idle connection is kept open through proxies.
const PING_EVERY: Duration = Duration::from_secs(25);

/// Streams one terminal of a session to asciinema's player: a WebSocket of ALiS v1 frames.
#[utoipa::path(
    get, path = "/v1/sessions/{id}/alis", tag = "watch",
    params(
        ("id" = String, Path, description = "The session's id"),
        ("at" = Option<String>, Query, description = "Begin as of this moment; `live` unless the session has ended, \
            then its start"),
        ("terminal" = Option<String>, Query, description = "Its name; unless told, the one used last of those that draw their own screen"),
        ("speed" = Option<f64>, Query, description = "How fast what was recorded is played, from 0.1 to 64"),
        ("idle_cap_ms" = Option<u64>, Query, description = "The longest pause while it is played"),
    ),
    responses(
        (status = 101, description = "A WebSocket; subprotocol `v1.alis`"),
        (status = 404, description = "Not there, or not for this reader"),
    ),
)]
pub(crate) async fn open_alis_socket(
    State(state): State<AppState>,
    PathSegment(id): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    access::check_origin(&state, request.headers())?;
    let reader = access::reader(&state, request.headers(), request.extensions()).await?;
    let (session, about) = visible_session(&state, &reader, &id).await?;
    let parameters = Parameters::of(request.uri())?;
    let named = parameters.text("at").is_some() || parameters.text("t").is_some();
    let at = match (named, about.ended_at) {
        (false, Some(_)) => At::Position(0),
        _ => At::of(&parameters)?,
    };
    let viewer = Viewer {
        position: resolve(&state.pool, &session, at).await?.position,
        session,
        terminal: parameters.text("terminal").map(str::to_owned),
        pace: pace(&parameters)?,
        state,
    };
    // Before the socket is there, what is wrong can still be told as a problem.
    let begun = viewer.begin(viewer.position).await?;
    let slot = request.extensions().get::<ConnectionSlot>().cloned();
    let (response, upgraded) = handshake::accept_as(request, PROTOCOL)?;
    tokio::spawn(async move {
        if let Err(error) = viewer.serve(upgraded, begun).await {
            tracing::debug!(%error, "a terminal's viewer has gone");
        }
        drop(slot);
    });
    Ok(response)
}

fn pace(parameters: &Parameters) -> Result<Pace, Problem> {
    let speed = match parameters.text("speed") {
        None => 1.0,
        Some(text) => text
            .parse()
            .ok()
            .filter(|speed| (SLOWEST..=FASTEST).contains(speed))
            .ok_or_else(|| invalid("speed", "a number from 0.1 to 64"))?,
    };
    let idle_cap = match parameters.text("idle_cap_ms") {
        None => None,
        Some(text) => Some(
            text.parse()
                .map(Duration::from_millis)
                .map_err(|_| invalid("idle_cap_ms", "milliseconds"))?,
        ),
    };
    Ok(Pace { speed, idle_cap })
}

/// One who watches a terminal.
struct Viewer {
    state: AppState,
    session: SessionId,
    position: i64,
    terminal: Option<String>,
    pace: Pace,
}

/// A frame of the subscription, as far as it matters here.
#[derive(Deserialize)]
struct Frame<'a> {
    r#type: &'a str,
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
    #[serde(default)]
    to: Option<i64>,
    #[serde(default)]
    retryable: bool,
}

/// What a frame means for the stream.
enum Step {
    Send(Vec<Vec<u8>>),
    /// Events are missing up to here: the screen is sent anew.
    Reset(i64),
    Close(CloseFrame),
}

type Socket = WebSocketStream<TcpStream>;
type SocketResult<T> = Result<T, tokio_tungstenite::tungstenite::Error>;

impl Viewer {
    /// The terminal after this position.
    async fn begin(&self, position: i64) -> Result<TerminalStream, Problem> {
        let keyframe: Keyframe = moment_at(&self.state, &self.session, position).await?.keyframe();
        let clock = keyframe.now.time;
        let workspace = Workspace::from_keyframe(keyframe);
        Ok(TerminalStream::new(
            &workspace,
            clock,
            self.terminal.as_deref(),
            self.pace,
        ))
    }

    async fn serve(self, upgraded: Upgraded, mut terminal: TerminalStream) -> anyhow::Result<()> {
        let (stream, received) = upgraded.await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES))
            .max_frame_size(Some(MESSAGE_BYTES));
        let mut socket =
            Socket::from_partially_read(stream, received.to_vec(), Role::Server, Some(config)).await;
        let gauge = self.state.live.connections_gauge();
        gauge.inc();
        let closed = self.stream(&mut socket, &mut terminal).await;
        gauge.dec();
        if let Some(frame) = closed? {
            tokio::time::timeout(TAKES_WITHIN, socket.close(Some(frame))).await??;
        }
        Ok(())
    }

    /// Until the session ends or cannot be shown any more (then how to close), or the viewer has gone.
    async fn stream(
        &self,
        socket: &mut Socket,
        terminal: &mut TerminalStream,
    ) -> anyhow::Result<Option<CloseFrame>> {
        send(socket, vec![frame::MAGIC.to_vec(), terminal.reset()]).await?;
        let outbox = Arc::new(Outbox::new(None, self.state.config.viewer_queue_bytes));
        let request = SubscriptionRequest {
            sub: None,
            session: self.session.clone(),
            from: From::Position(self.position, None),
            state: false,
            settings: Settings {
                pace: crate::live::Pace::Speed(self.pace.speed),
                idle_cap: self.pace.idle_cap,
                filter: Filter::All,
                paused: false,
                segments: false,
            },
            format: Format::Sse,
        };
        let _subscription = Subscription::start(&self.state, request, Arc::clone(&outbox));
        let _closing = CloseOutbox(&outbox);
        let stopping = self.state.lifecycle.stopping();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return Ok(Some(close(CloseCode::Restart, "shutting down"))),
                () = tokio::time::sleep(PING_EVERY) => send_message(socket, Message::Ping(Bytes::new())).await?,
                message = socket.next() => match message {
                    None | Some(Ok(Message::Close(_))) => return Ok(None),
                    // What players say is of no meaning here; tungstenite answers pings.
                    Some(message) => drop(message?),
                },
                () = outbox.wait_pending() => for frame in outbox.take() {
                    match step(&frame, terminal)? {
                        Step::Send(frames) => send(socket, frames).await?,
                        Step::Close(frame) => return Ok(Some(frame)),
                        Step::Reset(position) => {
                            *terminal = self.begin(position).await?;
                            send(socket, vec![terminal.reset()]).await?;
                        }
                    }
                    if terminal.has_ended() {
                        return Ok(Some(close(CloseCode::Normal, "the session has ended")));
                    }
                },
            }
        }
    }
}

fn step(frame: &Bytes, terminal: &mut TerminalStream) -> anyhow::Result<Step> {
    let text = std::str::from_utf8(frame)?;
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    let Some(data) = data else {
        return Ok(Step::Send(Vec::new()));
    };
    let frame: Frame<'_> = serde_json::from_str(data)?;
    Ok(match frame.r#type {
        "events" => {
            let mut frames = Vec::new();
            for event in frame.events {
                frames.extend(terminal.event(&FoldEvent::parse(event.get())?));
            }
            Step::Send(frames)
        }
        "gap" => Step::Reset(frame.to.unwrap_or(i64::MAX)),
        "ended" => Step::Send(vec![terminal.end()]),
        "error" if frame.retryable => Step::Close(close(CloseCode::Again, "try again in a moment")),
        // The player comes back after any code but those from 4000 to 4100.
        "error" => Step::Close(close(CloseCode::Library(4040), "there is no such session")),
        _ => Step::Send(Vec::new()),
    })
}

fn close(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code,
        reason: reason.into(),
    }
}

async fn send(socket: &mut Socket, frames: Vec<Vec<u8>>) -> anyhow::Result<()> {
    for frame in frames {
        send_message(socket, Message::binary(frame)).await?;
    }
    Ok(())
}

async fn send_message(socket: &mut Socket, message: Message) -> anyhow::Result<()> {
    let sent: SocketResult<()> = tokio::time::timeout(TAKES_WITHIN, socket.send(message)).await?;
    Ok(sent?)
}

/// Whoever leaves tells the subscription that nobody reads any more.
struct CloseOutbox<'a>(&'a Outbox);

impl Drop for CloseOutbox<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
