//! What is looked for.

use std::ops::Range;

/// A text. It is never shown: it may be the secret itself.
#[derive(Clone)]
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    /// Exactly this text.
    pub(crate) fn text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Pattern(text.as_bytes().to_vec()))
    }

    /// Where it is, one place after the other.
    pub(super) fn places(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(found) = text
            .get(at..)
            .and_then(|rest| rest.windows(self.0.len()).position(|part| part == self.0))
        {
            places.push(at + found..at + found + self.0.len());
            at += found + self.0.len();
        }
        places
    }

    /// Whether it is in this text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        !self.places(text.as_bytes()).is_empty()
    }
}
