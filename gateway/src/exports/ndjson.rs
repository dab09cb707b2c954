//! NDJSON: the events byte for byte as every other route gives them.

use kulti_schemas::PositionedEvent;

use super::{Encoder, ExportError};

pub(super) struct Ndjson;

impl Encoder for Ndjson {
    fn begin(&mut self, _: &mut Vec<u8>) -> Result<(), ExportError> {
        Ok(())
    }
    fn event(&mut self, event: &PositionedEvent, out: &mut Vec<u8>) -> Result<(), ExportError> {
        event.write_json(out);
        out.push(b'\n');
        Ok(())
    }
    fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), ExportError> {
        Ok(())
    }
}
