//! What a producer's frames mean, as events: without I/O and without a clock.
//!
//! asciinema's command line sends each event once. When it comes back after its connection was lost, it names the last
//! event that happened, and what the terminal shows after it: where that is the last one that we have, nothing is
//! missing; else the terminal is drawn anew, and an `error` event says how many events never came.

use kulti_schemas::Timestamp;
use serde_json::{Value, json};

use crate::alis::frame::{Frame, FrameError, MAGIC};

/// Columns and rows, as asciinema-server has them.
const LARGEST: (u64, u64) = (720, 200);
/// Bytes of text in one event: with every byte escaped it is still well below 1 MiB of JSON.
const OUTPUT_BYTES: usize = 64 << 10;
const MAX_LABEL_CHARACTERS: usize = 1_000;
/// The screen, what was scrolled away, and all modes are as those of a terminal that was just switched on.
const SWITCH_ON: &str = "\u{1b}c";

/// An event before it is one of a session's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draft {
    pub(super) kind: &'static str,
    pub(super) data: Value,
    pub(super) time: Timestamp,
    /// The producer's number of what this completes.
    pub(super) number: Option<u64>,
}

/// Why the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("not an asciinema live stream")]
    Magic,
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("a frame that may not come here")]
    Order,
    #[error("a terminal may have 1 to 720 columns and 1 to 200 rows, not {0}x{1}")]
    Size(u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come.
    New,
    /// A terminal must come next.
    Opened,
    /// The terminal is there.
    Live,
    /// The stream has ended.
    Ended,
}

/// One connection of a producer.
#[derive(Debug)]
pub(super) struct Recording {
    phase: Phase,
    /// The number of the last event that the session has; none before the first.
    last: Option<u64>,
    /// When the producer's time was 0, in microseconds since 1970.
    origin: i64,
    /// The producer's time now, in microseconds.
    at: u64,
    exit_status: Option<u64>,
}

impl Recording {
    /// A connection to a session whose last event has this number.
    pub(super) fn new(last: Option<u64>) -> Self {
        Recording {
            phase: Phase::New,
            last,
            origin: 0,
            at: 0,
            exit_status: None,
        }
    }

    /// Whether something may still come.
    pub(super) fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether the stream has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// What the next message means. `now` is when it came.
    pub(super) fn message(&mut self, message: &[u8], now: Timestamp) -> Result<Vec<Draft>, Refusal> {
        if self.phase == Phase::New {
            self.phase = Phase::Opened;
            return match message == MAGIC {
                true => Ok(Vec::new()),
                false => Err(Refusal::Magic),
            };
        }
        match Frame::decode(message)? {
            Frame::Reset {
                last_id,
                time,
                size,
                screen,
            } => {
                check_size(size)?;
                self.phase = Phase::Live;
                self.at = time;
                self.origin = now.0.saturating_sub(micros(time));
                Ok(self.reset(last_id, size, screen, now))
            }
            Frame::End { time, .. } if matches!(self.phase, Phase::Opened | Phase::Live) => {
                let time = self.advance(time, now);
                Ok(vec![self.end(time)])
            }
            _ if self.phase != Phase::Live => Err(Refusal::Order),
            Frame::Output { id, since, text } => {
                let time = self.advance(since, now);
                Ok(self.event(id, |this| this.output(text, time, id)))
            }
            Frame::Input { id, since, text } => {
                let time = self.advance(since, now);
                let piece = |text: &str| json!({"name": "terminal.input", "value": {"text": text}});
                Ok(self.event(id, |_| pieces("custom", text, piece, time, id)))
            }
            Frame::Resize { id, since, size } => {
                check_size(size)?;
                let time = self.advance(since, now);
                Ok(self.event(id, |_| vec![resized(size, time, id)]))
            }
            Frame::Marker { id, since, label } => {
                let time = self.advance(since, now);
                let label: String = label.chars().take(MAX_LABEL_CHARACTERS).collect();
                Ok(self.event(id, |_| {
                    vec![draft("marker", json!({"label": label}), time, Some(id))]
                }))
            }
            Frame::Exit { id, since, status } => {
                let time = self.advance(since, now);
                self.exit_status = Some(status);
                let code = i64::try_from(status).unwrap_or(i64::MAX);
                Ok(self.event(id, |_| {
                    vec![draft("terminal.exited", json!({"code": code}), time, Some(id))]
                }))
            }
            Frame::End { .. } => Err(Refusal::Order),
        }
    }

    /// The producer closed the connection as one that has nothing more to say. Ends the session if its command has ended,
    /// even where the frame for it is missing.
    pub(super) fn close(&mut self, now: Timestamp) -> Option<Draft> {
        (self.phase == Phase::Live && self.exit_status.is_some()).then(|| self.end(now))
    }

    fn end(&mut self, time: Timestamp) -> Draft {
        self.phase = Phase::Ended;
        let reason = match self.exit_status {
            None | Some(0) => "completed",
            Some(_) => "failed",
        };
        draft("session.ended", json!({"reason": reason}), time, None)
    }

    fn reset(&mut self, last_id: u64, size: (u64, u64), screen: &str, now: Timestamp) -> Vec<Draft> {
        let before = self.last.replace(last_id);
        if before == Some(last_id) && last_id > 0 {
            return Vec::new();
        }
        let missed = match before {
            Some(before) if before <= last_id => last_id - before,
            // Another producer, that begins to count anew.
            _ => last_id,
        };
        let mut drafts = Vec::new();
        if missed > 0 {
            let message = format!(
                "{missed} events of this terminal never came: asciinema was not connected. The screen goes on as it is now."
            );
            let data = json!({"message": message, "code": "stream_interrupted", "fatal": false});
            drafts.push(draft("error", data, now, None));
        }
        drafts.push(resized(size, now, last_id));
        let screen = match before {
            Some(_) => format!("{SWITCH_ON}{screen}"),
            None => screen.to_owned(),
        };
        drafts.extend(self.output(&screen, now, last_id));
        drafts
    }

    /// The event of this number, unless the session has it.
    fn event(&mut self, id: u64, drafts: impl FnOnce(&Self) -> Vec<Draft>) -> Vec<Draft> {
        if self.last.is_some_and(|last| id <= last) {
            return Vec::new();
        }
        self.last = Some(id);
        drafts(self)
    }

    fn output(&self, text: &str, time: Timestamp, id: u64) -> Vec<Draft> {
        let piece = |text: &str| json!({"text": text, "stream": "pty"});
        pieces("terminal.output", text, piece, time, id)
    }

    fn advance(&mut self, since: u64, now: Timestamp) -> Timestamp {
        self.at = self.at.saturating_add(since);
        Timestamp(self.origin.saturating_add(micros(self.at)).min(now.0))
    }
}

fn micros(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

fn check_size((cols, rows): (u64, u64)) -> Result<(), Refusal> {
    let fits = (1..=LARGEST.0).contains(&cols) && (1..=LARGEST.1).contains(&rows);
    if fits {
        Ok(())
    } else {
        Err(Refusal::Size(cols, rows))
    }
}

fn draft(kind: &'static str, data: Value, time: Timestamp, number: Option<u64>) -> Draft {
    Draft {
        kind,
        data,
        time,
        number,
    }
}

fn resized((cols, rows): (u64, u64), time: Timestamp, id: u64) -> Draft {
    draft(
        "terminal.resized",
        json!({"cols": cols, "rows": rows}),
        time,
        Some(id),
    )
}

/// The text in as many events as it needs, of which the last one has the number.
fn pieces(
    kind: &'static str,
    mut text: &str,
    data: impl Fn(&str) -> Value,
    time: Timestamp,
    id: u64,
) -> Vec<Draft> {
    let mut drafts = Vec::new();
    while !text.is_empty() {
        let (piece, rest) = text.split_at(text.floor_char_boundary(OUTPUT_BYTES));
        drafts.push(draft(kind, data(piece), time, rest.is_empty().then_some(id)));
        text = rest;
    }
    drafts
}

#[cfg(test)]
mod tests;
