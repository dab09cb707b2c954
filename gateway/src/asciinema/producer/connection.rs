//! One connection of a producer, from its turn to its end.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use kulti_schemas::Timestamp;
use serde_json::json;
use tokio::sync::OwnedMutexGuard;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{MESSAGE_BYTES, Socket, close, close_with, end_socket, send};
use crate::access::Producer;
use crate::asciinema::recording::{Draft, Recording, Refusal};
use crate::asciinema::seats::{Seat, Turn};
use crate::asciinema::streams::event;
use crate::control::asciinema::{self, Stream};
use crate::ingest::write_in_order;
use crate::problem::Problem;
use crate::state::AppState;
use crate::store::{self, answered};

/// What a connection calls itself in its events: their `seq` is asciinema's number of the event.
const PRODUCER: &str = "asciinema";
/// What was received and is not being written yet; beyond it, the socket is not read.
const WAITING_BYTES: usize = 1 << 20;
/// As asciinema-server has it.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A producer that says nothing for so long, not even answers to pings, has gone.
const HEARD_WITHIN: Duration = Duration::from_secs(45);
/// A session that says nothing for longer than two minutes counts as quiet.
const SAID_EVERY: Duration = Duration::from_secs(60);
/// For what was received to be written when the connection is to be closed.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);
/// For the connection before to write what it had received.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// A producer whose connection was lost comes back within this, or its session ends.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(120);

/// How a producer left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// Its stream has ended, or is no business of this connection any more.
    ForGood,
    MayComeBack,
}

/// A producer at its stream's seat.
pub(super) struct Connection<'a> {
    pub(super) state: &'a AppState,
    pub(super) stream: &'a Stream,
    pub(super) producer: &'a Producer,
    pub(super) seat: &'a Seat,
}

/// What was received and is not being written yet.
#[derive(Default)]
struct Waiting {
    drafts: Vec<Draft>,
    bytes: usize,
}

impl Waiting {
    fn add(&mut self, drafts: Vec<Draft>, bytes: usize) {
        self.bytes += if drafts.is_empty() { 0 } else { bytes };
        self.drafts.extend(drafts);
    }
}

/// The last number that the log has now, or how to close.
type Written = Result<Option<u64>, CloseFrame>;

impl Connection<'_> {
    /// Serves it to its end.
    pub(super) async fn run(&self, socket: &mut Socket) -> Left {
        let (frame, left) = match self.begin().await {
            Ok(turn) => self.stream(socket, turn).await,
            Err(frame) => (Some(frame), Left::MayComeBack),
        };
        if let Err(error) = end_socket(socket, frame).await {
            tracing::debug!(%error, "a producer's socket could not be closed");
        }
        left
    }

    /// Waits for the turn, and finds out what the log has.
    async fn begin(&self) -> Result<OwnedMutexGuard<Turn>, CloseFrame> {
        let again = |_| close_with(CloseCode::Again, "try again in a moment");
        let turn = self.seat.turn.clone().lock_owned();
        let mut turn = tokio::time::timeout(TURN_WITHIN, turn)
            .await
            .map_err(|_| again(Problem::log_unavailable()))?;
        let pool = &self.state.pool;
        let claim = answered(asciinema::claim_stream(pool, self.stream.id))
            .await
            .map_err(again)?;
        // Another gateway may have written meanwhile, or this one has been restarted.
        if turn.claim == 0 || claim != turn.claim + 1 {
            let last = answered(store::last_seq(pool, &self.stream.session_id, PRODUCER))
                .await
                .map_err(again)?;
            turn.last = last.and_then(|last| u64::try_from(last).ok());
        }
        turn.claim = claim;
        Ok(turn)
    }

    /// Until the stream has ended, or the connection; how to close it, if it is to be closed by us.
    async fn stream(
        &self,
        socket: &mut Socket,
        mut turn: OwnedMutexGuard<Turn>,
    ) -> (Option<CloseFrame>, Left) {
        let mut recording = Recording::new(turn.last);
        let mut waiting = Waiting::default();
        let mut writing: Option<BoxFuture<'_, Written>> = None;
        let mut closing: Option<(Option<CloseFrame>, Instant)> = None;
        let mut heard = Instant::now();
        let mut said = Instant::now();
        let mut pings = tokio::time::interval(PING_EVERY);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stopping = self.state.lifecycle.stopping();
        loop {
            if writing.is_none() && !waiting.drafts.is_empty() {
                let drafts = std::mem::take(&mut waiting).drafts;
                said = Instant::now();
                writing = Some(self.write(drafts, turn.claim).boxed());
            }
            if let Some((frame, _)) = &closing
                && writing.is_none()
            {
                let left = match recording.has_ended() || self.seat.taken.is_cancelled() {
                    true => Left::ForGood,
                    false => Left::MayComeBack,
                };
                return (frame.clone(), left);
            }
            let deadline = closing.as_ref().map(|(_, since)| *since + WRITTEN_WITHIN);
            let close = tokio::select! {
                written = async { writing.as_mut().expect("asked only while there is one").await },
                    if writing.is_some() =>
                {
                    writing = None;
                    match written {
                        Ok(last) => {
                            turn.last = last.or(turn.last);
                            continue;
                        }
                        Err(frame) => return (Some(frame), Left::ForGood),
                    }
                }
                () = sleep_until(deadline), if deadline.is_some() => {
                    tracing::warn!(session.id = self.stream.session_id, "what a producer said could not be written in time");
                    return (close_with(CloseCode::Again, "try again in a moment").into(), Left::MayComeBack);
                }
                message = socket.next(), if closing.is_none() && waiting.bytes < WAITING_BYTES => {
                    heard = Instant::now();
                    match self.take(message, &mut recording, &mut waiting) {
                        None => continue,
                        Some(close) => close,
                    }
                }
                () = self.seat.taken.cancelled(), if closing.is_none() => Some(close(4002, "ownership lost")),
                () = stopping.cancelled(), if closing.is_none() => {
                    Some(close_with(CloseCode::Restart, "shutting down"))
                }
                _ = pings.tick(), if closing.is_none() => {
                    if heard.elapsed() > HEARD_WITHIN && waiting.bytes < WAITING_BYTES {
                        None
                    } else if self.was_taken_elsewhere(turn.claim).await {
                        Some(close(4002, "ownership lost"))
                    } else {
                        if said.elapsed() >= SAID_EVERY && recording.is_live() && writing.is_none() {
                            waiting.add(vec![still_live()], 0);
                        }
                        match send(socket, Message::Ping(Default::default())).await {
                            Ok(()) => continue,
                            Err(_) => None,
                        }
                    }
                }
            };
            closing = Some((close, Instant::now()));
        }
    }

    /// Takes what came from the socket. None: it goes on; else it is to be closed, maybe with a frame.
    fn take(
        &self,
        message: Option<Result<Message, Error>>,
        recording: &mut Recording,
        waiting: &mut Waiting,
    ) -> Option<Option<CloseFrame>> {
        let now = Timestamp::now();
        match message {
            Some(Ok(Message::Binary(bytes))) => match recording.message(&bytes, now) {
                Ok(drafts) => {
                    waiting.add(drafts, bytes.len());
                    None
                }
                Err(refusal) => {
                    tracing::warn!(session.id = self.stream.session_id, error = %refusal, "a producer's message is refused");
                    Some(Some(match refusal {
                        Refusal::Size(..) => close(4003, refusal.to_string()),
                        _ => close(4005, refusal.to_string()),
                    }))
                }
            },
            Some(Ok(Message::Text(_))) => Some(Some(close(4005, "frames are binary messages"))),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => None,
            Some(Ok(Message::Close(_))) => {
                waiting.add(recording.close(now).into_iter().collect(), 0);
                Some(None)
            }
            Some(Err(Error::Capacity(_))) => Some(Some(close(
                4005,
                format!("a message may have at most {MESSAGE_BYTES} bytes"),
            ))),
            Some(Err(_)) | None => Some(None),
        }
    }

    /// Writes what was received. The log may be away for as long as it likes.
    async fn write(&self, drafts: Vec<Draft>, claim: i64) -> Written {
        let forbidden = |problem: Problem| close(4030, problem.detail);
        let writer = loop {
            match self.producer.writer(self.state).await {
                Ok(writer) => break writer,
                Err(problem) if problem.code.status().is_server_error() => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(problem) => return Err(forbidden(problem)),
            }
        };
        let last = drafts.iter().rev().find_map(|draft| draft.number);
        let mut events = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let mut parsed = event(self.stream, draft.kind, &draft.data, draft.time).map_err(forbidden)?;
            let meta = &mut parsed.event.meta;
            meta.producer = Some(PRODUCER.to_owned());
            meta.generation = Some(claim);
            meta.seq = draft.number.and_then(|number| i64::try_from(number).ok());
            events.push(parsed);
        }
        let refused = write_in_order(self.state, &writer, events)
            .await
            .map_err(forbidden)?;
        if let Some(first) = refused.first() {
            tracing::warn!(
                session.id = self.stream.session_id,
                events = refused.len(),
                problem = %first,
                "events of a producer are refused"
            );
        }
        Ok(last)
    }

    /// Whether a later connection writes this stream, through another gateway. While nobody can say, it does not.
    async fn was_taken_elsewhere(&self, claim: i64) -> bool {
        let latest = answered(asciinema::latest_claim(&self.state.pool, self.stream.id)).await;
        latest.is_ok_and(|latest| latest != claim)
    }

    /// Ends the session of a producer that was lost.
    pub(super) async fn end_unless_it_comes_back(&self) {
        tokio::select! {
            () = tokio::time::sleep(COMES_BACK_WITHIN) => {}
            () = self.seat.taken.cancelled() => return,
            () = self.state.lifecycle.stopping().cancelled_owned() => return,
        }
        let turn = self.seat.turn.lock().await;
        if self.seat.taken.is_cancelled() || self.was_taken_elsewhere(turn.claim).await {
            return;
        }
        let ended = Draft {
            kind: "session.ended",
            data: json!({"reason": "disconnected"}),
            time: Timestamp::now(),
            number: None,
        };
        let writing = tokio::time::timeout(WRITTEN_WITHIN, self.write(vec![ended], turn.claim));
        if !matches!(writing.await, Ok(Ok(_))) {
            tracing::warn!(
                session.id = self.stream.session_id,
                "the end of a producer that is gone could not be written"
            );
        }
    }
}

/// Says that the terminal is there, though it shows nothing new.
fn still_live() -> Draft {
    Draft {
        kind: "status.changed",
        data: json!({"status": "live"}),
        time: Timestamp::now(),
        number: None,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
