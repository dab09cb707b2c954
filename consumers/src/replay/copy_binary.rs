//! Postgres' binary COPY format, written by hand into one buffer: a future or an allocation per row would cost more
//! than the row.

use kulti_schemas::Timestamp;
use uuid::Uuid;

/// Signature, flags and length of the header's extension.
const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// From 1970 to 2000, where Postgres counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Rows of one COPY.
pub(super) struct CopyBuffer {
    bytes: Vec<u8>,
    columns: i16,
    rows: u64,
}

impl CopyBuffer {
    pub(super) fn new(columns: i16, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(HEADER);
        CopyBuffer {
            bytes,
            columns,
            rows: 0,
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Begins a row; as many values as there are columns must follow.
    pub(super) fn begin_row(&mut self) {
        self.rows += 1;
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
    }

    pub(super) fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// `text`, `json` and `bytea` alike are their bytes.
    pub(super) fn bytes(&mut self, value: &[u8]) {
        // An event is at most 2 MiB.
        self.bytes.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    pub(super) fn optional_bytes(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bytes(value),
            None => self.null(),
        }
    }

    pub(super) fn bigint(&mut self, value: i64) {
        self.bytes.extend_from_slice(&8_i32.to_be_bytes());
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    pub(super) fn optional_bigint(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.bigint(value),
            None => self.null(),
        }
    }

    pub(super) fn uuid(&mut self, value: Uuid) {
        self.bytes.extend_from_slice(&16_i32.to_be_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
    }

    pub(super) fn timestamp(&mut self, value: Timestamp) {
        self.bigint(value.0.saturating_sub(POSTGRES_EPOCH_MICROS));
    }

    /// Ends the last row; the whole COPY.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_format_of_the_manual() {
        let mut copy = CopyBuffer::new(3, 0);
        copy.begin_row();
        copy.timestamp(Timestamp(POSTGRES_EPOCH_MICROS + 1));
        copy.bytes(b"ab");
        copy.null();
        let mut expected = HEADER.to_vec();
        expected.extend_from_slice(&[0, 3, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
        expected.extend_from_slice(&[0, 0, 0, 2, b'a', b'b', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(copy.rows(), 1);
        assert_eq!(copy.finish(), expected);
    }
}
