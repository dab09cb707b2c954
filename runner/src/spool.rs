//! What a run said and the server does not have yet, on disk.
//!
//! Between a command and the network, so that neither waits for the other: appending is a write to the page cache,
//! and a thread syncs groups of writes twice a second. What a killed process wrote is there; what the power took is
//! at most the last half second. Records are in files of at most 8 MiB (`segment.rs`) that are deleted once they are
//! sent. When there is no room, the oldest unsent terminal output goes, and one `error` event says so
//! (`compaction.rs`); structured events are always kept.
//!
//! One process at a time has a spool open: whoever holds the lock of its folder.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use self::loss::Loss;
pub use self::opening::Found;
pub use self::record::{Place, Record, Weight};
use self::segment::{Records, START, Segment};
use self::sync::Syncer;
use crate::frame::Frame;

mod compaction;
mod loss;
mod opening;
mod record;
mod segment;
mod sync;
#[cfg(test)]
mod tests;

/// Bytes of a spool unless somebody says otherwise.
pub const DEFAULT_LIMIT: u64 = 1 << 30;
/// Files of a full spool: what is let go at once is at most one of them.
const SEGMENTS: u64 = 64;
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=8 << 20;
/// Structured events that wait in memory while the disk takes nothing.
const BACKLOG_BYTES: usize = 4 << 20;
const CURSOR: &str = "sent";

/// How full it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpoolSize {
    /// Bytes on disk.
    pub bytes: u64,
    /// Events that are still to be sent.
    pub unsent: u64,
    /// Events of terminal output that were let go for lack of room, by this process.
    pub let_go: u64,
}

/// Events that are to be sent together.
#[derive(Debug, Default)]
pub struct Batch {
    /// In order; none if everything is sent.
    pub records: Vec<Record>,
    /// For `confirm`.
    pub end: BatchEnd,
}

/// How far a batch reaches.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchEnd {
    place: Place,
    events: u64,
    bytes: u64,
}

/// Events on disk, in order. All methods may be called from any thread.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    frame: Frame,
    limit: u64,
    segment_bytes: u64,
    /// Protects the files' ends and who reads where. Held for one write, one read, or the rewriting of one segment.
    state: Mutex<State>,
    syncer: Syncer,
    grown: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first. The reader is in the first, the writer in the last.
    segments: VecDeque<Segment>,
    reader: Option<Reader>,
    writer: Option<Arc<File>>,
    size: SpoolSize,
    /// Everything up to here is sent.
    sent: Place,
    /// What the disk did not take.
    backlog: Backlog,
}

/// Where sending goes on: in the first segment.
#[derive(Debug)]
struct Reader {
    file: File,
    at: u64,
}

#[derive(Debug, Default)]
struct Backlog {
    records: Vec<Record>,
    bytes: usize,
    loss: Option<Loss>,
}

impl Spool {
    /// Appends; never waits for the network, and gives no error: what the disk does not take is kept in memory if it
    /// is structured, and otherwise counted and said as soon as the disk takes something again.
    ///
    /// Places must ascend.
    pub fn append(&self, record: Record) {
        let mut state = self.lock();
        state.size.unsent += 1;
        state.keep(record);
        if let Err(error) = self.write_backlog(&mut state) {
            tracing::warn!(%error, folder = %self.folder.display(), "the spool cannot be written");
        }
        if state.size.bytes > self.limit
            && let Err(error) = self.make_room(&mut state)
        {
            tracing::warn!(%error, folder = %self.folder.display(), "the spool cannot be shortened");
        }
        drop(state);
        self.grown.notify_one();
    }

    /// The next records to send, at most so many and so many bytes of JSON, but at least one if there is any. They
    /// stay until `confirm`.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn next_batch(&self, events: usize, bytes: usize) -> io::Result<Batch> {
        let mut state = self.lock();
        loop {
            let Some(segment) = state.segments.front().cloned() else {
                return Ok(Batch::default());
            };
            if state.reader.is_none() {
                let file = File::open(segment.path(&self.folder))?;
                state.reader = Some(Reader { file, at: START });
            }
            let sent = state.sent;
            let Some(reader) = &mut state.reader else {
                return Ok(Batch::default());
            };
            let mut records = Records::new(&reader.file, reader.at, segment.bytes);
            let (mut batch, mut length) = (Batch::default(), 0);
            while batch.records.len() < events && length < bytes {
                let before = records.at;
                match records.next()? {
                    // Only after a restart: the cursor is in the midst of a segment.
                    Some(record) if record.place <= sent && batch.records.is_empty() => {
                        reader.at = records.at
                    }
                    Some(record) if batch.records.is_empty() || length + record.json.len() <= bytes => {
                        length += record.json.len();
                        batch.end.place = record.place;
                        batch.end.bytes += record.length();
                        batch.end.events += 1;
                        batch.records.push(record);
                    }
                    Some(_) => {
                        records.at = before;
                        break;
                    }
                    None => break,
                }
            }
            if !batch.records.is_empty() || state.segments.len() == 1 {
                return Ok(batch);
            }
            self.remove_first(&mut state)?;
        }
    }

    /// The batch is decided about: it will not be given again.
    ///
    /// # Errors
    /// If the disk cannot be written; it is sent once more after a restart then, which changes nothing.
    pub fn confirm(&self, batch: BatchEnd) -> io::Result<()> {
        let mut state = self.lock();
        state.sent = batch.place;
        state.size.unsent = state.size.unsent.saturating_sub(batch.events);
        if let Some(reader) = &mut state.reader {
            reader.at += batch.bytes;
        }
        let is_read = matches!((&state.reader, state.segments.front()), (Some(reader), Some(first)) if reader.at >= first.bytes);
        // The last one is written to until it is full.
        if is_read && (state.segments.len() > 1 || state.segments[0].bytes >= self.segment_bytes) {
            self.remove_first(&mut state)?;
        }
        let Place { generation, seq } = state.sent;
        replace_file(
            &self.folder.join(CURSOR),
            format!("{generation} {seq}\n").as_bytes(),
            Durability::Lazy,
        )
    }

    /// How full it is.
    pub fn size(&self) -> SpoolSize {
        self.lock().size
    }

    /// Waits until something was appended since the last call.
    pub async fn grown(&self) {
        self.grown.notified().await;
    }

    /// Brings everything that was appended to the disk.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        self.write_backlog(&mut state)?;
        drop(state);
        self.syncer.sync_now()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held left at worst a length that was not counted up; the files tell.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits in memory, usually one record.
    fn write_backlog(&self, state: &mut State) -> io::Result<()> {
        if let Some(loss) = state.backlog.loss.take() {
            let record = loss.record(&self.frame);
            if let Err(error) = self.write(state, &record) {
                state.backlog.loss = Some(loss);
                return Err(error);
            }
            state.size.unsent += 1;
        }
        let records = std::mem::take(&mut state.backlog.records);
        state.backlog.bytes = 0;
        let mut rest = records.into_iter();
        while let Some(record) = rest.next() {
            if let Err(error) = self.write(state, &record) {
                state.keep(record);
                rest.for_each(|record| state.keep(record));
                state.let_output_go();
                return Err(error);
            }
        }
        Ok(())
    }

    fn write(&self, state: &mut State, record: &Record) -> io::Result<()> {
        let is_full = state
            .segments
            .back()
            .is_some_and(|last| last.bytes >= self.segment_bytes);
        if is_full {
            state.writer = None;
        }
        let file = match &state.writer {
            Some(file) => Arc::clone(file),
            None => self.open_segment(state, record.place)?,
        };
        let Some(segment) = state.segments.back_mut() else {
            return Err(io::Error::other("a writer without a segment"));
        };
        let mut bytes = Vec::with_capacity(record.length() as usize);
        record.encode(&mut bytes);
        // At the end of what counts: what a write that failed half-way left is written over.
        file.write_all_at(&bytes, segment.bytes)?;
        segment.bytes += record.length();
        segment.count(record);
        state.size.bytes += record.length();
        self.syncer.written(&file);
        Ok(())
    }

    fn open_segment(&self, state: &mut State, first: Place) -> io::Result<Arc<File>> {
        let segment = Segment::new(first, Place::default());
        let file = Arc::new(segment.create(&segment.path(&self.folder))?);
        state.size.bytes += segment.bytes;
        state.segments.push_back(segment);
        state.writer = Some(Arc::clone(&file));
        self.syncer.folder_changed();
        Ok(file)
    }

    fn remove_first(&self, state: &mut State) -> io::Result<()> {
        let Some(first) = state.segments.pop_front() else {
            return Ok(());
        };
        state.reader = None;
        if state.segments.is_empty() {
            state.writer = None;
        }
        state.size.bytes = state.size.bytes.saturating_sub(first.bytes);
        fs::remove_file(first.path(&self.folder))
    }
}

impl State {
    /// Keeps the record in memory until it is written.
    fn keep(&mut self, record: Record) {
        self.backlog.bytes += record.json.len();
        self.backlog.records.push(record);
    }

    /// The disk takes nothing: terminal output is counted instead of kept, and so is all that is too much.
    fn let_output_go(&mut self) {
        let records = std::mem::take(&mut self.backlog.records);
        self.backlog.bytes = 0;
        for record in records {
            let is_kept =
                record.weight != Weight::Output && self.backlog.bytes + record.json.len() <= BACKLOG_BYTES;
            if is_kept {
                self.keep(record);
                continue;
            }
            self.size.unsent = self.size.unsent.saturating_sub(1);
            self.size.let_go += 1;
            let loss = Loss::of(&record);
            self.backlog.loss = match self.backlog.loss {
                Some(earlier) => earlier.with(loss).or(Some(earlier)),
                None => Some(loss),
            };
        }
    }
}

/// Whether a file must be on the disk before it takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It must: what it replaces cannot be made again.
    Synced,
    /// After a power cut an older one will do.
    Lazy,
}

/// Writes beside the file and renames, so that there is always a whole one.
pub(crate) fn replace_file(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all_at(bytes, 0)?;
    if durability == Durability::Synced {
        file.sync_data()?;
    }
    fs::rename(&beside, path)
}

/// Makes a folder that only its owner can look into.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
