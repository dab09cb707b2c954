//! How many secrets were masked, by rule.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// Counts by the rule's name. Says nothing of the secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Adds so many of a rule.
    pub fn add(&mut self, rule: &'static str, count: u64) {
        *self.0.entry(rule).or_default() += count;
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Counts) {
        for (rule, count) in other.iter() {
            self.add(rule, count);
        }
    }

    /// Rules by name, with how often each masked something.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(rule, count)| (*rule, *count))
    }

    /// How many there are together.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// True if nothing was masked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
