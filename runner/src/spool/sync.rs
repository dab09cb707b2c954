//! Brings groups of writes to the disk, in a thread of its own: a slow disk holds nobody up.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Between two groups: what a power cut takes is at most this much.
const GROUP: Duration = Duration::from_millis(500);

/// Syncs what is named to it; ends when dropped.
#[derive(Debug)]
pub(super) struct Syncer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// What was written since the last group.
    pending: Mutex<Pending>,
    stop: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    files: Vec<Arc<File>>,
    folder: bool,
    stopping: bool,
}

impl Syncer {
    /// For the files of a folder.
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            pending: Mutex::default(),
            stop: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("spool-sync".to_owned())
            .spawn(move || theirs.run())?;
        Ok(Syncer { shared })
    }

    /// The file has something new.
    pub(super) fn written(&self, file: &Arc<File>) {
        let mut pending = self.shared.lock();
        if !pending.files.iter().any(|known| Arc::ptr_eq(known, file)) {
            pending.files.push(Arc::clone(file));
        }
    }

    /// The folder has a new file.
    pub(super) fn folder_changed(&self) {
        self.shared.lock().folder = true;
    }

    /// Does it now, and says how it went.
    pub(super) fn sync_now(&self) -> io::Result<()> {
        self.shared.sync()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let waited = self
                .stop
                .wait_timeout_while(self.lock(), GROUP, |pending| !pending.stopping)
                .unwrap_or_else(PoisonError::into_inner);
            let stopping = waited.0.stopping;
            drop(waited);
            if let Err(error) = self.sync() {
                tracing::warn!(%error, folder = %self.folder.display(), "the spool cannot be synced");
            }
            if stopping {
                return;
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        let (files, folder) = {
            let mut pending = self.lock();
            (
                std::mem::take(&mut pending.files),
                std::mem::take(&mut pending.folder),
            )
        };
        for file in files {
            file.sync_data()?;
        }
        if folder {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.stop.notify_all();
    }
}
