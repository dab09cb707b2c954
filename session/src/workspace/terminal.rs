//! The terminals of a session: an emulator each, fed with what its events say.

use std::collections::VecDeque;

use avt::{Line, Observation, Observer};
use serde::{Deserialize, Serialize};

use super::event::FoldEvent;
use super::feed::{TerminalChange, TerminalFeed};
use super::fields::Fields;
use super::recording::TerminalRecording;
use super::screen::{CursorPlace, Screen, StyledLine};
use super::window::{Window, beginning, json_length};

/// Terminals of a session that are kept; of more, the least lately used is forgotten.
const TERMINALS: usize = 4;
/// Bytes of a terminal's lines above the screen.
const SCROLLBACK_BYTES: usize = 16_000;
/// Size until something says another one.
pub(super) const COLS: usize = 80;
pub(super) const ROWS: usize = 24;
pub(super) const NAME_BYTES: usize = 200;
const COMMAND_BYTES: usize = 2_000;

/// All terminals, the least lately used first.
#[derive(Default)]
pub(super) struct Terminals {
    terminals: VecDeque<Terminal>,
}

struct Terminal {
    about: About,
    emulator: avt::Terminal,
}

/// What is known of a terminal besides its screen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct About {
    name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    feed: TerminalFeed,
    /// The last command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    /// Where it ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cwd: Option<String>,
    /// How the last command ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    /// The last lines that left the screen at its top.
    scrollback: Window<StyledLine, SCROLLBACK_BYTES>,
}

/// A terminal as a keyframe holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredTerminal {
    #[serde(flatten)]
    about: About,
    cols: usize,
    rows: usize,
    /// Escape sequences that bring a new terminal of this size to this state.
    screen: String,
    /// The screen's colours did not fit and were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    plain: bool,
}

/// Puts the lines that leave the screen into the scrollback.
struct Scrollback<'a>(&'a mut Window<StyledLine, SCROLLBACK_BYTES>);

impl Observer for Scrollback<'_> {
    type Output = ();

    fn evicted(&mut self, _: &mut Observation<'_>, line: &Line) {
        self.0.push(StyledLine::of(line));
    }

    fn end(&mut self, _: &mut Observation<'_>) {}
}

impl Terminals {
    /// Applies an event about the terminal `name`; gives what was written to it.
    pub(super) fn apply(&mut self, name: &str, event: &FoldEvent<'_>) -> Option<String> {
        let terminal = self.use_terminal(beginning(name, NAME_BYTES));
        terminal.note(event);
        match terminal.about.feed.change(event)? {
            TerminalChange::Resize(cols, rows) => {
                let scrollback = Scrollback(&mut terminal.about.scrollback);
                terminal.emulator.resize_with(cols, rows, scrollback);
                None
            }
            TerminalChange::Output(text) => {
                let scrollback = Scrollback(&mut terminal.about.scrollback);
                terminal.emulator.feed_with(text.as_str(), scrollback);
                Some(text)
            }
        }
    }

    /// Makes the terminal the one that was used last.
    fn use_terminal(&mut self, name: &str) -> &mut Terminal {
        let known = self
            .terminals
            .iter()
            .position(|terminal| terminal.about.name == name)
            .and_then(|index| self.terminals.remove(index));
        let terminal = known.unwrap_or_else(|| {
            Terminal::new(
                About {
                    name: name.to_owned(),
                    ..About::default()
                },
                COLS,
                ROWS,
            )
        });
        if self.terminals.len() >= TERMINALS {
            self.terminals.pop_front();
        }
        self.terminals.push_back(terminal);
        let last = self.terminals.len() - 1;
        &mut self.terminals[last]
    }

    /// The screen of a terminal; without a name, of the one that is shown.
    pub(super) fn screen(&self, name: Option<&str>) -> Option<Screen> {
        let name = name.or_else(|| self.shown())?;
        let terminal = self
            .terminals
            .iter()
            .find(|terminal| terminal.about.name == name)?;
        Some(terminal.screen())
    }

    /// The terminal to show where nobody names one: of those that draw their own screen the one used last; where none
    /// does, of all.
    pub(super) fn shown(&self) -> Option<&str> {
        let mut newest_first = self.terminals.iter().rev();
        let shown = newest_first
            .find(|terminal| terminal.about.feed.is_pty())
            .or(self.terminals.back())?;
        Some(&shown.about.name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.terminals.iter().map(|terminal| terminal.about.name.as_str())
    }

    /// A terminal from here on.
    pub(super) fn recording(&self, name: &str) -> TerminalRecording {
        let mut recording = TerminalRecording::new(name);
        let known = self
            .terminals
            .iter()
            .find(|terminal| terminal.about.name == recording.name);
        if let Some(terminal) = known {
            (recording.cols, recording.rows) = terminal.emulator.size();
            recording.screen = terminal.emulator.dump();
            recording.feed = terminal.about.feed.clone();
        }
        recording
    }

    /// All terminals in at most `bytes` of JSON: the one used last as it is if it fits, the others with what is left.
    pub(super) fn store(&self, bytes: usize) -> Vec<StoredTerminal> {
        let mut left = bytes;
        let mut stored: Vec<StoredTerminal> = self
            .terminals
            .iter()
            .rev()
            .map(|terminal| terminal.store(&mut left))
            .collect();
        stored.reverse();
        stored
    }

    pub(super) fn restore(stored: Vec<StoredTerminal>) -> Self {
        let terminals = stored.into_iter().map(|stored| {
            let mut terminal = Terminal::new(stored.about, stored.cols, stored.rows);
            terminal.emulator.feed(stored.screen.as_str());
            terminal
        });
        Terminals {
            terminals: terminals.collect(),
        }
    }
}

impl Terminal {
    fn new(about: About, cols: usize, rows: usize) -> Self {
        Terminal {
            about,
            emulator: avt::Terminal::new(cols.max(1), rows.max(1)).expect("neither side is zero"),
        }
    }

    fn note(&mut self, event: &FoldEvent<'_>) {
        let fields = Fields::of(event.data);
        match event.kind.as_ref() {
            "terminal.command" => {
                self.about.command = fields
                    .text("command")
                    .map(|text| beginning(&text, COMMAND_BYTES).to_owned());
                if let Some(cwd) = fields.text("cwd") {
                    self.about.cwd = Some(beginning(&cwd, COMMAND_BYTES).to_owned());
                }
                self.about.exit_code = None;
            }
            "terminal.exited" => self.about.exit_code = fields.integer("code"),
            _ => {}
        }
    }

    fn screen(&self) -> Screen {
        let (cols, rows) = self.emulator.size();
        let mut lines: Vec<StyledLine> = self
            .emulator
            .screen()
            .visible_lines()
            .map(StyledLine::of)
            .collect();
        lines.truncate(rows);
        Screen {
            terminal: self.about.name.clone(),
            cols,
            rows,
            cursor: self
                .emulator
                .cursor()
                .position()
                .map(|(col, row)| CursorPlace { col, row }),
            lines,
            scrollback: self.about.scrollback.iter().cloned().collect(),
        }
    }

    fn store(&self, left: &mut usize) -> StoredTerminal {
        let (cols, rows) = self.emulator.size();
        let mut stored = StoredTerminal {
            about: self.about.clone(),
            cols,
            rows,
            screen: self.emulator.dump(),
            plain: false,
        };
        let length = json_length(&stored.screen);
        if length > *left {
            stored.screen = self.plain_screen(*left);
            stored.plain = true;
        }
        *left = left.saturating_sub(length.min(json_length(&stored.screen)));
        stored
    }

    /// The visible text alone, and the cursor.
    fn plain_screen(&self, bytes: usize) -> String {
        let lines: Vec<String> = self
            .emulator
            .screen()
            .visible_lines()
            .map(|line| line.text().trim_end().to_owned())
            .collect();
        let cursor = self.emulator.cursor();
        let place = format!("\x1b[{};{}H", cursor.row + 1, cursor.col + 1);
        let text = lines.join("\r\n");
        format!(
            "{}{place}",
            beginning(&text, bytes.saturating_sub(place.len() + 8))
        )
    }
}

pub(super) fn blank_of_size(cols: usize, rows: usize) -> String {
    let mut terminal = Terminal::new(About::default(), COLS, ROWS);
    terminal.emulator.resize(cols.max(1), rows.max(1));
    terminal.emulator.dump()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
