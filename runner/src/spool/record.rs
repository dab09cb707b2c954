//! One record of a spool: an event as it will be sent, and what is needed to judge it without reading it.
//!
//! ```text
//! u32  length of the event's JSON        all numbers little-endian
//! u32  CRC-32 (IEEE) of all that follows, header and JSON
//! u8   what it is: 0 structured, 1 terminal output, 2 the trace of output that was let go
//! u32  generation  \ its place: ascending through the whole spool
//! u64  sequence    /
//! u32  bytes of terminal output that it carries, or stands for
//! 16   the event's id (UUID)
//! ...  the event, JSON on one line
//! ```

use uuid::Uuid;

/// Bytes before the JSON.
pub(super) const HEADER: usize = 4 + 4 + 1 + 4 + 8 + 4 + 16;
/// No event is larger than 1 MiB of JSON; a length beyond this is no length.
const LONGEST: usize = 4 << 20;

/// Where an event stands among all of its run's: the generation of the producer, and the sequence in it, from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Counts the processes that produced for this session.
    pub generation: u32,
    /// Counts what this process said.
    pub seq: u64,
}

/// What the spool may do with a record when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Kept, whatever happens.
    Structured,
    /// Terminal output: what goes first.
    Output,
    /// Says what output went.
    Loss,
}

/// One event in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place.
    pub place: Place,
    /// How much it weighs against a full disk.
    pub weight: Weight,
    /// Bytes of terminal output in it, before any encoding.
    pub output_bytes: u32,
    /// The event's id.
    pub id: Uuid,
    /// The event, on one line.
    pub json: String,
}

impl Record {
    /// Bytes on disk.
    pub(super) fn length(&self) -> u64 {
        (HEADER + self.json.len()) as u64
    }

    /// Appends the record's bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&(self.json.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.push(match self.weight {
            Weight::Structured => 0,
            Weight::Output => 1,
            Weight::Loss => 2,
        });
        out.extend_from_slice(&self.place.generation.to_le_bytes());
        out.extend_from_slice(&self.place.seq.to_le_bytes());
        out.extend_from_slice(&self.output_bytes.to_le_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(self.json.as_bytes());
        let sum = crc32fast::hash(&out[start + 8..]);
        out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
    }

    /// The record at the beginning of `bytes`; `None` if it is not whole or not what was written.
    pub(super) fn decode(bytes: &[u8]) -> Option<Record> {
        let length = length_at(bytes)?;
        let bytes = bytes.get(..HEADER + length)?;
        let sum = u32::from_le_bytes(bytes[4..8].try_into().ok()?);
        if crc32fast::hash(&bytes[8..]) != sum {
            return None;
        }
        Some(Record {
            weight: match bytes[8] {
                0 => Weight::Structured,
                1 => Weight::Output,
                2 => Weight::Loss,
                _ => return None,
            },
            place: Place {
                generation: u32::from_le_bytes(bytes[9..13].try_into().ok()?),
                seq: u64::from_le_bytes(bytes[13..21].try_into().ok()?),
            },
            output_bytes: u32::from_le_bytes(bytes[21..25].try_into().ok()?),
            id: Uuid::from_slice(&bytes[25..41]).ok()?,
            json: std::str::from_utf8(&bytes[HEADER..]).ok()?.to_owned(),
        })
    }
}

/// The length of the JSON that the record beginning here says to have.
pub(super) fn length_at(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    (length <= LONGEST).then_some(length)
}
