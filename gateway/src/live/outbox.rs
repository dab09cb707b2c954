//! One viewer's outgoing bytes: bounded, written at once when the socket takes them, by its own task when not.
//!
//! Sends are what live fan-out costs. So whoever has a frame writes it straight to the socket while nothing is
//! pending, and wakes no task; only what the socket does not take waits here, and goes out in as few writes as
//! possible.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Buf, Bytes};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// A write takes at most this many pieces: more gains nothing.
const PIECES_PER_WRITE: usize = 64;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Push {
    /// Written or queued.
    Taken,
    /// The queue is full: this viewer falls back to catching up.
    Full,
    /// The viewer has gone.
    Closed,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole ones and parts of them, one behind the other.
    frames: VecDeque<Bytes>,
    /// Bytes in `frames`.
    bytes: usize,
    /// Bytes that were queued and then written: tells whether a slow viewer still takes any.
    written: u64,
    closed: bool,
}

/// Shared by the connection's task, the sessions' tasks and the tasks that catch up.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Protects the order of bytes on the socket: every write happens while it is held, and never blocks.
    queue: Mutex<Queue>,
    /// Wakes the connection's task: there is something that the socket did not take.
    pending: Notify,
    /// Wakes those who wait for room.
    drained: Notify,
    /// Absent for SSE, whose body the HTTP server writes.
    socket: Option<Arc<TcpStream>>,
    limit: usize,
}

impl Outbox {
    /// For a WebSocket, or for an SSE body (`None`). Holds up to `limit` bytes.
    pub(crate) fn new(socket: Option<Arc<TcpStream>>, limit: usize) -> Self {
        Outbox {
            queue: Mutex::default(),
            pending: Notify::new(),
            drained: Notify::new(),
            socket,
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sends an event frame, unless too much is waiting already. One frame always fits an empty queue.
    pub(crate) fn push(&self, frame: &Bytes) -> Push {
        self.enqueue(std::slice::from_ref(frame), false)
    }

    /// The same for frames in pieces: all of them, one behind the other, or none.
    pub(crate) fn push_pieces(&self, pieces: &[Bytes]) -> Push {
        self.enqueue(pieces, false)
    }

    /// Sends a small frame that must not be lost (errors, pongs, `caught_up`): those are bounded by what
    /// clients may ask, not by the queue.
    pub(crate) fn push_control(&self, frame: &Bytes) -> Push {
        self.push_controls(std::slice::from_ref(frame))
    }

    /// The same for a few of them.
    pub(crate) fn push_controls(&self, frames: &[Bytes]) -> Push {
        self.enqueue(frames, true)
    }

    fn enqueue(&self, pieces: &[Bytes], control: bool) -> Push {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let mut queue = self.lock();
        if queue.closed {
            return Push::Closed;
        }
        if !control && queue.bytes > 0 && queue.bytes + length > self.limit {
            return Push::Full;
        }
        let mut written = 0;
        if queue.frames.is_empty()
            && let Some(socket) = &self.socket
        {
            match write_now(socket, pieces) {
                Ok(bytes) if bytes == length => return Push::Taken,
                Ok(bytes) => written = bytes,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    queue.closed = true;
                    drop(queue);
                    self.wake_all();
                    return Push::Closed;
                }
            }
        }
        queue.bytes += length - written;
        for piece in pieces {
            let gone = written.min(piece.len());
            written -= gone;
            if gone < piece.len() {
                queue.frames.push_back(piece.slice(gone..));
            }
        }
        drop(queue);
        self.pending.notify_one();
        Push::Taken
    }

    /// Nothing more is taken; whoever waits is woken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.wake_all();
    }

    fn wake_all(&self) {
        self.pending.notify_one();
        self.drained.notify_waiters();
    }

    /// True once the viewer has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Bytes that went out after waiting here.
    pub(crate) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Waits until less than half of the queue is in use. False when the viewer has gone.
    pub(crate) async fn room(&self) -> bool {
        self.at_most(self.limit / 2).await
    }

    /// Waits until nothing is pending: for a frame that found no room beside what there was.
    pub(crate) async fn emptied(&self) -> bool {
        self.at_most(0).await
    }

    async fn at_most(&self, bytes: usize) -> bool {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            {
                let queue = self.lock();
                if queue.closed {
                    return false;
                }
                if queue.bytes <= bytes {
                    return true;
                }
            }
            drained.await;
        }
    }

    /// Waits until something is pending or the outbox is closed.
    pub(crate) async fn wait_pending(&self) {
        loop {
            {
                let queue = self.lock();
                if queue.closed || !queue.frames.is_empty() {
                    return;
                }
            }
            self.pending.notified().await;
        }
    }

    /// Takes everything that is pending: for SSE bodies.
    pub(crate) fn take(&self) -> Vec<Bytes> {
        let mut queue = self.lock();
        queue.bytes = 0;
        let frames = std::mem::take(&mut queue.frames).into();
        drop(queue);
        self.drained.notify_waiters();
        frames
    }

    /// Writes what the socket takes now. True when nothing is left.
    pub(crate) fn write_pending(&self) -> std::io::Result<bool> {
        let Some(socket) = &self.socket else {
            return Ok(true);
        };
        let mut queue = self.lock();
        while !queue.frames.is_empty() {
            match write_now(socket, &queue.frames) {
                Ok(written) => consume(&mut queue, written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    let roomy = queue.bytes <= self.limit / 2;
                    drop(queue);
                    if roomy {
                        self.drained.notify_waiters();
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        drop(queue);
        self.drained.notify_waiters();
        Ok(true)
    }
}

/// What the socket takes of these now.
fn write_now<'a>(socket: &TcpStream, pieces: impl IntoIterator<Item = &'a Bytes>) -> std::io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    socket.try_write_vectored(&slices[..count])
}

fn consume(queue: &mut Queue, mut written: usize) {
    queue.bytes -= written;
    queue.written += written as u64;
    while written > 0 {
        let Some(front) = queue.frames.front_mut() else {
            return;
        };
        if front.len() > written {
            front.advance(written);
            return;
        }
        written -= front.len();
        queue.frames.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Arc::new(listener.accept().await.unwrap().0), client)
    }

    #[tokio::test]
    async fn bytes_keep_their_order_when_the_socket_is_full() {
        let (server, mut client) = pair().await;
        let outbox = Arc::new(Outbox::new(Some(server.clone()), 64 << 20));
        let mut expected = Vec::new();
        for index in 0..4000u32 {
            let frame = Bytes::from(vec![index as u8; 4096]);
            expected.extend_from_slice(&frame);
            assert_eq!(outbox.push(&frame), Push::Taken);
        }
        let writer = tokio::spawn({
            let outbox = outbox.clone();
            async move {
                while !outbox.write_pending().unwrap() {
                    server.writable().await.unwrap();
                }
            }
        });
        let mut received = vec![0; expected.len()];
        client.read_exact(&mut received).await.unwrap();
        writer.await.unwrap();
        assert!(received == expected);
    }

    #[tokio::test]
    async fn pieces_keep_their_order_wherever_the_socket_stops() {
        let (server, mut client) = pair().await;
        let outbox = Outbox::new(Some(server.clone()), 64 << 20);
        let mut expected = Vec::new();
        for round in 0..100_u32 {
            let sizes = (1..=2 * PIECES_PER_WRITE as u32).map(|index| (index * 7919 + round) % 3_000);
            let pieces: Vec<Bytes> = sizes
                .map(|size| vec![(size + round) as u8; size as usize].into())
                .collect();
            expected.extend_from_slice(&pieces.concat());
            assert_eq!(outbox.push_pieces(&pieces), Push::Taken);
        }
        let received = async {
            let mut received = vec![0; expected.len()];
            client.read_exact(&mut received).await.unwrap();
            received
        };
        let written = async {
            while !outbox.write_pending().unwrap() {
                server.writable().await.unwrap();
            }
        };
        let (received, ()) = tokio::join!(received, written);
        assert!(received == expected);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_makes_room_again() {
        let outbox = Outbox::new(None, 100);
        let frame = Bytes::from(vec![0; 80]);
        assert_eq!(outbox.push(&frame), Push::Taken);
        assert_eq!(outbox.push(&frame), Push::Full);
        assert_eq!(outbox.push_control(&frame), Push::Taken);
        assert_eq!(outbox.take().len(), 2);
        assert!(outbox.room().await);
        outbox.close();
        assert_eq!(outbox.push(&frame), Push::Closed);
        assert!(!outbox.room().await);
    }
}
