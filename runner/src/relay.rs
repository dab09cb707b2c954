//! Passes everything between the user's terminal and the command's, unchanged, each direction in a thread of its own.

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, Read, Write};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};

use crate::tool::tap::Printed;

const CHUNK: usize = 64 << 10;

/// Where the command's output goes, besides being recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A terminal, or nothing that cares: byte for byte.
    Terminal,
    /// A file or pipe: lines end as the command ended them, not as a terminal would.
    Plain,
    /// Nobody looks.
    Nowhere,
}

/// Reads what the command prints until its terminal closes: first to the screen, then to whoever records. `gone` is
/// called once if whoever read our output has gone.
pub fn relay_output(
    mut output: File,
    screen: Screen,
    mut printed: Printed,
    gone: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("relay-output".to_owned())
        .spawn(move || {
            let mut gone = Some(gone);
            let mut lines = PlainLines::default();
            let mut buffer = vec![0; CHUNK];
            loop {
                let length = match output.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    // EIO: nobody has the other side open any more.
                    Err(_) => break,
                };
                let chunk = &buffer[..length];
                if gone.is_some() {
                    let shown = match screen {
                        Screen::Terminal => show(chunk),
                        Screen::Plain => show(&lines.of(chunk)),
                        Screen::Nowhere => Ok(()),
                    };
                    if shown.is_err()
                        && let Some(gone) = gone.take()
                    {
                        gone();
                    }
                }
                printed.chunk(chunk);
            }
            printed.end();
            if gone.is_some() && screen == Screen::Plain {
                // Nothing can be done about a reader who went last.
                show(&lines.rest()).ok();
            }
        })
}

fn show(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Undoes what a terminal does to line ends (`ONLCR`), over chunks that end anywhere.
#[derive(Debug, Default)]
struct PlainLines {
    /// The last byte was a carriage return, which may belong to a line end.
    held: bool,
}

impl PlainLines {
    fn of(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len() + 1);
        for byte in chunk {
            if self.held && *byte != b'\n' {
                out.push(b'\r');
            }
            self.held = *byte == b'\r';
            if !self.held {
                out.push(*byte);
            }
        }
        out
    }

    fn rest(&mut self) -> Vec<u8> {
        if std::mem::take(&mut self.held) {
            vec![b'\r']
        } else {
            Vec::new()
        }
    }
}

/// Passes what is typed to the command, until `stop` closes: what is typed after the command has ended is left for
/// whoever reads the terminal next.
pub fn relay_input(mut keyboard: File, stop: PipeReader) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("relay-input".to_owned())
        .spawn(move || {
            let mut buffer = vec![0; CHUNK];
            loop {
                let stdin = io::stdin();
                let mut ready = [
                    PollFd::new(&stdin, PollFlags::IN),
                    PollFd::new(&stop, PollFlags::IN),
                ];
                match poll(&mut ready, None) {
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(_) => return,
                    Ok(_) if !ready[1].revents().is_empty() => return,
                    Ok(_) => {}
                }
                // Past std's buffer, which would take more than is passed on.
                match rustix::io::read(&stdin, &mut buffer[..]) {
                    Ok(0) => return,
                    Ok(length) if keyboard.write_all(&buffer[..length]).is_err() => return,
                    Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) | Ok(_) => {}
                    Err(_) => return,
                }
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_the_line_ends_that_the_command_wrote_wherever_chunks_end() {
        let printed = b"a\r\nb\rc\r\r\n\r\n\r";
        for cut in 0..=printed.len() {
            let mut lines = PlainLines::default();
            let mut out = lines.of(&printed[..cut]);
            out.extend(lines.of(&printed[cut..]));
            out.extend(lines.rest());
            assert_eq!(out, b"a\nb\rc\r\n\n\r", "cut at {cut}");
        }
    }
}
