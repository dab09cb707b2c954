//! What the line at the end of a run says, counted as it goes by.

use serde::Serialize;
use serde_json::Value;

/// What happened in a run, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Events that were recorded.
    pub events: u64,
    /// Bytes that were printed.
    pub printed: u64,
    /// Changes of files that the tool told of.
    pub edits: u64,
    /// Tests that passed, by the summaries that test runners print.
    pub tests_passed: u64,
    /// Tests that failed.
    pub tests_failed: u64,
    /// What the tool said that it cost, in US dollars; none if it said nothing.
    pub cost_usd: Option<f64>,
    /// Secrets that were masked.
    pub masked: u64,
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Counter {
    tally: Tally,
    /// Passed and failed.
    tests_told: (u64, u64),
}

impl Counter {
    pub(super) fn printed(&mut self, bytes: &[u8]) {
        self.tally.printed += bytes.len() as u64;
        let (passed, failed) = tests_in(bytes);
        self.tally.tests_passed += passed;
        self.tally.tests_failed += failed;
    }

    /// Something that the tool told in records of its own. Tests that its tools print count, where it tells of them:
    /// its own screen shows parts of the same.
    pub(super) fn told(&mut self, kind: &str, data: &Value) {
        self.happened(kind, data);
        if let ("terminal.output", Some(text)) = (kind, data["text"].as_str()) {
            let (passed, failed) = tests_in(text.as_bytes());
            self.tests_told.0 += passed;
            self.tests_told.1 += failed;
        }
    }

    pub(super) fn happened(&mut self, kind: &str, data: &Value) {
        match kind {
            "code.changed" => self.tally.edits += 1,
            "usage" => {
                let Some(cost) = data["cost_usd"].as_f64() else {
                    return;
                };
                let sum = match self.tally.cost_usd {
                    Some(earlier) if data["cumulative"] == true => earlier.max(cost),
                    earlier => earlier.unwrap_or_default() + cost,
                };
                self.tally.cost_usd = Some(sum);
            }
            _ => {}
        }
    }

    pub(super) fn tally(self, events: u64, masked: u64) -> Tally {
        let (tests_passed, tests_failed) = match self.tests_told {
            (0, 0) => (self.tally.tests_passed, self.tally.tests_failed),
            told => told,
        };
        Tally {
            tests_passed,
            tests_failed,
            events,
            masked,
            ..self.tally
        }
    }
}

/// Tests in the summary lines of cargo (`test result: ok. 12 passed; 1 failed`), pytest (`1 failed, 12 passed in 3s`),
/// Jest and Vitest (`Tests:  1 failed, 12 passed, 13 total`).
fn tests_in(bytes: &[u8]) -> (u64, u64) {
    // Most output has no such word, and looking for one is all that it costs.
    if memchr::memmem::find(bytes, b" passed").is_none() && memchr::memmem::find(bytes, b" failed").is_none()
    {
        return (0, 0);
    }
    let text = String::from_utf8_lossy(bytes);
    let summaries = text.lines().filter(|line| {
        line.contains("test result:")
            || (line.contains(" in ") && line.contains("==="))
            || line.trim_start().starts_with("Tests")
            || line.contains("Tests:")
    });
    summaries.fold((0, 0), |(passed, failed), line| {
        (
            passed + number_before(line, " passed"),
            failed + number_before(line, " failed"),
        )
    })
}

fn number_before(line: &str, word: &str) -> u64 {
    let Some((before, _)) = line.split_once(word) else {
        return 0;
    };
    let digits: String = before.chars().rev().take_while(char::is_ascii_digit).collect();
    digits.chars().rev().collect::<String>().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_common_test_runners_are_counted_and_other_lines_are_not() {
        let lines = [
            (
                "test result: ok. 12 passed; 1 failed; 0 ignored; 0 measured\r\n",
                (12, 1),
            ),
            (
                "\u{1b}[31m===== 2 failed, 30 passed in 1.20s =====\u{1b}[0m\r\n",
                (30, 2),
            ),
            ("Tests:       1 failed, 5 passed, 6 total\r\n", (5, 1)),
            (" Tests  7 passed (7)\r\n", (7, 0)),
            ("the build has passed; 3 failed attempts\r\n", (0, 0)),
        ];
        for (line, expected) in lines {
            assert_eq!(tests_in(line.as_bytes()), expected, "{line}");
        }
    }
}
