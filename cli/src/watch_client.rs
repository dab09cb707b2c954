//! Watches a session over `/v1/watch`: in order, each event once, across lost connections.

mod frame;
mod update;

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use self::frame::{Broken, Frame, may_come_back};
pub(crate) use self::update::{Start, Update};
use crate::client::Client;
use crate::event_line::EventLine;
use crate::terminal_text::clean;
use crate::watch_socket::{Socket, open};
use kulti_runner::backoff::Backoff;

/// A silent connection is asked whether it is still there, and given up after this many silent intervals.
const SILENCE: Duration = Duration::from_secs(20);
const SILENT_INTERVALS: u32 = 3;
/// After `caught_up` the server says at once whether the session has ended; this is long enough for any network.
const ENDED_WITHIN: Duration = Duration::from_secs(2);
const PING: &str = r#"{"op":"ping"}"#;
/// Our name for the one subscription.
const SUB: &str = "a";

/// The last event that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    position: i64,
    /// None after a gap.
    id: Option<String>,
}

/// Watches one session.
pub(crate) struct Watcher {
    client: Client,
    session: String,
    start: Start,
    cursor: Option<Cursor>,
    updates: VecDeque<Update>,
    socket: Option<Socket>,
    backoff: Backoff,
    /// Before this nothing is tried again.
    not_before: Option<Instant>,
    /// A server that was never there is an error; one that went away is waited for.
    connected_once: bool,
    lost: bool,
    /// `caught_up` came; `ended` may follow it.
    caught_up: bool,
    /// Silent intervals in a row.
    silent: u32,
    /// When the next of them ends.
    silent_at: Instant,
}

impl Watcher {
    /// Connects with the first call of `next`.
    pub(crate) fn new(client: Client, session: String, start: Start) -> Self {
        Watcher {
            client,
            session,
            start,
            cursor: None,
            updates: VecDeque::new(),
            socket: None,
            backoff: Backoff::default(),
            not_before: None,
            connected_once: false,
            lost: false,
            caught_up: false,
            silent: 0,
            silent_at: Instant::now(),
        }
    }

    /// The next thing that happens. May be dropped while it waits, without losing anything.
    ///
    /// # Errors
    /// What will not go away by itself: no such session, no key, a server that was never there.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Update> {
        loop {
            if let Some(update) = self.updates.pop_front() {
                return Ok(update);
            }
            let step = if self.socket.is_none() {
                self.connect().await
            } else {
                self.read().await
            };
            if let Err(broken) = step {
                self.lose(broken)?;
            }
        }
    }

    /// Drops the connection; the next call of `next` goes on after the last event that was told.
    pub(crate) fn disconnect(&mut self) {
        self.socket = None;
        self.caught_up = false;
    }

    async fn connect(&mut self) -> Result<(), Broken> {
        if let Some(not_before) = self.not_before {
            tokio::time::sleep_until(not_before).await;
        }
        let mut socket = open(&self.client).await.map_err(Broken::at_connect)?;
        socket
            .send(Message::text(self.subscription().to_string()))
            .await
            .map_err(Broken::passing)?;
        self.socket = Some(socket);
        self.not_before = None;
        self.heard();
        Ok(())
    }

    /// Where to go on: after the last event that was told, named with its id, so that a session which was cut
    /// meanwhile is answered with a gap.
    fn subscription(&self) -> Value {
        let from = match (&self.cursor, self.start) {
            (
                Some(Cursor {
                    position,
                    id: Some(id),
                }),
                _,
            ) => json!({"position": position, "id": id}),
            (Some(Cursor { position, id: None }), _) => json!({"position": position}),
            (None, Start::Live) => json!("live"),
            (None, Start::Beginning) => json!("start"),
            (None, Start::After(position)) => json!({"position": position}),
        };
        json!({"op": "subscribe", "sub": SUB, "session": self.session, "from": from, "speed": "max"})
    }

    fn heard(&mut self) {
        self.silent = 0;
        self.silent_at = Instant::now() + SILENCE;
    }

    async fn read(&mut self) -> Result<(), Broken> {
        let Some(socket) = self.socket.as_mut() else {
            return Ok(());
        };
        let Ok(message) = tokio::time::timeout_at(self.silent_at, socket.next()).await else {
            return self.take_silence().await;
        };
        self.heard();
        match message {
            Some(Ok(Message::Text(text))) => self.take_frame(&text),
            Some(Ok(Message::Close(close))) => {
                let (code, reason) = close.map_or((1005, String::new()), |close| {
                    (close.code.into(), close.reason.to_string())
                });
                let error = anyhow::anyhow!("the server closed the connection: {} ({code})", clean(&reason));
                Err(Broken {
                    passing: may_come_back(code),
                    asked: None,
                    error,
                })
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Broken::passing(error)),
            None => Err(Broken::passing(anyhow::anyhow!("the connection was lost"))),
        }
    }

    /// Asks whether the server is still there; after some silent intervals it is not.
    async fn take_silence(&mut self) -> Result<(), Broken> {
        self.silent_at = Instant::now() + SILENCE;
        if std::mem::take(&mut self.caught_up) {
            self.updates.push_back(Update::CaughtUp);
            return Ok(());
        }
        self.silent += 1;
        if self.silent >= SILENT_INTERVALS {
            return Err(Broken::passing(anyhow::anyhow!("the connection went silent")));
        }
        match self.socket.as_mut() {
            Some(socket) => socket.send(Message::text(PING)).await.map_err(Broken::passing),
            None => Ok(()),
        }
    }

    /// Sees to the next attempt, unless there is no point in one.
    fn lose(&mut self, broken: Broken) -> anyhow::Result<()> {
        self.disconnect();
        if !broken.passing || !self.connected_once {
            return Err(broken.error);
        }
        let again_in = self.backoff.next_delay(broken.asked);
        self.lost = true;
        self.not_before = Some(Instant::now() + again_in);
        self.updates.push_back(Update::Lost {
            reason: broken.error.to_string(),
            again_in,
        });
        Ok(())
    }

    fn take_frame(&mut self, text: &str) -> Result<(), Broken> {
        let frame: Frame<'_> = serde_json::from_str(text).map_err(Broken::lasting)?;
        self.connected_once = true;
        match frame.r#type {
            "events" => {
                self.is_back();
                for event in &frame.events {
                    self.take_event(event)?;
                }
            }
            "caught_up" => {
                self.is_back();
                self.caught_up = true;
                self.silent_at = Instant::now() + ENDED_WITHIN;
            }
            // The last frame of catching up: had the session ended, `ended` would have come before it.
            "viewers" if frame.sub.is_some() && self.caught_up => {
                self.caught_up = false;
                self.updates.push_back(Update::CaughtUp);
            }
            "ended" => {
                self.caught_up = false;
                self.updates.push_back(Update::Ended);
            }
            "gap" => self.take_gap(&frame),
            "error" => return Err(Broken::said_by(frame)),
            // hello, pong, state, clock, accepted, and what a newer server may say.
            _ => {}
        }
        Ok(())
    }

    fn take_event(&mut self, json: &RawValue) -> Result<(), Broken> {
        let event = EventLine::read(json).map_err(Broken::lasting)?;
        let expected = match (&self.cursor, self.start) {
            (Some(cursor), _) => Some(cursor.position + 1),
            (None, Start::Live) => None,
            (None, Start::Beginning) => Some(1),
            (None, Start::After(position)) => Some(position + 1),
        };
        match expected {
            // Told already, before the connection was lost.
            Some(expected) if event.position < expected => return Ok(()),
            Some(expected) if event.position > expected => {
                let reason = "these events never came".to_owned();
                self.updates.push_back(Update::Gap {
                    from: expected,
                    to: event.position - 1,
                    reason,
                });
            }
            _ => {}
        }
        self.cursor = Some(Cursor {
            position: event.position,
            id: Some(event.id.clone()),
        });
        self.updates.push_back(Update::Event(event));
        Ok(())
    }

    fn take_gap(&mut self, frame: &Frame<'_>) {
        let known = self.cursor.as_ref().map_or(0, |cursor| cursor.position);
        let from = frame.from.unwrap_or(known + 1);
        let to = frame.to.unwrap_or(from);
        self.cursor = Some(Cursor {
            position: to,
            id: None,
        });
        let reason = clean(frame.reason.as_deref().unwrap_or("the server cannot say why"));
        self.updates.push_back(Update::Gap { from, to, reason });
    }

    fn is_back(&mut self) {
        self.backoff.reset();
        if std::mem::take(&mut self.lost) {
            self.updates.push_back(Update::Back);
        }
    }
}

#[cfg(test)]
mod tests;
