//! A viewer who comes back: subscribes after a position, reads until it is live, leaves, again and again.

use std::net::SocketAddr;

use anyhow::Context as _;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::load_runtime;
use super::viewers::frame_size;
use crate::child::Parent;
use crate::machine::stay_on;

/// What is in the frame that ends a catch-up, which is a short one.
pub(super) const CAUGHT_UP: &[u8] = b"\"type\":\"caught_up\"";
const SHORT: usize = 1_000;
/// More than one catch-up has.
const BUFFER_BYTES: usize = 8 << 20;

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CatchUpSpec {
    pub(crate) address: SocketAddr,
    pub(crate) core: Option<usize>,
    pub(crate) session: String,
    /// The last position that it has.
    pub(crate) after: i64,
}

/// How often to come back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ComeBack {
    pub(crate) times: usize,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CaughtUp {
    /// From the subscription to the last byte before live, median.
    pub(crate) p50_ms: f64,
    /// Payloads of the frames of one catch-up, in bytes, up to the one that says that it is live.
    pub(crate) frames: Vec<usize>,
    /// Events of one catch-up.
    pub(crate) events: usize,
}

/// Comes back as often as it is asked until the parent is gone.
pub(super) fn run(spec: &CatchUpSpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    load_runtime()?.block_on(async {
        let mut parent = Parent::new();
        // Touched once: what the client's memory costs is no part of what is measured.
        let mut received = vec![1; BUFFER_BYTES];
        while let Some(ComeBack { times }) = parent.hear().await? {
            let mut milliseconds = Vec::with_capacity(times);
            let mut frames = Vec::new();
            for _ in 0..times {
                let took;
                (took, frames) = come_back(spec, &mut received).await?;
                milliseconds.push(took);
            }
            milliseconds.sort_unstable_by(f64::total_cmp);
            parent.say(&CaughtUp {
                p50_ms: milliseconds.get(times / 2).copied().unwrap_or(f64::NAN),
                frames,
                events: memmem::find_iter(&received, b",\"kind\":\"").count(),
            })?;
        }
        Ok(())
    })
}

async fn come_back(spec: &CatchUpSpec, received: &mut Vec<u8>) -> anyhow::Result<(f64, Vec<usize>)> {
    let mut stream = TcpStream::connect(spec.address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /v1/watch HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        spec.address
    );
    stream.write_all(request.as_bytes()).await?;
    received.clear();
    while memmem::find(received, b"\"type\":\"hello\"").is_none() || !received.ends_with(b"}") {
        anyhow::ensure!(stream.read_buf(received).await? > 0, "the server closed");
    }
    received.clear();
    let message = format!(
        r#"{{"op":"subscribe","session":"{}","from":{{"position":{}}}}}"#,
        spec.session, spec.after
    );
    let length = u8::try_from(message.len()).ok().filter(|length| *length <= 125);
    let length = length.context("a session id that is too long for a short frame")?;
    // A client's frame is masked; a mask of zeros leaves it as it is.
    let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(message.as_bytes());
    let begun = Instant::now();
    stream.write_all(&frame).await?;
    let frames = read_until_live(&mut stream, received).await?;
    Ok((begun.elapsed().as_secs_f64() * 1e3, frames))
}

/// Reads frames up to `caught_up`, looking at nothing but where each begins; the length of each.
async fn read_until_live(stream: &mut TcpStream, received: &mut Vec<u8>) -> anyhow::Result<Vec<usize>> {
    let mut frames = Vec::with_capacity(64);
    let mut start = 0;
    loop {
        match frame_size(&received[start..]) {
            Some((head, length)) if received.len() >= start + head + length => {
                frames.push(length);
                let payload = &received[start + head..][..length];
                if length < SHORT && memmem::find(payload, CAUGHT_UP).is_some() {
                    return Ok(frames);
                }
                start += head + length;
            }
            _ => anyhow::ensure!(stream.read_buf(received).await? > 0, "the server closed"),
        }
    }
}
