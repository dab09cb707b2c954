//! A socket for hooks that the tool calls. A hook's command hands its input over and is answered by the end of the
//! connection, once the input is in line: the tool goes on in the order in which it is recorded.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tempfile::TempDir;

use super::records::Teller;

/// A hook that hands over nothing for so long has hung.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a hook may say: a tool's result can be large.
const LONGEST: u64 = 32 << 20;
const NAME: &str = "hooks";

/// Where hooks are heard, before anybody listens.
#[derive(Debug)]
pub(crate) struct HookSocket {
    listener: UnixListener,
    /// For this user alone, and removed with it.
    folder: TempDir,
}

impl HookSocket {
    /// In a folder of its own: a run's folder may have a name that is too long for a socket.
    ///
    /// # Errors
    /// If there is no place for temporary files.
    pub(crate) fn open() -> io::Result<HookSocket> {
        let folder = tempfile::Builder::new().prefix("kulti-").tempdir()?;
        let listener = UnixListener::bind(folder.path().join(NAME))?;
        listener.set_nonblocking(true)?;
        Ok(HookSocket { listener, folder })
    }

    /// For the hooks' commands.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Hands what hooks say to the teller, until the end of what this gives.
    ///
    /// # Errors
    /// If there is no thread or descriptor left.
    pub(crate) fn listen(self, teller: Teller) -> io::Result<Listening> {
        let (stopped, stop) = io::pipe()?;
        let thread = std::thread::Builder::new()
            .name("hooks".to_owned())
            .spawn(move || self.accept(&teller, &stopped))?;
        Ok(Listening {
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    fn accept(self, teller: &Teller, stopped: &PipeReader) {
        loop {
            let mut ready = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::new(stopped, PollFlags::IN),
            ];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) if ready[0].revents().is_empty() => return,
                Ok(_) => {}
            }
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = hear(&stream, teller) {
                        tracing::warn!(%error, "a hook broke off");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    tracing::warn!(%error, "hooks are not heard any more");
                    return;
                }
            }
        }
    }
}

fn hear(stream: &UnixStream, teller: &Teller) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut said = Vec::new();
    stream.take(LONGEST).read_to_end(&mut said)?;
    teller.hook(said);
    Ok(())
}

/// The thread that listens; what waits when it is dropped is still heard.
#[derive(Debug)]
pub(crate) struct Listening {
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only ends early by a panic, which was printed.
            thread.join().ok();
        }
    }
}

/// The other side: hands what a hook is given to whoever listens at the socket.
///
/// # Errors
/// If nobody listens, or does not take it in time.
pub fn relay(socket: &Path, mut input: impl Read) -> io::Result<()> {
    let mut said = Vec::new();
    input.read_to_end(&mut said)?;
    let mut stream = UnixStream::connect(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    io::Write::write_all(&mut stream, &said)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    // The end of the connection says that it was heard.
    stream.read_to_end(&mut said)?;
    Ok(())
}
