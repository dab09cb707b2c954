//! A viewer who comes back: subscribes after a position, reads until it is live, leaves, again and again.

use std::net::SocketAddr;

use anyhow::Context as _;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::load_runtime;
use crate::child::Parent;
use crate::machine::stay_on;

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
    /// Of one catch-up.
    pub(crate) bytes: usize,
    /// Events of one catch-up.
    pub(crate) events: usize,
}

/// Comes back as often as it is asked until the parent is gone.
pub(super) fn run(spec: &CatchUpSpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    load_runtime()?.block_on(async {
        let mut parent = Parent::new();
        while let Some(ComeBack { times }) = parent.hear().await? {
            let mut milliseconds = Vec::with_capacity(times);
            let mut last = Vec::new();
            for _ in 0..times {
                let (took, received) = come_back(spec).await?;
                milliseconds.push(took);
                last = received;
            }
            milliseconds.sort_unstable_by(f64::total_cmp);
            parent.say(&CaughtUp {
                p50_ms: milliseconds.get(times / 2).copied().unwrap_or(f64::NAN),
                bytes: last.len(),
                events: memmem::find_iter(&last, b",\"kind\":\"").count(),
            })?;
        }
        Ok(())
    })
}

async fn come_back(spec: &CatchUpSpec) -> anyhow::Result<(f64, Vec<u8>)> {
    let mut stream = TcpStream::connect(spec.address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /v1/watch HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        spec.address
    );
    stream.write_all(request.as_bytes()).await?;
    let mut received = Vec::with_capacity(8 << 20);
    read_until(&mut stream, &mut received, b"\"type\":\"hello\"").await?;
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
    read_until(&mut stream, &mut received, b"\"type\":\"caught_up\"").await?;
    Ok((begun.elapsed().as_secs_f64() * 1e3, received))
}

async fn read_until(stream: &mut TcpStream, received: &mut Vec<u8>, mark: &[u8]) -> anyhow::Result<()> {
    let mut searched: usize = 0;
    while memmem::find(&received[searched.saturating_sub(mark.len())..], mark).is_none() {
        searched = received.len();
        anyhow::ensure!(stream.read_buf(received).await? > 0, "the server closed");
    }
    Ok(())
}
