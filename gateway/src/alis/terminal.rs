//! A terminal of a session as frames: its screen at the beginning, then what each event does to it.

use std::time::Duration;

use kulti_session::workspace::{MAIN_TERMINAL, TerminalChange, TerminalRecording, session_clock};
use kulti_session::{FoldEvent, Workspace};
use serde::Deserialize;

use super::frame::Frame;

/// How fast what was recorded is played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// So many times as fast as it happened.
    pub(super) speed: f64,
    /// The longest pause.
    pub(super) idle_cap: Option<Duration>,
}

/// The stream of one terminal.
pub(super) struct TerminalStream {
    recording: TerminalRecording,
    pace: Pace,
    position: i64,
    clock: Option<i64>,
    /// Microseconds from the beginning to the last event, as played.
    played: u64,
    /// The same at the last frame.
    sent: u64,
    has_ended: bool,
}

#[derive(Deserialize)]
struct MarkerData {
    label: String,
}

impl TerminalStream {
    /// As of a moment; without a name, the terminal that is shown there.
    pub(super) fn new(workspace: &Workspace, clock: Option<i64>, name: Option<&str>, pace: Pace) -> Self {
        TerminalStream {
            recording: workspace.recording(name.or(workspace.shown_terminal()).unwrap_or(MAIN_TERMINAL)),
            pace,
            position: workspace.position(),
            clock,
            played: 0,
            sent: 0,
            has_ended: false,
        }
    }

    /// The first frame; only before any event.
    pub(super) fn reset(&self) -> Vec<u8> {
        Frame::Reset {
            last_id: id(self.position),
            time: self.sent,
            size: size(self.recording.size()),
            screen: self.recording.screen(),
        }
        .encode()
    }

    /// What the next event does.
    pub(super) fn event(&mut self, event: &FoldEvent<'_>) -> Option<Vec<u8>> {
        if event.position <= self.position {
            return None;
        }
        self.position = event.position;
        let clock = session_clock(self.clock, event);
        let pause = Duration::from_micros((clock - self.clock.unwrap_or(clock)).unsigned_abs());
        self.clock = Some(clock);
        let pause = self.pace.idle_cap.map_or(pause, |most| pause.min(most));
        self.played += (pause.as_micros() as f64 / self.pace.speed) as u64;
        let change = self.recording.change(event);
        let id = id(event.position);
        match change {
            Some(TerminalChange::Output(text)) if !text.is_empty() => {
                let since = self.since();
                Some(
                    Frame::Output {
                        id,
                        since,
                        text: &text,
                    }
                    .encode(),
                )
            }
            Some(TerminalChange::Resize(cols, rows)) => {
                let since = self.since();
                let size = size((cols, rows));
                Some(Frame::Resize { id, since, size }.encode())
            }
            _ if event.kind == "marker" => {
                let marker: MarkerData = serde_json::from_str(event.data.get()).ok()?;
                let since = self.since();
                let label = &marker.label;
                Some(Frame::Marker { id, since, label }.encode())
            }
            _ => None,
        }
    }

    /// The last frame.
    pub(super) fn end(&mut self) -> Vec<u8> {
        self.has_ended = true;
        Frame::End {
            id: None,
            time: self.played,
        }
        .encode()
    }

    /// The last frame was made.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// From the frame before to this one.
    fn since(&mut self) -> u64 {
        let since = self.played - self.sent;
        self.sent = self.played;
        since
    }
}

fn id(position: i64) -> u64 {
    u64::try_from(position).unwrap_or_default()
}

fn size((cols, rows): (usize, usize)) -> (u64, u64) {
    (cols as u64, rows as u64)
}
