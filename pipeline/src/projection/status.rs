//! What is wrong with which partition, summed up for /readyz.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::lifecycle::Lifecycle;

/// One projection's state in this process.
pub(super) struct Status {
    component: &'static str,
    lifecycle: Lifecycle,
    /// Why a partition does not go on. Locked for moments only.
    problems: Mutex<BTreeMap<i32, Problem>>,
}

/// Why a partition does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// Until somebody does something.
    Stopped(String),
    /// It tries again by itself.
    Passing(String),
}

impl Status {
    /// Not ready until `joined`.
    pub(super) fn new(component: &'static str, lifecycle: Lifecycle) -> Self {
        lifecycle.set_ready(
            component,
            Err("waits for the consumer group to give it partitions".to_owned()),
        );
        Status {
            component,
            lifecycle,
            problems: Mutex::default(),
        }
    }

    /// The group has answered.
    pub(super) fn joined(&self) {
        self.change(|_| {});
    }

    pub(super) fn set_problem(&self, partition: i32, problem: Problem) {
        self.change(|problems| {
            problems.insert(partition, problem);
        });
    }

    pub(super) fn clear_problem(&self, partition: i32) {
        self.change(|problems| {
            problems.remove(&partition);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<i32, Problem>)) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut problems);
        self.lifecycle.set_ready(self.component, summary(&problems));
    }
}

/// One line: each problem once. With its partitions only where they matter, because readiness is logged when it
/// changes, and an outage comes to one partition after the other.
fn summary(problems: &BTreeMap<i32, Problem>) -> Result<(), String> {
    let mut stopped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut passing: BTreeSet<&str> = BTreeSet::new();
    for (partition, problem) in problems {
        match problem {
            Problem::Stopped(reason) => stopped.entry(reason).or_default().push(partition.to_string()),
            Problem::Passing(detail) => {
                passing.insert(detail);
            }
        }
    }
    let stopped = stopped
        .into_iter()
        .map(|(reason, list)| format!("{reason} in partition {}", list.join(", ")));
    let lines: Vec<String> = stopped.chain(passing.into_iter().map(str::to_owned)).collect();
    if lines.is_empty() {
        Ok(())
    } else {
        Err(lines.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_told_once_and_those_that_stay_with_their_partitions() {
        let problems = BTreeMap::from([
            (1, Problem::Stopped("log_truncated".to_owned())),
            (2, Problem::Passing("database: away".to_owned())),
            (3, Problem::Passing("database: away".to_owned())),
            (7, Problem::Stopped("log_truncated".to_owned())),
        ]);
        let told = summary(&problems).expect_err("there are problems");
        assert_eq!(told, "log_truncated in partition 1, 7; database: away");
        assert_eq!(summary(&BTreeMap::new()), Ok(()));
    }
}
