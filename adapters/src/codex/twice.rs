//! What a rollout tells twice: as an event for people (`event_msg`) and as the model's own item (`response_item`).

use std::collections::VecDeque;

use crate::reader::short_hash;

/// Texts that still wait for their second form, which stands a few lines away.
const WAITING: usize = 64;

/// In which form something was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    Event,
    Item,
}

/// Texts that were told in one form so far.
#[derive(Debug, Default)]
pub(super) struct Twice(VecDeque<(Told, u64)>);

impl Twice {
    /// True if this tells for the first time what `kind` of speaker says.
    pub(super) fn is_new(&mut self, told: Told, kind: &str, text: &str) -> bool {
        let hash = short_hash(&format!("{kind} {}", text.trim()));
        let other = self
            .0
            .iter()
            .position(|waiting| waiting.0 != told && waiting.1 == hash);
        match other {
            Some(at) => {
                self.0.remove(at);
                false
            }
            None => {
                if self.0.len() >= WAITING {
                    self.0.pop_front();
                }
                self.0.push_back((told, hash));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_in_both_forms_is_new_once_and_what_is_said_again_is_new_again() {
        let mut twice = Twice::default();
        assert!(twice.is_new(Told::Event, "agent", "yes"));
        assert!(!twice.is_new(Told::Item, "agent", "yes"));
        assert!(twice.is_new(Told::Item, "agent", "yes"));
        assert!(!twice.is_new(Told::Event, "agent", "yes"));
        assert!(twice.is_new(Told::Event, "user", "yes"));
        assert!(twice.is_new(Told::Event, "agent", "only an event"));
        assert!(twice.is_new(Told::Event, "agent", "only an event"));
    }
}
