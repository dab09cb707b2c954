//! What a worker counts.

use std::time::Instant;

use super::super::row::Owned;
use super::{Projection, Worker};
use crate::Record;

impl<P: Projection> Worker<P> {
    pub(in crate::projection) fn note_committed(&self, owned: &Owned, records: &[Record], begun: Instant) {
        let metrics = &self.context.metrics.projection;
        let name = [owned.projection];
        let size = |record: &Record| {
            (record.key.as_ref().map_or(0, |key| key.len())
                + record.value.as_ref().map_or(0, |value| value.len())) as u64
        };
        metrics
            .records
            .with_label_values(&name)
            .inc_by(records.len() as u64);
        metrics
            .bytes
            .with_label_values(&name)
            .inc_by(records.iter().map(size).sum());
        metrics
            .transaction
            .with_label_values(&name)
            .observe(begun.elapsed().as_secs_f64());
    }

    pub(in crate::projection) fn note_letters(&self, letters: &[(i64, &'static str)]) {
        for (_, reason) in letters {
            let labels = [self.projection.name(), *reason];
            self.context
                .metrics
                .projection
                .dead_letters
                .with_label_values(&labels)
                .inc();
        }
    }

    pub(super) fn note_stop(&self, reason: &str) {
        let labels = [self.projection.name(), reason];
        self.context
            .metrics
            .projection
            .stops
            .with_label_values(&labels)
            .inc();
    }

    pub(super) fn note_lag(&self, owned: &Owned) {
        let metrics = &self.context.metrics.projection;
        metrics
            .queue_bytes
            .with_label_values(&[owned.projection])
            .set(self.driver.queued_bytes());
        let Some(log_end) = self.driver.log_end(self.partition) else {
            return;
        };
        let lag = (log_end - owned.next_offset).max(0);
        metrics
            .lag
            .with_label_values(&[owned.projection, &owned.partition.to_string()])
            .set(lag);
    }

    pub(super) fn note_given_up(&self) {
        self.status.clear_problem(self.partition);
        let labels = [self.projection.name(), &self.partition.to_string()];
        // It has no lag if it never came to say so.
        drop(self.context.metrics.projection.lag.remove_label_values(&labels));
    }
}
