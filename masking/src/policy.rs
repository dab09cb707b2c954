//! What an operator decided about masking.

use std::collections::BTreeSet;

use crate::{AllowList, Masker};

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

    /// What masks this agent's words, before they leave its machine.
    pub fn masker_for(&self, agent: &str) -> Masker {
        Masker::new(match self.is_on_for(agent) {
            true => self.allow.clone(),
            false => AllowList::everything(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_for_an_agent_is_on_for_the_others() {
        let secret = format!("token ghp_{}", "a1B2c3D4e5".repeat(4).split_at(36).0);
        let policy = Policy {
            off_for: BTreeSet::from(["ci".to_owned()]),
            ..Policy::default()
        };
        assert_eq!(policy.masker_for("ci").mask_text(&secret).text, secret);
        assert_ne!(policy.masker_for("nex").mask_text(&secret).text, secret);
        let off = Policy {
            enabled: false,
            ..Policy::default()
        };
        assert_eq!(off.masker_for("nex").mask_text(&secret).text, secret);
    }
}
