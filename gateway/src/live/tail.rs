//! The recent part of one partition in memory: every record from replay's committed offset to the end.
//!
//! Bounded in bytes over all partitions together. What the bound drops is read from Kafka by those who need it
//! (`backfill`); what replay has committed is in Postgres and is dropped here.

use std::collections::VecDeque;

use kulti_pipeline::Record;

/// One partition's recent records, oldest first.
#[derive(Debug, Default)]
pub(crate) struct PartitionTail {
    records: VecDeque<Record>,
    /// The offset behind the newest record that was seen.
    end: i64,
    /// Every record from here to `end` is held.
    start: i64,
    bytes: usize,
}

impl PartitionTail {
    /// Empty, and reading begins at `offset`.
    pub(crate) fn starting_at(offset: i64) -> Self {
        PartitionTail {
            start: offset,
            end: offset,
            ..Default::default()
        }
    }

    /// Takes the next record. Returns its size; records that were seen before are ignored (a reader that
    /// reconnects may repeat some).
    pub(crate) fn push(&mut self, record: Record) -> Option<usize> {
        if record.offset < self.end {
            return None;
        }
        self.end = record.offset + 1;
        let size = size_of_record(&record);
        self.bytes += size;
        self.records.push_back(record);
        Some(size)
    }

    /// Drops what replay has committed. Returns the bytes that became free.
    pub(crate) fn drop_projected(&mut self, next_offset: i64) -> usize {
        let before = self.bytes;
        while self
            .records
            .front()
            .is_some_and(|record| record.offset < next_offset)
        {
            self.pop();
        }
        self.start = self.start.max(next_offset.min(self.end));
        before - self.bytes
    }

    /// Drops the oldest records until at least `wanted` bytes are free. Returns how many that were.
    pub(crate) fn drop_oldest(&mut self, wanted: usize) -> usize {
        let before = self.bytes;
        while before - self.bytes < wanted && self.pop() {}
        before - self.bytes
    }

    fn pop(&mut self) -> bool {
        let Some(record) = self.records.pop_front() else {
            return false;
        };
        self.bytes -= size_of_record(&record);
        self.start = record.offset + 1;
        true
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The first offset that is held.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The session's records from `offset` on, or `Err(start)` when the bound has dropped some of them.
    pub(crate) fn records_of(&self, key: &[u8], offset: i64) -> Result<Vec<Record>, i64> {
        if offset < self.start {
            return Err(self.start);
        }
        let from = self.records.partition_point(|record| record.offset < offset);
        Ok(self
            .records
            .range(from..)
            .filter(|record| record.key.as_deref() == Some(key))
            .cloned()
            .collect())
    }
}

fn size_of_record(record: &Record) -> usize {
    let part = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len());
    part(&record.key) + part(&record.value) + size_of::<Record>()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(offset: i64, key: &'static str) -> Record {
        Record {
            partition: 0,
            offset,
            timestamp_ms: 0,
            key: Some(Bytes::from_static(key.as_bytes())),
            value: Some(Bytes::from_static(&[0; 100])),
        }
    }

    fn offsets(tail: &PartitionTail, key: &str, from: i64) -> Result<Vec<i64>, i64> {
        tail.records_of(key.as_bytes(), from)
            .map(|records| records.iter().map(|record| record.offset).collect())
    }

    #[test]
    fn a_session_gets_its_own_records_from_its_offset_on() {
        let mut tail = PartitionTail::starting_at(10);
        for (offset, key) in [(10, "a"), (11, "b"), (12, "a"), (13, "a")] {
            tail.push(record(offset, key));
        }
        assert_eq!(offsets(&tail, "a", 11), Ok(vec![12, 13]));
        assert_eq!(offsets(&tail, "a", 9), Err(10), "older than what is held");
        assert!(tail.push(record(12, "a")).is_none(), "seen before");
    }

    #[test]
    fn committed_and_dropped_records_move_the_start() {
        let mut tail = PartitionTail::starting_at(0);
        for offset in 0..10 {
            tail.push(record(offset, "a"));
        }
        tail.drop_projected(4);
        assert_eq!(tail.start(), 4);
        tail.drop_oldest(1);
        assert_eq!(tail.start(), 5);
        assert_eq!(offsets(&tail, "a", 4), Err(5));
        tail.drop_projected(100);
        assert_eq!(
            (tail.start(), tail.bytes()),
            (10, 0),
            "never beyond what was read"
        );
    }
}
