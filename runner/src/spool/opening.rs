//! Opens a spool: reads what a process left, and cuts what it did not finish writing.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Mutex;

use serde::Deserialize;
use tokio::sync::Notify;

use super::record::{Place, Record};
use super::segment::{Records, START, Segment, place_of, read_header};
use super::sync::Syncer;
use super::{CURSOR, SEGMENT_BYTES, SEGMENTS, Spool, SpoolSize, State, private_folder};
use crate::frame::Frame;

/// What was found in a spool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The last place that was used, sent or not.
    pub last: Place,
    /// The kind of the last event that is still there.
    pub last_kind: Option<String>,
    /// Bytes at the end of a file that were no whole record, and are cut.
    pub torn_bytes: u64,
    /// Bytes in the midst of the spool that cannot be read any more: a damaged disk.
    pub damaged_bytes: u64,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

impl Spool {
    /// Opens the spool of a folder, which is made if it is not there. The caller holds the folder's lock.
    ///
    /// # Errors
    /// If the folder cannot be read or written.
    pub fn open(folder: &Path, frame: Frame, limit: u64) -> io::Result<(Spool, Found)> {
        private_folder(folder)?;
        let sent = read_cursor(folder)?;
        let mut found = Found {
            last: sent,
            ..Found::default()
        };
        let mut segments = VecDeque::new();
        let mut size = SpoolSize::default();
        let places = list(folder)?;
        let mut until = Place::default();
        for (index, first) in places.iter().enumerate() {
            let path = Segment::new(*first, Place::default()).path(folder);
            if *first < until {
                // Its records are in the file before, whose process was killed before it removed this one.
                fs::remove_file(&path)?;
                continue;
            }
            let is_last = index + 1 == places.len();
            let Some(segment) = read(&path, *first, is_last, sent, (&mut found, &mut size))? else {
                fs::remove_file(&path)?;
                continue;
            };
            until = segment.until;
            size.bytes += segment.bytes;
            segments.push_back(segment);
        }
        let state = State {
            segments,
            size,
            sent,
            ..State::default()
        };
        let spool = Spool {
            folder: folder.to_owned(),
            frame,
            limit,
            segment_bytes: (limit / SEGMENTS).clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end()),
            state: Mutex::new(state),
            syncer: Syncer::start(folder)?,
            grown: Notify::new(),
        };
        Ok((spool, found))
    }
}

/// Reads a segment through; `None` if nothing in it can be used.
fn read(
    path: &Path,
    first: Place,
    is_last: bool,
    sent: Place,
    (found, size): (&mut Found, &mut SpoolSize),
) -> io::Result<Option<Segment>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let Some(mut segment) = read_header(&file, first) else {
        note_cut(found, is_last, length);
        return Ok(None);
    };
    let mut records = Records::new(&file, START, length);
    let mut last: Option<Record> = None;
    while let Some(record) = records.next()? {
        segment.count(&record);
        size.unsent += u64::from(record.place > sent);
        last = Some(record);
    }
    segment.bytes = records.at;
    note_cut(found, is_last, length - segment.bytes);
    file.set_len(segment.bytes)?;
    if let Some(last) = last {
        found.last = found.last.max(last.place);
        found.last_kind = serde_json::from_str(&last.json)
            .ok()
            .map(|event: Kind| event.kind);
    }
    Ok((segment.records > 0).then_some(segment))
}

fn note_cut(found: &mut Found, is_last: bool, bytes: u64) {
    if is_last {
        found.torn_bytes += bytes;
    } else {
        found.damaged_bytes += bytes;
    }
}

/// The places that the folder's segments begin with, in order. What a compaction did not finish is removed.
fn list(folder: &Path) -> io::Result<Vec<Place>> {
    let mut places = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        match place_of(name) {
            Some(place) => places.push(place),
            None if name.ends_with(".tmp") => fs::remove_file(folder.join(name))?,
            None => {}
        }
    }
    places.sort_unstable();
    Ok(places)
}

/// How far an earlier process got. Nothing readable means from the start: what is sent twice is there once.
fn read_cursor(folder: &Path) -> io::Result<Place> {
    let text = match fs::read_to_string(folder.join(CURSOR)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::default()),
        Err(error) => return Err(error),
    };
    let place = text.trim_end().split_once(' ').and_then(|(generation, seq)| {
        Some(Place {
            generation: generation.parse().ok()?,
            seq: seq.parse().ok()?,
        })
    });
    Ok(place.unwrap_or_default())
}

/// A file to read from, for those who only look.
pub(super) fn open_to_read(folder: &Path, segment: &Segment) -> io::Result<File> {
    File::open(segment.path(folder))
}
