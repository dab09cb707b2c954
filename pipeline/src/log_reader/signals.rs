//! What librdkafka's threads and the reader's owner tell the polling thread.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Wakes the polling thread.
#[derive(Default)]
pub(super) struct Signals {
    /// librdkafka calls `mark_ready` while it holds a queue's lock: never poll a queue while this is held.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    ready: BTreeSet<i32>,
    seeks: Vec<Seek>,
    seeks_asked: u64,
    /// Number of each partition's last seek.
    last_seek: BTreeMap<i32, u64>,
}

/// A partition to start anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seek {
    pub(super) number: u64,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// What there is to do.
pub(super) struct Work {
    pub(super) stopped: bool,
    pub(super) ready: BTreeSet<i32>,
    pub(super) seeks: Vec<Seek>,
}

impl Signals {
    /// Records wait in this partition's queue.
    pub(super) fn mark_ready(&self, partition: i32) {
        self.state().ready.insert(partition);
        self.changed.notify_one();
    }

    pub(super) fn seek(&self, partition: i32, offset: i64) {
        let mut state = self.state();
        state.seeks_asked += 1;
        let number = state.seeks_asked;
        state.last_seek.insert(partition, number);
        state.seeks.push(Seek {
            number,
            partition,
            offset,
        });
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_one();
    }

    /// The partitions that were sought after the first `seeks_done` seeks; None if there is none.
    pub(super) fn sought_after(&self, seeks_done: u64) -> Option<HashSet<i32>> {
        let state = self.state();
        if state.seeks_asked <= seeks_done {
            return None;
        }
        let later = state.last_seek.iter().filter(|(_, number)| **number > seeks_done);
        Some(later.map(|(partition, _)| *partition).collect())
    }

    /// Takes what there is to do, waiting for it up to `limit`.
    pub(super) fn wait(&self, limit: Duration) -> Work {
        let idle = |state: &mut State| !state.stopped && state.ready.is_empty() && state.seeks.is_empty();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.state(), limit, idle)
            .unwrap_or_else(PoisonError::into_inner);
        Work {
            stopped: state.stopped,
            ready: std::mem::take(&mut state.ready),
            seeks: std::mem::take(&mut state.seeks),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
