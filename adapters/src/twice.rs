//! Things that two feeds of one session tell, each once, in any order.

use std::collections::VecDeque;

use crate::reader::short_hash;

/// What one feed told and the other did not, so far. Of more than `MOST` the oldest is given up.
#[derive(Debug)]
pub(crate) struct Twice<Feed, const MOST: usize>(VecDeque<(Feed, u64)>);

impl<Feed, const MOST: usize> Default for Twice<Feed, MOST> {
    fn default() -> Self {
        Twice(VecDeque::new())
    }
}

impl<Feed: PartialEq, const MOST: usize> Twice<Feed, MOST> {
    /// True if this feed is the first to tell it. What the same feed tells again is said again.
    pub(crate) fn is_new(&mut self, feed: Feed, kind: &str, text: &str) -> bool {
        let hash = hash(kind, text);
        let other = self
            .0
            .iter()
            .position(|waiting| waiting.0 != feed && waiting.1 == hash);
        match other {
            Some(at) => {
                self.0.remove(at);
                false
            }
            None => {
                if self.0.len() >= MOST {
                    self.0.pop_front();
                }
                self.0.push_back((feed, hash));
                true
            }
        }
    }

    /// Whether one feed told it and the other did not.
    pub(crate) fn is_told(&self, kind: &str, text: &str) -> bool {
        let hash = hash(kind, text);
        self.0.iter().any(|waiting| waiting.1 == hash)
    }
}

fn hash(kind: &str, text: &str) -> u64 {
    short_hash(&format!("{kind} {}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_by_both_is_new_once_and_what_is_said_again_is_new_again() {
        let mut twice = Twice::<char, 64>::default();
        assert!(twice.is_new('a', "agent", "yes"));
        assert!(!twice.is_new('b', "agent", "yes"));
        assert!(twice.is_new('b', "agent", "yes"));
        assert!(!twice.is_new('a', "agent", "yes"));
        assert!(twice.is_new('a', "user", "yes"));
        assert!(twice.is_new('a', "agent", "only one"));
        assert!(twice.is_new('a', "agent", "only one"));
    }
}
