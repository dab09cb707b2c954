//! One leg of a subscription as those see it who send to it: what it gets, and how far it is.
//!
//! Every frame of a leg goes through here, so that none can follow once the leg has ended.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use kulti_schemas::Timestamp;

use super::fan_out::Filter;
use super::frames::Format;
use super::outbox::{Outbox, Push};

/// Who gets frames.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) id: u64,
    /// The client's name for it.
    pub(crate) sub: Option<String>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) format: Format,
    pub(crate) filter: Filter,
    /// What to do when it cannot take more, or has to go on elsewhere: catch up from a position.
    pub(crate) fall_back: FallBack,
    /// How far it is; held while a frame is handed over.
    pub(super) progress: Progress,
}

/// Read and changed by its subscriber alone.
#[derive(Debug)]
pub(crate) struct Progress(Mutex<Sent>);

impl From<Sent> for Progress {
    /// A leg that begins this far.
    fn from(sent: Sent) -> Self {
        Progress(Mutex::new(Sent { gone: false, ..sent }))
    }
}

/// Called with the position up to which everything was sent.
pub(crate) struct FallBack(pub(crate) Box<dyn Fn(i64) + Send + Sync>);

impl std::fmt::Debug for FallBack {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FallBack")
    }
}

/// How far a leg is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Everything up to here was sent.
    pub(crate) position: i64,
    /// The session's clock there, if it is known.
    pub(crate) clock: Option<Timestamp>,
    /// It is where it was to begin.
    pub(crate) arrived: bool,
    /// The leg has ended: nothing more is sent.
    gone: bool,
}

impl Sent {
    /// As far as this.
    pub(crate) fn up_to(position: i64, clock: Option<Timestamp>) -> Self {
        Sent {
            position,
            clock,
            arrived: true,
            gone: false,
        }
    }

    /// The same, on the way to somewhere else.
    pub(crate) fn on_the_way(self) -> Self {
        Sent {
            arrived: false,
            ..self
        }
    }
}

impl Subscriber {
    fn lock(&self) -> MutexGuard<'_, Sent> {
        let sent = self.progress.0.lock();
        sent.unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Sends a frame with which the viewer has everything up to a position.
    pub(crate) fn send(&self, frame: &Bytes, place: (i64, Option<Timestamp>)) -> Push {
        self.send_pieces(std::slice::from_ref(frame), place)
    }

    /// The same for frames in pieces.
    pub(crate) fn send_pieces(&self, pieces: &[Bytes], (position, clock): (i64, Option<Timestamp>)) -> Push {
        let mut sent = self.lock();
        if sent.gone {
            return Push::Closed;
        }
        let push = self.outbox.push_pieces(pieces);
        if push == Push::Taken {
            sent.position = position;
            sent.clock = clock.or(sent.clock);
            sent.arrived = true;
        }
        push
    }

    /// It is where it was to begin, and says so with a small frame.
    pub(crate) fn arrive(&self, place: Sent, frame: Option<&Bytes>) {
        let mut sent = self.lock();
        if sent.gone {
            return;
        }
        *sent = place;
        if let Some(frame) = frame {
            self.outbox.push_control(frame);
        }
    }

    /// Sends a small frame that must not be lost.
    pub(crate) fn tell(&self, frame: &Bytes) -> Push {
        self.tell_all(std::slice::from_ref(frame))
    }

    /// The same for a few of them.
    pub(crate) fn tell_all(&self, frames: &[Bytes]) -> Push {
        let sent = self.lock();
        if sent.gone {
            return Push::Closed;
        }
        self.outbox.push_controls(frames)
    }

    /// Sends a frame that may be left out when too much is waiting.
    pub(crate) fn offer(&self, frame: &Bytes) -> Push {
        let sent = self.lock();
        if sent.gone {
            return Push::Closed;
        }
        self.outbox.push(frame)
    }

    /// Ends the leg; how far it came.
    pub(crate) fn leave(&self) -> Sent {
        let mut sent = self.lock();
        sent.gone = true;
        *sent
    }

    /// How far it is.
    pub(crate) fn sent(&self) -> Sent {
        *self.lock()
    }
}
