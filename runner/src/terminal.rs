//! The user's own terminal: its size, and its keys untouched while the command runs.

use std::io::{self, IsTerminal};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::pty::Size;

/// Whether somebody sits at the keyboard and sees what is printed.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// The size of the terminal that we are in, whichever of our streams it is.
pub fn size() -> Option<Size> {
    let sizes = [
        tcgetwinsize(io::stdout()),
        tcgetwinsize(io::stdin()),
        tcgetwinsize(io::stderr()),
    ];
    sizes
        .into_iter()
        .flatten()
        .find(|size| size.ws_col > 0 && size.ws_row > 0)
        .map(|size| Size {
            cols: size.ws_col,
            rows: size.ws_row,
        })
}

/// The terminal's modes, as they were.
pub fn modes() -> Option<Termios> {
    tcgetattr(io::stdin()).ok()
}

/// While it lives, every key goes to the command as it is; then the terminal is as it was.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Of standard input.
    ///
    /// # Errors
    /// If it is no terminal.
    pub fn enter(before: Termios) -> io::Result<Self> {
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(RawMode { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no modes.
        tcsetattr(io::stdin(), OptionalActions::Drain, &self.before).ok();
    }
}
