//! Where segments end, and what is in them.

use std::collections::HashSet;

use kulti_schemas::PositionedEvent;
use kulti_session::workspace::EventTexts;
use kulti_session::{Keyframe, Workspace};
use kulti_tables::segments::{SegmentError, SegmentText};
use sha2::{Digest, Sha256};

/// Events that a segment has at least, unless it has [`MAX_BYTES`].
pub const MIN_EVENTS: i64 = 256;
/// How many times its keyframe's bytes a segment's events have at least, so that keyframes are a small part of all.
pub const KEYFRAMES: usize = 4;
/// A segment with so many bytes of events closes, however few they are: whoever seeks reads all of it.
pub const MAX_BYTES: usize = 4 << 20;

/// zstd's default: the next better ones cost a multiple for a few per cent.
const ZSTD_LEVEL: i32 = 3;

/// A segment as it is stored.
pub(super) struct PackedSegment {
    pub(super) first_position: i64,
    pub(super) last_position: Option<i64>,
    pub(super) content: Vec<u8>,
    pub(super) bytes: usize,
    pub(super) sha256: [u8; 32],
}

impl PackedSegment {
    fn pack(first_position: i64, last_position: Option<i64>, content: &[u8]) -> std::io::Result<Self> {
        Ok(PackedSegment {
            first_position,
            last_position,
            content: zstd::encode_all(content, ZSTD_LEVEL)?,
            bytes: content.len(),
            sha256: Sha256::digest(content).into(),
        })
    }

    /// A closed one opened again: its keyframe alone.
    ///
    /// # Errors
    /// If what is given is no segment's content.
    pub(super) fn open(first_position: i64, content: &[u8]) -> Result<Self, SegmentError> {
        let text = SegmentText::unpack(content)?;
        let keyframe = format!("{}\n", text.keyframe());
        Ok(Self::pack(first_position, None, keyframe.as_bytes())?)
    }
}

/// The content of a file that a keyframe names.
pub(super) struct PackedFile {
    pub(super) sha256: [u8; 32],
    pub(super) first_position: i64,
    pub(super) content: Vec<u8>,
    pub(super) bytes: usize,
}

/// The open segment of a session, and those that were closed since.
pub(super) struct SegmentBuilder {
    workspace: Workspace,
    first_position: i64,
    keyframe_bytes: usize,
    events: i64,
    /// The keyframe's line, then the events' lines.
    content: Vec<u8>,
    closed: Vec<PackedSegment>,
    files: Vec<PackedFile>,
    /// Contents of files that are stored already, or in `files`.
    stored: HashSet<String>,
}

impl SegmentBuilder {
    /// Begins after the state that the keyframe tells.
    pub(super) fn from_keyframe(keyframe: Keyframe) -> Self {
        let mut builder = SegmentBuilder {
            workspace: Workspace::from_keyframe(keyframe),
            first_position: 0,
            keyframe_bytes: 0,
            events: 0,
            content: Vec::new(),
            closed: Vec::new(),
            files: Vec::new(),
            stored: HashSet::new(),
        };
        builder.begin();
        builder
    }

    fn begin(&mut self) {
        let keyframe = self.workspace.keyframe().to_json();
        self.first_position = self.workspace.position() + 1;
        self.keyframe_bytes = keyframe.len();
        self.events = 0;
        self.content = keyframe.into_bytes();
        self.content.push(b'\n');
    }

    /// The last event that is in it.
    pub(super) fn position(&self) -> i64 {
        self.workspace.position()
    }

    /// The content of a file that the event changes, if it has to be given first.
    pub(super) fn wants(&self, event: &PositionedEvent) -> Option<String> {
        let texts = EventTexts::of(event);
        self.workspace.wants(&texts.event(event))
    }

    /// Takes the stored content of a file.
    pub(super) fn supply(&mut self, sha256: String, content: &str) {
        self.workspace.supply(content);
        self.stored.insert(sha256);
    }

    /// Adds the next event, and closes the segment if it is full.
    ///
    /// # Errors
    /// If zstd fails.
    pub(super) fn push(&mut self, event: &PositionedEvent) -> std::io::Result<()> {
        event.write_json(&mut self.content);
        self.content.push(b'\n');
        let texts = EventTexts::of(event);
        self.workspace.apply(&texts.event(event));
        self.events += 1;
        let bytes = self.events_bytes();
        if (self.events >= MIN_EVENTS && bytes >= KEYFRAMES * self.keyframe_bytes) || bytes >= MAX_BYTES {
            self.close()?;
        }
        Ok(())
    }

    fn events_bytes(&self) -> usize {
        self.content.len() - self.keyframe_bytes - 1
    }

    fn close(&mut self) -> std::io::Result<()> {
        let last_position = Some(self.position());
        self.closed.push(self.pack(last_position)?);
        self.begin();
        for file in self.workspace.files() {
            let Some(hash) = &file.sha256 else { continue };
            let Some(content) = self.workspace.content(hash) else {
                continue;
            };
            if !self.stored.insert(hash.clone()) {
                continue;
            }
            self.files.push(PackedFile {
                sha256: Sha256::digest(content.as_bytes()).into(),
                first_position: self.first_position,
                content: zstd::encode_all(content.as_bytes(), ZSTD_LEVEL)?,
                bytes: content.len(),
            });
        }
        Ok(())
    }

    fn pack(&self, last_position: Option<i64>) -> std::io::Result<PackedSegment> {
        // Of the open one, the keyframe alone is stored: its events are rows.
        let content = match last_position {
            Some(_) => self.content.as_slice(),
            None => &self.content[..=self.keyframe_bytes],
        };
        PackedSegment::pack(self.first_position, last_position, content)
    }

    /// Bytes of what was closed.
    pub(super) fn closed_bytes(&self) -> usize {
        let segments = self.closed.iter().map(|segment| segment.content.len());
        let files = self.files.iter().map(|file| file.content.len());
        segments.chain(files).sum()
    }

    /// Position at which the open segment may be full, if its events go on to be as large as they were.
    pub(super) fn may_close_at(&self) -> i64 {
        let missing_events = MIN_EVENTS - self.events;
        let missing_bytes = (KEYFRAMES * self.keyframe_bytes).saturating_sub(self.events_bytes());
        let mean = self.events_bytes() / self.events.max(1) as usize;
        let for_bytes = match self.events {
            0 => 0,
            _ => (missing_bytes / mean.max(1)) as i64,
        };
        self.position() + missing_events.max(for_bytes).max(1)
    }

    /// What was closed since this was last asked.
    pub(super) fn take_closed(&mut self) -> (Vec<PackedSegment>, Vec<PackedFile>) {
        (std::mem::take(&mut self.closed), std::mem::take(&mut self.files))
    }

    /// The one that is open.
    ///
    /// # Errors
    /// If zstd fails.
    pub(super) fn open(&self) -> std::io::Result<PackedSegment> {
        self.pack(None)
    }

    /// Everything that is to be stored: the segments that were closed and the open one behind them; nothing if none was.
    ///
    /// # Errors
    /// If zstd fails.
    pub(super) fn finish(mut self) -> std::io::Result<(Vec<PackedSegment>, Vec<PackedFile>)> {
        if !self.closed.is_empty() {
            let open = self.pack(None)?;
            self.closed.push(open);
        }
        Ok((self.closed, self.files))
    }
}
