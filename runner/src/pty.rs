//! A pseudo-terminal, and a command in it.
//!
//! Not portable-pty: that closes all descriptors above 2 in the command (`diff <(a) <(b)` would break), writes a line
//! end into the terminal when it is dropped, and gives no access to the terminal's modes.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetpgrp, tcsetattr, tcsetwinsize};

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub cols: u16,
    /// Lines.
    pub rows: u16,
}

/// Where nobody says otherwise.
impl Default for Size {
    fn default() -> Self {
        Size { cols: 80, rows: 24 }
    }
}

/// The side of a pseudo-terminal on which a terminal emulator sits: what is read from it was printed, what is
/// written to it was typed.
#[derive(Debug)]
pub struct Pty {
    master: File,
}

/// Where the command reads from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The pseudo-terminal.
    Terminal,
    /// What this process reads from: a file or a pipe stays what it is.
    Inherited,
}

impl Pty {
    /// Opens a pseudo-terminal and starts the command in it, as the leader of a session of its own whose controlling
    /// terminal it is. `modes` are those of the terminal that it stands for.
    ///
    /// # Errors
    /// If there is no pseudo-terminal, or the command cannot be started; of a command that is not there, `NotFound`.
    pub fn spawn(
        mut command: Command,
        size: Size,
        modes: Option<&Termios>,
        input: Input,
    ) -> io::Result<(Pty, Child)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave: OwnedFd = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits() as i32)
            .open(OsStr::from_bytes(name.as_bytes()))?
            .into();
        if let Some(modes) = modes {
            tcsetattr(&slave, OptionalActions::Now, modes)?;
        }
        let pty = Pty {
            master: File::from(master),
        };
        pty.resize(size)?;
        if input == Input::Terminal {
            command.stdin(Stdio::from(slave.try_clone()?));
        }
        command.stdout(Stdio::from(slave.try_clone()?));
        command.stderr(Stdio::from(slave));
        lead_a_session(&mut command);
        let child = command.spawn()?;
        // `command` goes here, and with it our ends of the command's side: else reading would never end.
        Ok((pty, child))
    }

    /// The terminal has another size; the command hears of it.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        let size = Winsize {
            ws_col: size.cols,
            ws_row: size.rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(tcsetwinsize(&self.master, size)?)
    }

    /// To read what is printed; reading ends with an error of the system (EIO) or nothing when the command has gone.
    ///
    /// # Errors
    /// If the system has no descriptor left.
    pub fn output(&self) -> io::Result<File> {
        self.master.try_clone()
    }

    /// To write what is typed.
    ///
    /// # Errors
    /// If the system has no descriptor left.
    pub fn keyboard(&self) -> io::Result<File> {
        self.master.try_clone()
    }

    /// Sends a signal to what is in the foreground of the terminal, as its keys do.
    pub fn signal_foreground(&self, signal: Signal) {
        if let Ok(group) = tcgetpgrp(&self.master) {
            // It may have gone by now.
            rustix::process::kill_process_group(group, signal).ok();
        }
    }
}

/// Sends a signal to the command itself.
pub fn signal_command(child: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(child).ok().and_then(Pid::from_raw) {
        // It may have gone by now.
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// Between fork and exec: a new session, with standard output as its controlling terminal.
#[expect(
    unsafe_code,
    reason = "std has no other way to run something between fork and exec"
)]
fn lead_a_session(command: &mut Command) {
    // SAFETY: only two system calls, made without libc's state, memory or locks.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdout())?;
            Ok(())
        });
    }
}
