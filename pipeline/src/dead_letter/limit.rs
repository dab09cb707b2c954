//! When there are so many dead letters that something else must be wrong.

use std::collections::VecDeque;

/// More dead letters than this one after the other.
const IN_A_ROW: u64 = 1_000;
/// More than one in a hundred of so many records ...
const WINDOW: u64 = 100_000;
const PERCENT: u64 = 1;
/// ... and more than so many altogether: a few at the start of a log are no reason to stop.
const AT_LEAST: u64 = 100;
/// The window moves in steps of so many records.
const STEP: u64 = 1_000;

/// Counts one partition's records. Stopping beats writing a whole log to the dead letters.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterLimit {
    in_a_row: u64,
    /// (records, dead letters) by steps, the oldest first.
    steps: VecDeque<(u64, u64)>,
}

impl DeadLetterLimit {
    /// Counts a batch: `is_letter` says of each record, in order, whether it is a dead letter.
    /// True if the partition has to stop.
    pub(crate) fn count(&mut self, is_letter: impl IntoIterator<Item = bool>) -> bool {
        let mut passed = false;
        for letter in is_letter {
            self.in_a_row = if letter { self.in_a_row + 1 } else { 0 };
            passed |= self.in_a_row > IN_A_ROW;
            match self.steps.back_mut() {
                Some((records, letters)) if *records < STEP => {
                    *records += 1;
                    *letters += u64::from(letter);
                }
                _ => self.steps.push_back((1, u64::from(letter))),
            }
        }
        while self.steps.len() as u64 > WINDOW / STEP {
            self.steps.pop_front();
        }
        let letters: u64 = self.steps.iter().map(|(_, letters)| letters).sum();
        let records: u64 = self.steps.iter().map(|(records, _)| records).sum();
        // Of a log that has only begun, the share is taken of the whole window.
        passed || (letters > AT_LEAST && letters * 100 > records.max(WINDOW) * PERCENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(letter: bool, times: u64) -> impl Iterator<Item = bool> {
        (0..times).map(move |_| letter)
    }

    #[test]
    fn a_thousand_in_a_row_pass_and_one_more_stops() {
        let mut limit = DeadLetterLimit::default();
        assert!(!limit.count(repeated(true, IN_A_ROW)));
        assert!(limit.count(repeated(true, 1)));
    }

    #[test]
    fn a_good_record_ends_the_row() {
        let mut limit = DeadLetterLimit::default();
        assert!(!limit.count(repeated(true, 600)));
        assert!(!limit.count(repeated(false, 1)));
        assert!(!limit.count(repeated(true, 390)));
    }

    #[test]
    fn more_than_one_in_a_hundred_stops() {
        let mut limit = DeadLetterLimit::default();
        for _ in 0..WINDOW / 100 {
            assert!(!limit.count(repeated(true, 1).chain(repeated(false, 99))));
        }
        let mut stopped = false;
        for _ in 0..WINDOW / 100 {
            stopped |= limit.count(repeated(true, 2).chain(repeated(false, 98)));
        }
        assert!(stopped);
    }

    #[test]
    fn what_is_far_behind_no_longer_counts() {
        let mut limit = DeadLetterLimit::default();
        assert!(!limit.count(repeated(true, 900)));
        assert!(!limit.count(repeated(false, 2 * WINDOW)));
        assert!(!limit.count(repeated(true, 900)));
    }
}
