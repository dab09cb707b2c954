//! Many viewers in one process: they take frames and check that positions have no holes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::load_runtime;
use crate::child::Parent;
use crate::machine::{raise_open_files, stay_on};

/// Connections that are being opened at once.
const OPENING: usize = 64;
/// Without any frame for so long, what is missing is lost.
const SILENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(5);
/// An empty pong with a mask of zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// What it is told at first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ViewersSpec {
    pub(crate) address: SocketAddr,
    pub(crate) core: Option<usize>,
    pub(crate) count: usize,
    /// Watch this session by WebSocket; none: frames come without being asked for.
    pub(crate) session: Option<String>,
}

/// Said when all are there, and live.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Watching {
    pub(crate) viewers: usize,
}

/// So many messages in all are to come, over all viewers and since the beginning.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wanted {
    pub(crate) messages: u64,
}

/// What came since the beginning, over all viewers.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Received {
    pub(crate) messages: u64,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// Messages whose position is not the next one.
    pub(crate) out_of_order: u64,
    /// Viewers that were disconnected or told of an error.
    pub(crate) failed: u64,
}

#[derive(Debug, Default)]
struct Totals {
    messages: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
    out_of_order: AtomicU64,
    failed: AtomicU64,
    live: AtomicU64,
}

impl Totals {
    fn received(&self) -> Received {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        Received {
            messages: read(&self.messages),
            frames: read(&self.frames),
            bytes: read(&self.bytes),
            out_of_order: read(&self.out_of_order),
            failed: read(&self.failed),
        }
    }
}

/// Watches until the parent is gone.
pub(super) fn run(spec: ViewersSpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    raise_open_files()?;
    load_runtime()?.block_on(async {
        let mut parent = Parent::new();
        let totals = Arc::new(Totals::default());
        let viewers = spec.count;
        open_all(Arc::new(spec), &totals).await?;
        parent.say(&Watching { viewers })?;
        while let Some(Wanted { messages }) = parent.hear().await? {
            parent.say(&wait_for(&totals, messages).await)?;
        }
        Ok(())
    })
}

async fn open_all(spec: Arc<ViewersSpec>, totals: &Arc<Totals>) -> anyhow::Result<()> {
    let opening = Arc::new(Semaphore::new(OPENING));
    for _ in 0..spec.count {
        let permit = opening.clone().acquire_owned().await?;
        let (spec, totals) = (spec.clone(), totals.clone());
        tokio::spawn(async move {
            let mut viewer = match Viewer::open(&spec, &totals).await {
                Ok(viewer) => viewer,
                Err(error) => return fail(&totals, &error),
            };
            drop(permit);
            if let Err(error) = viewer.watch().await {
                fail(&totals, &error);
            }
        });
    }
    let all = spec.count as u64;
    while totals.live.load(Ordering::Relaxed) < all {
        let failed = totals.failed.load(Ordering::Relaxed);
        anyhow::ensure!(failed == 0, "{failed} of {all} viewers could not watch");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn fail(totals: &Totals, error: &anyhow::Error) {
    if totals.failed.fetch_add(1, Ordering::Relaxed) == 0 {
        eprintln!("a viewer: {error:#}");
    }
}

async fn wait_for(totals: &Totals, messages: u64) -> Received {
    let mut moved = (totals.received().messages, Instant::now());
    loop {
        let received = totals.received();
        if received.messages >= messages || received.failed > 0 || moved.1.elapsed() > SILENCE {
            return received;
        }
        if received.messages != moved.0 {
            moved = (received.messages, Instant::now());
        }
        tokio::time::sleep(LOOK).await;
    }
}

struct Viewer {
    stream: TcpStream,
    buffer: BytesMut,
    /// The last one; none before the first.
    position: Option<u64>,
    totals: Arc<Totals>,
}

impl Viewer {
    /// Connected, and live if it watches a session.
    async fn open(spec: &ViewersSpec, totals: &Arc<Totals>) -> anyhow::Result<Viewer> {
        let mut viewer = Viewer {
            stream: TcpStream::connect(spec.address).await?,
            buffer: BytesMut::new(),
            position: None,
            totals: totals.clone(),
        };
        match &spec.session {
            None => {
                totals.live.fetch_add(1, Ordering::Relaxed);
            }
            Some(session) => viewer.subscribe(spec.address, session).await?,
        }
        Ok(viewer)
    }

    async fn subscribe(&mut self, address: SocketAddr, session: &str) -> anyhow::Result<()> {
        let request = format!(
            "GET /v1/watch HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).await?;
        let head = loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break self.buffer.split_to(end + 4);
            }
            self.read().await?;
        };
        let accepted = head.starts_with(b"HTTP/1.1 101 ");
        anyhow::ensure!(accepted, "answered: {}", String::from_utf8_lossy(&head));
        let message = format!(r#"{{"op":"subscribe","session":"{session}","from":"live"}}"#);
        let length = u8::try_from(message.len()).ok().filter(|length| *length <= 125);
        let length = length.context("a session id that is too long for a short frame")?;
        // A client's frame is masked; a mask of zeros leaves it as it is.
        let mut frame = vec![0x81, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(message.as_bytes());
        self.stream.write_all(&frame).await?;
        while !self.take_frames().await? {
            self.read().await?;
        }
        Ok(())
    }

    async fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            self.read().await?;
            self.take_frames().await?;
        }
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut self.buffer) {
                Ok(0) => anyhow::bail!("the server closed"),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes every whole frame. True if it became live in one of them.
    async fn take_frames(&mut self) -> anyhow::Result<bool> {
        let mut is_live = false;
        while let Some((head, length)) = frame_size(&self.buffer) {
            if self.buffer.len() < head + length {
                break;
            }
            let opcode = self.buffer[0] & 0x0f;
            let payload = &self.buffer[head..head + length];
            match opcode {
                0x1 if payload.starts_with(b"{\"type\":\"events\"") => {
                    take_events(payload, &mut self.position, &self.totals);
                    self.totals.frames.fetch_add(1, Ordering::Relaxed);
                    self.totals
                        .bytes
                        .fetch_add((head + length) as u64, Ordering::Relaxed);
                }
                0x1 if memmem::find(payload, b"\"type\":\"caught_up\"").is_some() => {
                    self.totals.live.fetch_add(1, Ordering::Relaxed);
                    is_live = true;
                }
                0x1 if memmem::find(payload, b"\"type\":\"error\"").is_some() => {
                    anyhow::bail!("told: {}", String::from_utf8_lossy(payload));
                }
                0x8 => anyhow::bail!("closed: {}", String::from_utf8_lossy(payload)),
                0x9 => self.stream.write_all(&PONG).await?,
                _ => {}
            }
            self.buffer.advance(head + length);
        }
        Ok(is_live)
    }
}

/// Length of a frame's head and of what comes after it, if the head is there.
pub(super) fn frame_size(buffer: &[u8]) -> Option<(usize, usize)> {
    match *buffer.get(1)? {
        126 => Some((
            4,
            usize::from(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?)),
        )),
        127 => {
            let length = u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?);
            Some((10, usize::try_from(length).ok()?))
        }
        short => Some((2, usize::from(short))),
    }
}

/// Every event begins with its position.
fn take_events(payload: &[u8], last: &mut Option<u64>, totals: &Totals) {
    const BEFORE: &[u8] = b"{\"position\":";
    let mut messages = 0;
    for at in memmem::find_iter(payload, BEFORE) {
        let digits = payload[at + BEFORE.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        let position = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        if last.is_some_and(|last| position != last + 1) {
            totals.out_of_order.fetch_add(1, Ordering::Relaxed);
        }
        *last = Some(position);
        messages += 1;
    }
    totals.messages.fetch_add(messages, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_in_the_positions_is_noticed() {
        let totals = Totals::default();
        let mut last = None;
        take_events(
            br#"{"type":"events","events":[{"position":4,"x":1},{"position":5}]}"#,
            &mut last,
            &totals,
        );
        take_events(
            br#"{"type":"events","events":[{"position":6}]}"#,
            &mut last,
            &totals,
        );
        assert_eq!(
            (totals.received().messages, totals.received().out_of_order),
            (3, 0)
        );
        take_events(
            br#"{"type":"events","events":[{"position":8}]}"#,
            &mut last,
            &totals,
        );
        assert_eq!(totals.received().out_of_order, 1);
    }

    #[test]
    fn frames_of_all_lengths_are_measured() {
        assert_eq!(frame_size(&[0x81]), None);
        assert_eq!(frame_size(&[0x81, 5]), Some((2, 5)));
        assert_eq!(frame_size(&[0x81, 126, 1]), None);
        assert_eq!(frame_size(&[0x81, 126, 1, 4]), Some((4, 260)));
        assert_eq!(
            frame_size(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
            Some((10, 65_536))
        );
    }
}
