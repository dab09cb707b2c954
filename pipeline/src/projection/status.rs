//! What is wrong with which partition, summed up for /readyz.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::lifecycle::Lifecycle;

/// One projection's state in this process.
pub(super) struct Status {
    component: &'static str,
    lifecycle: Lifecycle,
    /// Why a partition does not go on. Locked for moments only.
    problems: Mutex<BTreeMap<i32, String>>,
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

    pub(super) fn set_problem(&self, partition: i32, problem: &str) {
        self.change(|problems| {
            problems.insert(partition, problem.to_owned());
        });
    }

    pub(super) fn clear_problem(&self, partition: i32) {
        self.change(|problems| {
            problems.remove(&partition);
        });
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<i32, String>)) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut problems);
        self.lifecycle.set_ready(self.component, summary(&problems));
    }
}

/// One line: each problem once, with its partitions.
fn summary(problems: &BTreeMap<i32, String>) -> Result<(), String> {
    let mut by_problem: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (partition, problem) in problems {
        by_problem.entry(problem).or_default().push(partition.to_string());
    }
    if by_problem.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = by_problem
        .into_iter()
        .map(|(problem, partitions)| format!("{problem} (partitions {})", partitions.join(", ")))
        .collect();
    Err(lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_problem_is_told_once_with_its_partitions() {
        let problems = BTreeMap::from([
            (1, "log_truncated".to_owned()),
            (2, "database".to_owned()),
            (7, "log_truncated".to_owned()),
        ]);
        let told = summary(&problems).expect_err("there are problems");
        assert_eq!(told, "database (partitions 2); log_truncated (partitions 1, 7)");
        assert_eq!(summary(&BTreeMap::new()), Ok(()));
    }
}
