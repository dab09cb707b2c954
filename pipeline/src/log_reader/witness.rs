//! After an outage: is the log still the one that was read?
//!
//! A broker that comes back with an older volume has the same topic id and perhaps, by then, other records where we
//! stand. So each partition's last record is remembered, and read again before the first one after an outage is used.

use std::collections::{BTreeMap, BTreeSet};

use super::LogProbe;
use crate::config::KafkaConfig;
use crate::{Record, RecordFingerprint};

/// What was told last of each partition, and which of them must be looked at again.
pub(super) struct Witness {
    config: KafkaConfig,
    topic: String,
    last: BTreeMap<i32, (i64, RecordFingerprint)>,
    doubted: BTreeSet<i32>,
}

impl Witness {
    pub(super) fn new(config: &KafkaConfig, topic: &str) -> Self {
        let (config, topic) = (config.clone(), topic.to_owned());
        Witness {
            config,
            topic,
            last: BTreeMap::new(),
            doubted: BTreeSet::new(),
        }
    }

    /// Every broker was away.
    pub(super) fn doubt_all(&mut self) {
        self.doubted = self.last.keys().copied().collect();
    }

    /// The partition starts anew, so what was told of it no longer binds.
    pub(super) fn forget(&mut self, partition: i32) {
        self.last.remove(&partition);
        self.doubted.remove(&partition);
    }

    /// The partitions among these records' whose log is another one than before. Blocks while it asks, which is only
    /// after an outage.
    ///
    /// # Errors
    /// If the broker went away again; then nothing of these partitions may be used.
    pub(super) fn find_other_logs(&mut self, batch: &[Record]) -> anyhow::Result<Vec<i32>> {
        if self.doubted.is_empty() {
            return Ok(Vec::new());
        }
        let concerned: BTreeSet<i32> = batch.iter().map(|record| record.partition).collect();
        let asked: Vec<i32> = concerned.intersection(&self.doubted).copied().collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let probe = LogProbe::new(&self.config, &self.topic)?;
        let mut others = Vec::new();
        for partition in asked {
            if let Some((offset, fingerprint)) = self.last.get(&partition) {
                let found = probe.record_at(partition, *offset)?;
                if found.is_none_or(|record| record.fingerprint() != *fingerprint) {
                    others.push(partition);
                }
            }
            self.doubted.remove(&partition);
        }
        Ok(others)
    }

    /// Remembers the last record of each partition.
    pub(super) fn remember(&mut self, batch: &[Record]) {
        let mut seen = BTreeSet::new();
        for record in batch.iter().rev() {
            if seen.insert(record.partition) {
                self.last
                    .insert(record.partition, (record.offset, record.fingerprint()));
            }
        }
    }
}
