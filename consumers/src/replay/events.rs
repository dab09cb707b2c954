//! The rows of `events`.

use kulti_schemas::{Event, Timestamp};

use super::copy_binary::CopyBuffer;

/// The columns in the order in which `EventRows::push` writes them.
pub(super) const COPY_EVENTS: &str = "copy events (session_id, position, event_id, agent_id, kind, source, time, \
    received, clock, producer, generation, seq, cause, attributes, data, raw, record) from stdin (format binary)";
const COLUMNS: i16 = 17;
/// About what a row takes beside its data.
const ROW_OVERHEAD: usize = 280;

/// Rows of one batch, ready for COPY.
pub(super) struct EventRows {
    copy: CopyBuffer,
}

impl EventRows {
    /// With room for these events.
    pub(super) fn for_events(events: &[Event]) -> Self {
        let data: usize = events
            .iter()
            .map(|event| event.data.get().len() + ROW_OVERHEAD)
            .sum();
        EventRows {
            copy: CopyBuffer::new(COLUMNS, data),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.copy.rows()
    }

    pub(super) fn push(&mut self, event: &Event, position: i64, clock: Timestamp) {
        let Event {
            meta,
            kind,
            data,
            raw,
            record,
        } = event;
        let copy = &mut self.copy;
        copy.begin_row();
        copy.bytes(meta.session_id.as_str().as_bytes());
        copy.bigint(position);
        copy.uuid(meta.event_id.uuid());
        copy.bytes(meta.agent_id.as_str().as_bytes());
        copy.bytes(kind.name().as_bytes());
        copy.bytes(meta.source.as_str().as_bytes());
        copy.timestamp(meta.time);
        copy.timestamp(meta.received);
        copy.timestamp(clock);
        copy.optional_bytes(meta.producer.as_deref().map(str::as_bytes));
        copy.optional_bigint(meta.generation);
        copy.optional_bigint(meta.seq);
        match meta.cause {
            Some(cause) => copy.uuid(cause.uuid()),
            None => copy.null(),
        }
        if meta.attributes.is_empty() {
            copy.null();
        } else {
            // A map of strings always has a JSON text.
            copy.bytes(&serde_json::to_vec(&meta.attributes).unwrap_or_else(|_| b"{}".to_vec()));
        }
        copy.bytes(data.get().as_bytes());
        copy.optional_bytes(raw.as_deref().map(str::as_bytes));
        copy.optional_bytes(record.as_deref());
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.copy.finish()
    }
}
