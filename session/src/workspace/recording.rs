//! What a terminal shows from a moment on, to be played by another emulator: recordings and live terminals.

use super::event::FoldEvent;
use super::feed::{TerminalChange, TerminalFeed, terminal_of};
use super::generations::Generations;
use super::terminal::NAME_BYTES;
use super::window::beginning;

/// A terminal at a moment, and what events do to it from there. Another emulator that is set to [`Self::size`] and fed
/// [`Self::screen`] and then each change shows what the fold shows.
#[derive(Debug, Clone)]
pub struct TerminalRecording {
    pub(super) name: String,
    pub(super) cols: usize,
    pub(super) rows: usize,
    pub(super) screen: String,
    pub(super) feed: TerminalFeed,
    pub(super) generations: Generations,
    pub(super) position: i64,
}

impl TerminalRecording {
    /// Of a terminal that nothing was written to, from a session's first event on.
    pub fn new(name: &str) -> Self {
        TerminalRecording {
            name: beginning(name, NAME_BYTES).to_owned(),
            cols: super::terminal::COLS,
            rows: super::terminal::ROWS,
            screen: String::new(),
            feed: TerminalFeed::default(),
            generations: Generations::default(),
            position: 0,
        }
    }

    /// Columns and rows at the beginning.
    pub fn size(&self) -> (usize, usize) {
        (self.cols, self.rows)
    }

    /// Escape sequences that bring a new terminal to what this one shows at the beginning.
    pub fn screen(&self) -> &str {
        &self.screen
    }

    /// Escape sequences that bring a new terminal of this size to one of the size that terminals begin with and that was
    /// resized before anything was written to it: their tab stops differ.
    pub fn blank_of_size(cols: usize, rows: usize) -> String {
        super::terminal::blank_of_size(cols, rows)
    }

    /// What the next event, of any kind, does to this terminal.
    pub fn change(&mut self, event: &FoldEvent<'_>) -> Option<TerminalChange> {
        if event.position <= self.position {
            return None;
        }
        self.position = event.position;
        if self.generations.is_superseded(event) {
            return None;
        }
        terminal_of(event).filter(|name| beginning(name, NAME_BYTES) == self.name)?;
        self.feed.change(event)
    }
}
