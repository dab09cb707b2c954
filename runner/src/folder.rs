//! The folders of runs in the user's state folder: one a session, for its owner alone.
//!
//! `run.json` says what the run is and how far it has come, `status.json` how the sending goes, `log` what a run in
//! the background complained of; the spool's files are beside them. Whoever works in a folder holds its lock; the
//! system lets go of it when the process is killed, so that the next one can tell.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::frame::Frame;
use crate::spool::{Durability, SpoolSize, private_folder, replace_file};
use crate::upload::Sent;

/// Finished runs are kept this long, so that they can be gone on with.
const KEPT: TimeDelta = TimeDelta::days(30);

/// A run, as its folder tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Whose events they are.
    #[serde(flatten)]
    pub frame: Frame,
    /// Of the last process that produced for it.
    pub generation: u32,
    /// The server that they go to.
    pub url: String,
    /// The command and its arguments, without secrets.
    pub command: Vec<String>,
    /// Where it ran.
    pub folder: PathBuf,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The process that records, or recorded it last.
    pub pid: u32,
    /// The tool's own name for its session, to go on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_session: Option<String>,
    /// Everything is said and sent.
    #[serde(default)]
    pub finished: bool,
}

/// How a run's sending goes, for those who ask.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusFile {
    /// Bytes on disk that are still to be sent, and what was sent before in the same files.
    pub spool_bytes: u64,
    /// Events that are still to be sent.
    pub unsent: u64,
    /// Events of terminal output that were let go for lack of room.
    pub let_go: u64,
    /// What was sent, and what stands in the way.
    #[serde(flatten)]
    pub sent: Sent,
}

impl StatusFile {
    /// Of these.
    pub fn of(size: SpoolSize, sent: Sent) -> Self {
        StatusFile {
            spool_bytes: size.bytes,
            unsent: size.unsent,
            let_go: size.let_go,
            sent,
        }
    }
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

/// Held by the process that works in a folder.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunFolder {
    /// Of a session, below the folder of all runs.
    pub fn of(runs: &Path, session: &str) -> Self {
        RunFolder {
            path: runs.join(session),
        }
    }

    /// All that are there, the oldest first.
    ///
    /// # Errors
    /// If the folder of all runs cannot be read; that it is not there is no error.
    pub fn all(runs: &Path) -> io::Result<Vec<RunFolder>> {
        let entries = match fs::read_dir(runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut folders = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.join("run.json").exists() {
                folders.push(RunFolder { path });
            }
        }
        folders.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(folders)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a run in the background complains.
    pub fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Settings that the run's tool is given.
    pub fn tool_settings(&self) -> PathBuf {
        self.path.join("tool-settings.json")
    }

    /// Makes the folder if need be, and takes its lock; `None` if another process has it.
    ///
    /// # Errors
    /// If the folder cannot be made or written.
    pub fn lock(&self) -> io::Result<Option<RunLock>> {
        private_folder(&self.path)?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(RunLock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the run is.
    ///
    /// # Errors
    /// If the file is not there or broken.
    pub fn read(&self) -> io::Result<RunFile> {
        read_json(&self.path.join("run.json"))
    }

    /// Says what the run is.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write(&self, run: &RunFile) -> io::Result<()> {
        replace_file(
            &self.path.join("run.json"),
            &serde_json::to_vec_pretty(run)?,
            Durability::Synced,
        )
    }

    /// How the sending went when somebody last looked.
    pub fn status(&self) -> StatusFile {
        read_json(&self.path.join("status.json")).unwrap_or_default()
    }

    /// Says how the sending goes.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write_status(&self, status: &StatusFile) -> io::Result<()> {
        replace_file(
            &self.path.join("status.json"),
            &serde_json::to_vec(status)?,
            Durability::Lazy,
        )
    }

    /// Everything is sent: only what is needed to go on with it stays.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn finish(&self, mut run: RunFile, status: &StatusFile) -> io::Result<()> {
        run.finished = true;
        self.write(&run)?;
        self.write_status(&StatusFile {
            spool_bytes: 0,
            ..status.clone()
        })?;
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "seg") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Removes it if it has been finished for long.
    pub fn forget_if_old(&self, now: DateTime<Utc>) {
        if self
            .read()
            .is_ok_and(|run| run.finished && now - run.started_at > KEPT)
        {
            // Next time, then.
            fs::remove_dir_all(&self.path).ok();
        }
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<T> {
    let bytes = fs::read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is broken: {error}", path.display()),
        )
    })
}
