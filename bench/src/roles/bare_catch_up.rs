//! The limit for catching up: one thread that answers a handshake and a subscription like a gateway, with as many bytes in
//! frames of the same lengths, ready-made, in one write.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use serde::{Deserialize, Serialize};

use super::Listening;
use super::bare_sender::say;
use super::catch_up::CAUGHT_UP;
use crate::machine::stay_on;

const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const HELLO: &[u8] = b"{\"type\":\"hello\"}";

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BareCatchUpSpec {
    pub(crate) core: Option<usize>,
    /// Payloads of its frames, in bytes; the last one is `caught_up`.
    pub(crate) frames: Vec<usize>,
}

/// Serves one viewer after the other until the parent is gone.
pub(super) fn run(spec: &BareCatchUpSpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut answer = Vec::new();
    for (index, length) in spec.frames.iter().enumerate() {
        let mut payload = vec![b'x'; *length];
        if index + 1 == spec.frames.len() {
            payload[..CAUGHT_UP.len()].copy_from_slice(CAUGHT_UP);
        }
        push_frame(&mut answer, &payload);
    }
    let mut hello = SWITCHED.to_vec();
    push_frame(&mut hello, HELLO);
    say(&Listening {
        address: listener.local_addr()?,
    })?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(|stream| serve(stream, &hello, &answer)) {
                eprintln!("bare catch-up: {error}");
            }
        }
    });
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn serve(mut stream: TcpStream, hello: &[u8], answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut heard = [0; 4096];
    // Requests of this client come whole: it waits for the answer to each.
    let _handshake = stream.read(&mut heard)?;
    stream.write_all(hello)?;
    let _subscription = stream.read(&mut heard)?;
    stream.write_all(answer)?;
    // Until it leaves.
    while stream.read(&mut heard).is_ok_and(|bytes| bytes > 0) {}
    Ok(())
}

fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.push(0x81);
    match payload.len() {
        short @ 0..=125 => out.push(short as u8),
        middle @ 126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}
