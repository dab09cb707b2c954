//! A session as one HTML file that plays by itself: the events, the fold as WebAssembly, and a player. It loads nothing and
//! may not: its own policy forbids every connection.

mod page;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use kulti_schemas::PositionedEvent;
use kulti_session::Keyframe;

use super::{Encoder, ExportError};
use crate::problem::{Code, Problem};
use crate::store::SessionRow;

/// Base64 turns these many bytes into text without padding.
const GROUP: usize = 3;

/// Encodes the page.
pub(super) struct Html {
    head: Vec<u8>,
    events: GzEncoder<Vec<u8>>,
}

impl Html {
    /// `start` is the state before the first event, if that is not the session's first.
    pub(super) fn new(session: &SessionRow, start: Option<&Keyframe>) -> Result<Self, Problem> {
        let fold = page::fold().ok_or_else(|| {
            let detail = "this server was built without HTML exports: `dev/wasm` builds what they need";
            Problem::new(Code::NotBuilt, detail)
        })?;
        let title = [&session.title, &session.task].into_iter().flatten().next();
        let start = start.map(Keyframe::to_json).unwrap_or_default();
        Ok(Html {
            head: page::head(title.unwrap_or(&session.id), fold, &start),
            events: GzEncoder::new(Vec::new(), Compression::default()),
        })
    }

    /// Writes what was compressed so far, but for the rest of a group.
    fn drain(&mut self, out: &mut Vec<u8>) {
        let compressed = self.events.get_mut();
        let whole = compressed.len() - compressed.len() % GROUP;
        out.extend_from_slice(page::base64(&compressed[..whole]).as_bytes());
        compressed.drain(..whole);
    }
}

impl Encoder for Html {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        out.append(&mut self.head);
        Ok(())
    }

    fn event(&mut self, event: &PositionedEvent, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let mut line = Vec::new();
        event.write_json(&mut line);
        line.push(b'\n');
        self.events.write_all(&line).map_err(|_| ExportError::Encoder)?;
        self.drain(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.events.try_finish().map_err(|_| ExportError::Encoder)?;
        out.extend_from_slice(page::base64(self.events.get_ref()).as_bytes());
        out.extend_from_slice(page::end().as_bytes());
        Ok(())
    }
}
