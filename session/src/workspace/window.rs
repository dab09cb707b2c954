//! The last items of an endless row, bounded by what they take as JSON.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Bytes of an item's JSON, near enough to bound a state by.
pub trait Cost {
    /// The bytes.
    fn cost(&self) -> usize;
}

/// The newest items whose JSON fits into `BYTES`; older ones are forgotten and counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Cost"), from = "Stored<T>")]
pub struct Window<T, const BYTES: usize> {
    items: VecDeque<T>,
    /// How many went before the first item.
    forgotten: u64,
    #[serde(skip)]
    bytes: usize,
}

#[derive(Deserialize)]
struct Stored<T> {
    items: VecDeque<T>,
    forgotten: u64,
}

impl<T: Cost, const BYTES: usize> From<Stored<T>> for Window<T, BYTES> {
    fn from(stored: Stored<T>) -> Self {
        Window {
            bytes: stored.items.iter().map(Cost::cost).sum(),
            items: stored.items,
            forgotten: stored.forgotten,
        }
    }
}

impl<T, const BYTES: usize> Default for Window<T, BYTES> {
    fn default() -> Self {
        Window {
            items: VecDeque::new(),
            forgotten: 0,
            bytes: 0,
        }
    }
}

impl<T, const BYTES: usize> Window<T, BYTES> {
    /// The items, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.items.iter()
    }

    /// How many there were in all.
    pub fn total(&self) -> u64 {
        self.forgotten + self.items.len() as u64
    }
}

impl<T: Cost, const BYTES: usize> Window<T, BYTES> {
    /// Appends an item and forgets the oldest that do not fit any more, down to the new one alone.
    pub(crate) fn push(&mut self, item: T) {
        self.bytes += item.cost();
        self.items.push_back(item);
        self.forget();
    }

    /// Changes the newest item for which `is_it` holds; false if there is none.
    pub(crate) fn change(&mut self, is_it: impl Fn(&T) -> bool, change: impl FnOnce(&mut T)) -> bool {
        let Some(item) = self.items.iter_mut().rev().find(|item| is_it(item)) else {
            return false;
        };
        let before = item.cost();
        change(item);
        self.bytes = self.bytes + item.cost() - before;
        self.forget();
        true
    }

    /// Takes the newest item out for which `is_it` holds.
    pub(crate) fn take(&mut self, is_it: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.items.iter().rposition(is_it)?;
        let item = self.items.remove(index)?;
        self.bytes -= item.cost();
        Some(item)
    }

    fn forget(&mut self) {
        while self.bytes > BYTES && self.items.len() > 1 {
            if let Some(oldest) = self.items.pop_front() {
                self.bytes -= oldest.cost();
                self.forgotten += 1;
            }
        }
    }
}

/// Bytes of a text as a JSON string.
pub(crate) fn json_length(text: &str) -> usize {
    let escapes: usize = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
            0..=0x1f => 5,
            _ => 0,
        })
        .sum();
    text.len() + escapes + 2
}

/// The longest beginning of `text` that takes at most `bytes` as JSON.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    if json_length(text) <= bytes {
        return text;
    }
    let mut left = bytes.saturating_sub(2);
    let mut buffer = [0; 4];
    for (at, character) in text.char_indices() {
        let length = json_length(character.encode_utf8(&mut buffer)) - 2;
        if length > left {
            return &text[..at];
        }
        left -= length;
    }
    text
}

/// The longest end of `text` that takes at most `bytes` as JSON.
pub(crate) fn end(text: &str, bytes: usize) -> &str {
    if json_length(text) <= bytes {
        return text;
    }
    let mut left = bytes.saturating_sub(2);
    let mut buffer = [0; 4];
    for (at, character) in text.char_indices().rev() {
        let length = json_length(character.encode_utf8(&mut buffer)) - 2;
        if length > left {
            return &text[at + character.len_utf8()..];
        }
        left -= length;
    }
    text
}
