//! asciicast v3: one terminal of a session, for asciinema's player and all that read its files.
//!
//! The times are the session's clock, the text is what the screen fold feeds its emulator, so a player shows what
//! `GET /v1/sessions/{id}/screen` shows.

use kulti_schemas::{PositionedEvent, Timestamp};
use kulti_session::workspace::{EventTexts, MAIN_TERMINAL, TerminalChange, TerminalRecording, Workspace};
use serde::{Deserialize, Serialize};

use super::{Encoder, ExportError, Range};
use crate::reads::markers::MarkerView;
use crate::store::SessionRow;

/// Markers that wait for the terminal's first event, which says how large it is.
const WAITING_MARKERS: usize = 1_000;

pub(super) struct Asciicast {
    title: Option<String>,
    terminal: String,
    range: Range,
    /// The state before the range, while it is being reached.
    before: Option<Box<Workspace>>,
    recording: Option<TerminalRecording>,
    /// By position, the next one last.
    markers: Vec<MarkerView>,
    waiting: Vec<(Timestamp, String)>,
    /// When the recording begins; none before its first event.
    base: Option<Timestamp>,
    started_at: Timestamp,
    has_header: bool,
    /// Milliseconds since the base that were written so far.
    written_ms: i64,
    clock: Timestamp,
    /// How the terminal's last command ended, if the session has ended too.
    exit_code: Option<i64>,
    is_ended: bool,
}

/// The first line.
#[derive(Serialize)]
struct Header<'a> {
    version: u32,
    term: Term,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
}

#[derive(Serialize)]
struct Term {
    cols: usize,
    rows: usize,
    r#type: &'static str,
}

#[derive(Deserialize)]
struct ExitData {
    code: i64,
    terminal: Option<String>,
}

impl Asciicast {
    /// `markers` are the session's, in order.
    pub(super) fn new(
        session: &SessionRow,
        range: Range,
        terminal: Option<&str>,
        mut markers: Vec<MarkerView>,
    ) -> Self {
        let terminal = terminal.unwrap_or(MAIN_TERMINAL);
        markers.retain(|marker| (range.first..=range.last).contains(&marker.position));
        markers.reverse();
        let title = [&session.title, &session.task].into_iter().flatten().next();
        let is_whole = range.first == 1;
        Asciicast {
            title: title.cloned(),
            terminal: terminal.to_owned(),
            range,
            before: (!is_whole).then(|| Box::new(Workspace::new())),
            recording: is_whole.then(|| TerminalRecording::new(terminal)),
            markers,
            waiting: Vec::new(),
            base: None,
            started_at: session.started_at.into(),
            has_header: false,
            written_ms: 0,
            clock: session.started_at.into(),
            exit_code: None,
            is_ended: session.ended_at.is_some() && range.last == session.position,
        }
    }

    /// The first line, of a terminal of this size.
    fn header(&mut self, (cols, rows): (usize, usize), out: &mut Vec<u8>) {
        self.has_header = true;
        let base = self.base.unwrap_or(self.started_at);
        let header = Header {
            version: 3,
            term: Term {
                cols,
                rows,
                r#type: "xterm-256color",
            },
            timestamp: base.0.div_euclid(1_000_000),
            title: self.title.as_deref(),
        };
        // Numbers and texts are always JSON.
        serde_json::to_writer(&mut *out, &header).ok();
        out.push(b'\n');
        for (clock, label) in std::mem::take(&mut self.waiting) {
            self.line(clock, "m", &label, out);
        }
    }

    /// An event, so long after the one before it. What rounding takes from one interval the next one has.
    fn line(&mut self, clock: Timestamp, code: &str, data: &str, out: &mut Vec<u8>) {
        let micros = clock.0 - self.base.unwrap_or(clock).0;
        let ms = ((micros + 500).div_euclid(1_000)).max(self.written_ms);
        let interval = ms - self.written_ms;
        self.written_ms = ms;
        let data = serde_json::Value::from(data);
        let line = format!(
            "[{}.{:03}, \"{code}\", {data}]\n",
            interval / 1_000,
            interval % 1_000
        );
        out.extend_from_slice(line.as_bytes());
    }

    fn apply(&mut self, event: &PositionedEvent, out: &mut Vec<u8>) {
        let texts = EventTexts::of(event);
        let event_to_fold = texts.event(event);
        let change = self
            .recording
            .as_mut()
            .and_then(|recording| recording.change(&event_to_fold));
        let is_first = !self.has_header;
        match change {
            Some(TerminalChange::Resize(cols, rows)) if is_first => {
                // A player that is made in this size need not begin in another; only its tab stops must follow.
                self.header((cols, rows), out);
                let size = TerminalRecording::new("").size();
                if (cols, rows) != size {
                    let blank = TerminalRecording::blank_of_size(cols, rows);
                    self.line(event.clock, "o", &blank, out);
                }
            }
            Some(TerminalChange::Resize(cols, rows)) => {
                self.line(event.clock, "r", &format!("{cols}x{rows}"), out);
            }
            Some(TerminalChange::Output(text)) if !text.is_empty() => {
                if is_first {
                    self.header_as_begun(out);
                }
                self.line(event.clock, "o", &text, out);
            }
            _ => {}
        }
        if event.event.kind.name() == "terminal.exited"
            && let Ok(exit) = serde_json::from_str::<ExitData>(event.event.data.get())
            && exit.terminal.as_deref().unwrap_or(MAIN_TERMINAL) == self.terminal
        {
            self.exit_code = Some(exit.code);
        }
    }

    /// The markers that stand at the event, after what it printed.
    fn mark(&mut self, event: &PositionedEvent, out: &mut Vec<u8>) {
        while self
            .markers
            .last()
            .is_some_and(|marker| marker.position <= event.position)
        {
            let Some(marker) = self.markers.pop() else { break };
            if self.has_header {
                self.line(event.clock, "m", &marker.label, out);
            } else {
                self.waiting.push((event.clock, marker.label));
            }
        }
        if self.waiting.len() > WAITING_MARKERS {
            self.header_as_begun(out);
        }
    }

    fn header_as_begun(&mut self, out: &mut Vec<u8>) {
        let size = self.recording.as_ref().map(TerminalRecording::size);
        self.header(size.unwrap_or_else(|| TerminalRecording::new("").size()), out);
    }

    /// What the terminal shows when the recording begins in the middle of a session.
    fn begin_within(&mut self, workspace: &Workspace, out: &mut Vec<u8>) {
        let recording = workspace.recording(&self.terminal);
        let screen = recording.screen().to_owned();
        let is_new = screen.is_empty();
        self.recording = Some(recording);
        if !is_new {
            self.header_as_begun(out);
            self.line(self.base.unwrap_or(self.started_at), "o", &screen, out);
        }
    }
}

impl Encoder for Asciicast {
    fn first_needed(&self) -> Option<i64> {
        self.before.is_some().then_some(1)
    }

    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), ExportError> {
        Ok(())
    }

    fn event(&mut self, event: &PositionedEvent, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.clock = event.clock;
        if event.position < self.range.first {
            if let Some(workspace) = &mut self.before {
                let texts = EventTexts::of(event);
                workspace.apply(&texts.event(event));
            }
            return Ok(());
        }
        if self.base.is_none() {
            let base = if self.range.first == 1 {
                self.started_at
            } else {
                event.clock
            };
            self.base = Some(base);
            if let Some(workspace) = self.before.take() {
                self.begin_within(&workspace, out);
            }
        }
        self.apply(event, out);
        self.mark(event, out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        if !self.has_header {
            self.header_as_begun(out);
        }
        if let Some(code) = self.exit_code.filter(|_| self.is_ended) {
            self.line(self.clock, "x", &code.to_string(), out);
        }
        Ok(())
    }
}
