//! A file of records, named after the place of its first: `0000000001-00000000000000000042.seg`.
//!
//! It begins with `KULTISP1`, then the place before which all is in here (u32, u64; zero while it is written to), so
//! that a file that took in its successor is told from one that did not, whenever the process was killed; then the
//! CRC-32 of these.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{HEADER, Place, Record, Weight, length_at};

const MAGIC: &[u8; 8] = b"KULTISP1";
pub(super) const START: u64 = 8 + 4 + 8 + 4;
/// Read at once.
const CHUNK: usize = 1 << 20;

/// What is known of a segment without reading it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) first: Place,
    /// The place before which everything from `first` on is in here; only set by compaction.
    pub(super) until: Place,
    /// Bytes of the file that count.
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Records of terminal output.
    pub(super) outputs: u64,
    /// Traces of output that went.
    pub(super) traces: u64,
}

impl Segment {
    pub(super) fn new(first: Place, until: Place) -> Self {
        Segment {
            first,
            until,
            bytes: START,
            records: 0,
            outputs: 0,
            traces: 0,
        }
    }

    /// Counts a record that is in it.
    pub(super) fn count(&mut self, record: &Record) {
        self.records += 1;
        self.outputs += u64::from(record.weight == Weight::Output);
        self.traces += u64::from(record.weight == Weight::Loss);
    }

    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        let Place { generation, seq } = self.first;
        folder.join(format!("{generation:010}-{seq:020}.seg"))
    }

    /// The first bytes of its file.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.until.generation.to_le_bytes());
        bytes.extend_from_slice(&self.until.seq.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Makes its file, empty but for the header.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all_at(&self.header(), 0)?;
        Ok(file)
    }
}

/// Reads the header of the file whose name says that it begins with `first`.
pub(super) fn read_header(file: &File, first: Place) -> Option<Segment> {
    let mut bytes = [0; START as usize];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let sum = u32::from_le_bytes(bytes[20..24].try_into().ok()?);
    if &bytes[..8] != MAGIC || crc32fast::hash(&bytes[..20]) != sum {
        return None;
    }
    let until = Place {
        generation: u32::from_le_bytes(bytes[8..12].try_into().ok()?),
        seq: u64::from_le_bytes(bytes[12..20].try_into().ok()?),
    };
    Some(Segment::new(first, until))
}

/// The place that a segment's name says.
pub(super) fn place_of(name: &str) -> Option<Place> {
    let (generation, seq) = name.strip_suffix(".seg")?.split_once('-')?;
    Some(Place {
        generation: generation.parse().ok()?,
        seq: seq.parse().ok()?,
    })
}

/// Reads records one after the other, in a bounded buffer.
pub(super) struct Records<'a> {
    file: &'a File,
    /// Where the next record begins.
    pub(super) at: u64,
    /// Nothing beyond it is read.
    end: u64,
    buffer: Vec<u8>,
    /// Where `buffer` begins in the file.
    buffered_at: u64,
}

impl<'a> Records<'a> {
    pub(super) fn new(file: &'a File, at: u64, end: u64) -> Self {
        Records {
            file,
            at,
            end,
            buffer: Vec::new(),
            buffered_at: at,
        }
    }

    /// The next whole record; `None` at the end, or where the bytes are not what was written.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(header) = self.bytes(HEADER)? else {
            return Ok(None);
        };
        let Some(length) = length_at(header) else {
            return Ok(None);
        };
        let Some(bytes) = self.bytes(HEADER + length)? else {
            return Ok(None);
        };
        let record = Record::decode(bytes);
        if let Some(record) = &record {
            self.at += record.length();
        }
        Ok(record)
    }

    /// So many bytes from where the next record begins.
    fn bytes(&mut self, length: usize) -> io::Result<Option<&[u8]>> {
        if self.at + length as u64 > self.end {
            return Ok(None);
        }
        let buffered_until = self.buffered_at + self.buffer.len() as u64;
        if self.at + length as u64 > buffered_until {
            let wanted = length.max(CHUNK).min((self.end - self.at) as usize);
            self.buffer.resize(wanted, 0);
            self.file.read_exact_at(&mut self.buffer, self.at)?;
            self.buffered_at = self.at;
        }
        let start = (self.at - self.buffered_at) as usize;
        Ok(Some(&self.buffer[start..start + length]))
    }
}
