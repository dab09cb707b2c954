//! What an operator decided about masking.

use std::collections::BTreeSet;

use crate::AllowList;

/// What is masked, of whom.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Off: nothing is masked.
    pub enabled: bool,
    /// What is let through.
    pub allow: AllowList,
    /// Agents whose events are written as they come.
    pub off_for: BTreeSet<String>,
}

impl Default for Policy {
    /// On, for everybody, without exceptions.
    fn default() -> Self {
        Policy {
            enabled: true,
            allow: AllowList::default(),
            off_for: BTreeSet::new(),
        }
    }
}

impl Policy {
    /// Whether events of this agent are masked.
    pub fn is_on_for(&self, agent: &str) -> bool {
        self.enabled && !self.off_for.contains(agent)
    }
}
