//! `/ws/S/{token}`: the socket by which asciinema's command line streams a terminal, ALiS v1.
//!
//! It is read while what it said is being written, within a bound, so that pings are answered while the log is away. What
//! was received is written before the connection is closed, for whatever reason. A producer that does not come back ends
//! its session.

mod connection;

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::response::Response;
use futures_util::SinkExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use self::connection::{Connection, Left};
use crate::access::{self, Producer};
use crate::alis::PROTOCOL;
use crate::control::asciinema::{self, Stream, hash_token};
use crate::path::PathSegment;
use crate::problem::{Code, Problem};
use crate::server::ConnectionSlot;
use crate::state::AppState;
use crate::store::answered;
use crate::watch::handshake::{self, Upgraded};

/// A screen with a thousand lines above it, each cell with a colour of its own.
const MESSAGE_BYTES: usize = 8 << 20;
const CLOSED_WITHIN: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TcpStream>;

/// Takes what an asciinema command line streams: a WebSocket of ALiS v1 frames.
///
/// Closed with 4002 when another producer takes the stream, 4003 for a terminal's size that is not taken, 4005 for
/// what is no frame, 4030 when the stream may not be written (any more), 4040 when there is none.
#[utoipa::path(
    get, path = "/ws/S/{token}", tag = "asciinema",
    params(("token" = String, Path, description = "As in `ws_producer_url`")),
    responses(
        (status = 101, description = "A WebSocket; subprotocol `v1.alis`"),
        (status = 400, description = "Another subprotocol"),
        (status = 503, description = "Who writes cannot be told at the moment"),
    ),
)]
pub(crate) async fn open_producer_socket(
    State(state): State<AppState>,
    PathSegment(token): PathSegment,
    request: Request,
) -> Result<Response, Problem> {
    access::check_origin(&state, request.headers())?;
    if request.headers().contains_key(SEC_WEBSOCKET_PROTOCOL) && !handshake::offers(&request, PROTOCOL) {
        let detail = format!("this takes the subprotocol {PROTOCOL}");
        return Err(Problem::field(
            Code::InvalidParameter,
            "Sec-WebSocket-Protocol",
            detail,
        ));
    }
    let stream = answered(asciinema::stream_of_token(&state.pool, &hash_token(&token))).await?;
    // After a refusal over HTTP the command line would try again for ever; after a code of its own it says so and stops.
    let admitted = match stream {
        None => Err(close(4040, "stream not found")),
        Some(stream) => {
            let (headers, extensions) = (request.headers(), request.extensions());
            match Producer::of(&state, (&token, &stream), headers, extensions).await {
                Ok(producer) => Ok((stream, producer)),
                Err(problem) if problem.code.status().is_server_error() => return Err(problem),
                Err(_) => Err(close(4030, "this stream may not be written")),
            }
        }
    };
    let slot = request.extensions().get::<ConnectionSlot>().cloned();
    let (response, upgraded) = handshake::accept_as(request, PROTOCOL)?;
    tokio::spawn(async move {
        if let Err(error) = serve(state, upgraded, admitted, slot).await {
            tracing::debug!(%error, "a producer of a terminal has gone");
        }
    });
    Ok(response)
}

async fn serve(
    state: AppState,
    upgraded: Upgraded,
    admitted: Result<(Stream, Producer), CloseFrame>,
    slot: Option<ConnectionSlot>,
) -> anyhow::Result<()> {
    let (stream, received) = upgraded.await?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let mut socket = Socket::from_partially_read(stream, received.to_vec(), Role::Server, Some(config)).await;
    let (stream, producer) = match admitted {
        Ok(admitted) => admitted,
        Err(frame) => return end_socket(&mut socket, Some(frame)).await,
    };
    let seat = state.asciinema.take(stream.id);
    state.metrics.terminal_producers.inc();
    let connection = Connection {
        state: &state,
        stream: &stream,
        producer: &producer,
        seat: &seat,
    };
    let left = connection.run(&mut socket).await;
    state.metrics.terminal_producers.dec();
    drop(socket);
    drop(slot);
    if left == Left::MayComeBack {
        connection.end_unless_it_comes_back().await;
    }
    state.asciinema.leave(stream.id, &seat);
    Ok(())
}

async fn send(socket: &mut Socket, message: Message) -> anyhow::Result<()> {
    Ok(tokio::time::timeout(CLOSED_WITHIN, socket.send(message)).await??)
}

async fn end_socket(socket: &mut Socket, frame: Option<CloseFrame>) -> anyhow::Result<()> {
    Ok(tokio::time::timeout(CLOSED_WITHIN, socket.close(frame)).await??)
}

/// A code of the protocol's own: below 4100 the command line does not come back.
fn close(code: u16, reason: impl Into<String>) -> CloseFrame {
    close_with(CloseCode::Library(code), reason)
}

fn close_with(code: CloseCode, reason: impl Into<String>) -> CloseFrame {
    let mut reason: String = reason.into();
    // A close frame has room for 123 bytes.
    reason.truncate(reason.floor_char_boundary(120));
    CloseFrame {
        code,
        reason: reason.into(),
    }
}
