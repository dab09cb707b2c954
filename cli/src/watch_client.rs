//! Watches a session, or whatever an agent does, over `/v1/watch`: in order, each event once, across lost connections.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::event_line::EventLine;
use crate::problem::Problem;
use crate::terminal_text::clean;
use crate::watch_socket::{Socket, open};

/// A silent connection is asked whether it is still there, and given up after this many silent intervals.
const SILENCE: Duration = Duration::from_secs(20);
const SILENT_INTERVALS: u32 = 3;
const PING: &str = r#"{"op":"ping"}"#;

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// One session.
    Session(String),
    /// The agent's live session, and its next.
    Agent(String),
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what happens from now on.
    Live,
    /// With the first event.
    Beginning,
    /// After this position.
    After(i64),
}

impl std::str::FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<i64>()) {
            ("live", _) => Ok(Start::Live),
            ("start", _) => Ok(Start::Beginning),
            // A position names the first event to show, the protocol the last one seen.
            (_, Ok(position)) if position > 0 => Ok(Start::After(position - 1)),
            _ => Err("live, start or a position (1, 2, 3, ...)".to_owned()),
        }
    }
}

/// What a watcher tells.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// The next event.
    Event(EventLine),
    /// Everything that had happened was told; from here on it is live.
    CaughtUp,
    /// The session ended.
    Ended,
    /// These positions will not come.
    Gap { from: i64, to: i64, reason: String },
    /// The connection was lost, or could not be taken up again; the next attempt comes after this time.
    Lost { reason: String, again_in: Duration },
    /// It is back.
    Back,
}

/// The last event that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    session: String,
    position: i64,
    id: Option<String>,
}

/// Watches.
pub(crate) struct Watcher {
    client: Client,
    target: Target,
    start: Start,
    cursor: Option<Cursor>,
    updates: VecDeque<Update>,
    socket: Option<Socket>,
    backoff: Backoff,
    /// A server that was never there is an error; one that went away is waited for.
    connected_once: bool,
    lost: bool,
    /// Before the next attempt.
    pause: Duration,
    catching_up: CatchingUp,
}

/// `ended` follows `caught_up` where a session has ended. A ping sent in between tells the two cases apart: its pong
/// cannot overtake `ended`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CatchingUp {
    No,
    /// `caught_up` came, the ping is to be sent.
    Ask,
    /// The pong is waited for.
    Asked,
}

#[derive(Deserialize)]
struct Frame<'a> {
    r#type: &'a str,
    #[serde(default)]
    session: Option<String>,
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
    #[serde(default)]
    from: Option<i64>,
    #[serde(default)]
    to: Option<i64>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    retryable: bool,
}

impl Watcher {
    /// Connects with the first call of `next`.
    pub(crate) fn new(client: Client, target: Target, start: Start) -> Self {
        Watcher {
            client,
            target,
            start,
            cursor: None,
            updates: VecDeque::new(),
            socket: None,
            backoff: Backoff::default(),
            connected_once: false,
            lost: false,
            pause: Duration::ZERO,
            catching_up: CatchingUp::No,
        }
    }

    /// The next thing that happens.
    ///
    /// # Errors
    /// What will not go away by itself: no such session, no key, a server that was never there.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Update> {
        loop {
            if let Some(update) = self.updates.pop_front() {
                return Ok(update);
            }
            let step = match self.socket.take() {
                None => self.connect().await,
                Some(mut socket) => match read_text(&mut socket).await {
                    Ok(text) => {
                        self.socket = Some(socket);
                        match self.take_frame(&text) {
                            Ok(()) => self.ask_whether_it_is_live().await,
                            Err(broken) => Err(broken),
                        }
                    }
                    Err(broken) => Err(broken),
                },
            };
            if let Err(broken) = step {
                self.lose(broken)?;
            }
        }
    }

    /// Drops the connection; the next call of `next` goes on after the last event that was told.
    pub(crate) fn disconnect(&mut self) {
        self.socket = None;
        self.catching_up = CatchingUp::No;
    }

    async fn connect(&mut self) -> Result<(), Broken> {
        tokio::time::sleep(std::mem::take(&mut self.pause)).await;
        let mut socket = open(&self.client).await.map_err(|error| {
            let passing = crate::sender::is_passing(&error);
            Broken {
                passing,
                asked: asked(&error),
                error,
            }
        })?;
        let subscribe = self.subscription().to_string();
        socket
            .send(Message::text(subscribe))
            .await
            .map_err(Broken::passing)?;
        self.socket = Some(socket);
        Ok(())
    }

    async fn ask_whether_it_is_live(&mut self) -> Result<(), Broken> {
        if let (CatchingUp::Ask, Some(socket)) = (self.catching_up, &mut self.socket) {
            self.catching_up = CatchingUp::Asked;
            socket.send(Message::text(PING)).await.map_err(Broken::passing)?;
        }
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
                    ..
                }),
                _,
            ) => json!({"position": position, "id": id}),
            (
                Some(Cursor {
                    position, id: None, ..
                }),
                _,
            ) => json!({"position": position}),
            (None, Start::Live) => json!("live"),
            (None, Start::Beginning) => json!("start"),
            (None, Start::After(position)) => json!({"position": position}),
        };
        let mut subscribe = json!({"op": "subscribe", "sub": "a", "from": from, "speed": "max"});
        match (&self.target, &self.cursor) {
            (Target::Session(session), _) => subscribe["session"] = json!(session),
            (Target::Agent(agent), None) => subscribe["agent"] = json!(agent),
            (Target::Agent(agent), Some(cursor)) => {
                subscribe["agent"] = json!(agent);
                subscribe["session"] = json!(cursor.session);
            }
        }
        subscribe
    }

    /// Sees to the next attempt, unless there is no point in one.
    fn lose(&mut self, broken: Broken) -> anyhow::Result<()> {
        self.disconnect();
        if !broken.passing || !self.connected_once {
            return Err(broken.error);
        }
        let again_in = self.backoff.next_delay(broken.asked);
        self.lost = true;
        self.updates.push_back(Update::Lost {
            reason: broken.error.to_string(),
            again_in,
        });
        self.pause = again_in;
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
                self.catching_up = CatchingUp::Ask;
            }
            "pong" if self.catching_up == CatchingUp::Asked => {
                self.catching_up = CatchingUp::No;
                self.updates.push_back(Update::CaughtUp);
            }
            "ended" => {
                self.catching_up = CatchingUp::No;
                self.updates.push_back(Update::Ended);
            }
            "gap" => self.take_gap(&frame),
            "error" => {
                let text = clean(
                    &frame
                        .detail
                        .or(frame.reason)
                        .unwrap_or_else(|| "the server gave up".to_owned()),
                );
                let text = match frame.code {
                    Some(code) => format!("{text} ({})", clean(&code)),
                    None => text,
                };
                return Err(Broken {
                    passing: frame.retryable,
                    asked: None,
                    error: anyhow::Error::msg(text),
                });
            }
            // hello, pong, viewers, state, clock, accepted, and what a newer server may say.
            _ => {}
        }
        Ok(())
    }

    fn take_event(&mut self, json: &RawValue) -> Result<(), Broken> {
        let event = EventLine::read(json).map_err(Broken::lasting)?;
        let known = self
            .cursor
            .as_ref()
            .filter(|cursor| cursor.session == event.session);
        let expected = match (known, self.start) {
            (Some(cursor), _) => Some(cursor.position + 1),
            (None, Start::Beginning) => Some(1),
            (None, Start::After(position)) if self.cursor.is_none() => Some(position + 1),
            (None, _) => None,
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
            session: event.session.clone(),
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
        let session = frame
            .session
            .clone()
            .or_else(|| self.cursor.as_ref().map(|cursor| cursor.session.clone()));
        if let Some(session) = session {
            self.cursor = Some(Cursor {
                session,
                position: to,
                id: None,
            });
        }
        let reason = clean(frame.reason.as_deref().unwrap_or("the server cannot say"));
        self.updates.push_back(Update::Gap { from, to, reason });
    }

    fn is_back(&mut self) {
        self.backoff.reset();
        if std::mem::take(&mut self.lost) {
            self.updates.push_back(Update::Back);
        }
    }
}

/// Why the connection is of no use any more.
struct Broken {
    error: anyhow::Error,
    /// Whether another connection may do better.
    passing: bool,
    asked: Option<Duration>,
}

impl Broken {
    fn passing(error: impl Into<anyhow::Error>) -> Self {
        Broken {
            error: error.into(),
            passing: true,
            asked: None,
        }
    }
    fn lasting(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into().context("the server speaks another protocol");
        Broken {
            error,
            passing: false,
            asked: None,
        }
    }
}

fn asked(error: &anyhow::Error) -> Option<Duration> {
    error.downcast_ref::<Problem>()?.retry_after
}

/// The next text frame; asks after a silent connection.
async fn read_text(socket: &mut Socket) -> Result<tokio_tungstenite::tungstenite::Utf8Bytes, Broken> {
    let mut silent = 0;
    loop {
        let Ok(message) = tokio::time::timeout(SILENCE, socket.next()).await else {
            silent += 1;
            if silent >= SILENT_INTERVALS {
                return Err(Broken::passing(anyhow::anyhow!("the connection went silent")));
            }
            socket.send(Message::text(PING)).await.map_err(Broken::passing)?;
            continue;
        };
        silent = 0;
        match message {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(close))) => {
                let (code, reason) = close.map_or((1005, String::new()), |close| {
                    (close.code.into(), close.reason.to_string())
                });
                let error = anyhow::anyhow!("the server closed the connection: {} ({code})", clean(&reason));
                return Err(Broken {
                    passing: may_come_back(code),
                    asked: None,
                    error,
                });
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Broken::passing(error)),
            None => return Err(Broken::passing(anyhow::anyhow!("the connection was lost"))),
        }
    }
}

/// The range of a close code says whether to come back.
fn may_come_back(code: u16) -> bool {
    !matches!(code, 1002 | 1003 | 1007..=1010 | 3500..=3999 | 4500..=4999)
}

#[cfg(test)]
mod tests;
