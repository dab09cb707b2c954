//! The limit for live fan-out: one thread that sends the same frames to the same number of sockets, one send() each.

use std::io::{BufRead as _, ErrorKind, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use kulti_schemas::{PositionedEvent, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Listening;
use crate::events::event;
use crate::machine::{raise_open_files, stay_on};

/// What it is told at first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BareSpec {
    pub(crate) core: Option<usize>,
    pub(crate) viewers: usize,
    /// In each frame.
    pub(crate) session: String,
    pub(crate) content: String,
}

/// A load: `messages` to everybody, `burst` of them at once every `interval_us`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sending {
    pub(crate) messages: u32,
    pub(crate) burst: u32,
    pub(crate) interval_us: u64,
    /// Sends that found a socket full; only in the answer.
    #[serde(default)]
    pub(crate) blocked: u64,
}

/// Sends until the parent is gone.
pub(super) fn run(spec: &BareSpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    raise_open_files()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    say(&Listening { address })?;
    let mut sockets = Vec::with_capacity(spec.viewers);
    while sockets.len() < spec.viewers {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let mut position = 0;
    for line in std::io::stdin().lock().lines() {
        let mut sending: Sending = serde_json::from_str(&line?)?;
        sending.blocked = send_all(spec, &sockets, &sending, &mut position)?;
        say(&sending)?;
    }
    Ok(())
}

pub(super) fn say(what: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(what)?);
    Ok(())
}

fn send_all(
    spec: &BareSpec,
    sockets: &[TcpStream],
    sending: &Sending,
    position: &mut i64,
) -> anyhow::Result<u64> {
    let begun = Instant::now();
    let mut blocked = 0;
    for burst in 0..sending.messages / sending.burst {
        wait_until(begun + Duration::from_micros(sending.interval_us) * burst);
        for _ in 0..sending.burst {
            *position += 1;
            let frame = frame(spec, *position)?;
            for socket in sockets {
                blocked += send(socket, &frame)?;
            }
        }
    }
    Ok(blocked)
}

fn wait_until(moment: Instant) {
    while let Some(rest) = moment.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(rest);
    }
}

/// Returns how often the socket was full.
fn send(mut socket: &TcpStream, frame: &[u8]) -> std::io::Result<u64> {
    let (mut sent, mut blocked) = (0, 0);
    while sent < frame.len() {
        match socket.write(&frame[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                blocked += 1;
                std::thread::yield_now();
            }
            Err(error) => return Err(error),
        }
    }
    Ok(blocked)
}

/// The bytes that the gateway sends for one event.
fn frame(spec: &BareSpec, position: i64) -> anyhow::Result<Vec<u8>> {
    let session = SessionId::parse(&spec.session)?;
    let event = event(&session, "thought", &json!({"content": spec.content}))?;
    let mut json = format!(r#"{{"type":"events","session":"{session}","events":["#).into_bytes();
    let clock = event.meta.received;
    PositionedEvent {
        position,
        clock,
        event,
    }
    .write_json(&mut json);
    json.extend_from_slice(b"]}");
    let mut frame = vec![0x81, 126];
    frame.extend_from_slice(&u16::try_from(json.len())?.to_be_bytes());
    frame.extend_from_slice(&json);
    Ok(frame)
}
