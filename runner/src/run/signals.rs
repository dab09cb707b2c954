//! Signals that come to us and are the command's.

use std::convert::Infallible;
use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::pty::{Pty, Size, signal_command};
use crate::recorder::Recorder;
use crate::terminal;

/// Listens; while it lives none of them ends us.
pub(super) struct Signals {
    resized: Stream,
    interrupt: Stream,
    quit: Stream,
    terminate: Stream,
    hang_up: Stream,
    user_1: Stream,
    user_2: Stream,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Signals {
            resized: signal(SignalKind::window_change())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Passes them on. What a key would have sent goes to what is in the foreground; the rest to the command.
    pub(super) async fn forward(
        mut self,
        pty: &Pty,
        command: u32,
        recorder: &Recorder,
        size: Size,
    ) -> Infallible {
        let mut size = Some(size);
        loop {
            // Also before the first signal: the window may have changed since the command was started.
            let now = terminal::size();
            if now.is_some() && now != size {
                size = now;
                resize(pty, recorder, now.unwrap_or_default());
            }
            tokio::select! {
                _ = self.resized.recv() => {}
                _ = self.interrupt.recv() => pty.signal_foreground(Signal::INT),
                _ = self.quit.recv() => pty.signal_foreground(Signal::QUIT),
                _ = self.hang_up.recv() => {
                    pty.signal_foreground(Signal::HUP);
                    signal_command(command, Signal::HUP);
                }
                _ = self.terminate.recv() => signal_command(command, Signal::TERM),
                _ = self.user_1.recv() => signal_command(command, Signal::USR1),
                _ = self.user_2.recv() => signal_command(command, Signal::USR2),
            }
        }
    }
}

/// What was printed before is recorded first; what the command draws for the new size comes after.
fn resize(pty: &Pty, recorder: &Recorder, size: Size) {
    recorder.resized(size);
    if let Err(error) = pty.resize(size) {
        tracing::debug!(%error, "the terminal of a command that has ended is not resized");
    }
}
