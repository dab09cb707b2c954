//! Markers: those that agents and viewers set, and those that the fold sets itself, which are a session's chapters.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::event::{FoldEvent, moment};
use super::fields::Fields;
use super::window::{Cost, Window, beginning, end, json_length};

const MARKERS_BYTES: usize = 12_000;
const LABEL_BYTES: usize = 300;
/// A pause of the session's clock of this length is marked.
const LONG_IDLE_MICROS: i64 = 5 * 60 * 1_000_000;
/// The beginning of a line whose end has not come, per terminal.
const LINE_BYTES: usize = 500;
const LINES: usize = 8;

/// A marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The event that it stands at, which is the marker itself if somebody set it.
    pub event: String,
    /// That event's position.
    pub position: i64,
    /// The session's clock there.
    pub time: String,
    /// What it says.
    pub label: String,
    /// agent, viewer, or for those set by the fold: first_error, tests_passed, tests_failed, preview, idle.
    pub origin: String,
    /// The depth that its author gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<i64>,
}

impl Cost for Marker {
    fn cost(&self) -> usize {
        json_length(&self.label) + json_length(&self.origin) + 160
    }
}

/// Whether tests passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestOutcome {
    /// All of them.
    Passed,
    /// Not all of them.
    Failed,
}

/// The fold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Markers {
    /// The last markers, oldest first.
    pub list: Window<Marker, MARKERS_BYTES>,
    /// How the last tests ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestOutcome>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    error_seen: bool,
    /// Beginnings of lines by terminal.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    lines: VecDeque<(String, String)>,
}

impl Markers {
    /// Looks at an event. `clock` is the session's clock before and at the event.
    pub(super) fn apply(&mut self, event: &FoldEvent<'_>, clock: (Option<i64>, i64)) {
        if let (Some(before), now) = clock
            && now - before >= LONG_IDLE_MICROS
        {
            let minutes = (now - before) / 60_000_000;
            self.set(
                event,
                now,
                "idle",
                format!("after {minutes} min without an event"),
            );
        }
        let fields = Fields::of(event.data);
        match event.kind.as_ref() {
            "marker" => {
                let label = fields.text("label").unwrap_or_default();
                self.list.push(Marker {
                    level: fields.integer("level"),
                    ..marker(event, clock.1, &event.source, &label)
                });
            }
            "error" if !self.error_seen => {
                self.error_seen = true;
                let message = fields.text("message").unwrap_or_default();
                self.set(event, clock.1, "first_error", format!("first error: {message}"));
            }
            "preview.opened" => {
                let url = fields.text("url").unwrap_or_default();
                self.set(event, clock.1, "preview", format!("preview: {url}"));
            }
            "tool.finished" => {
                if let Some(output) = fields.text("output")
                    && let Some(outcome) = output.lines().filter_map(test_outcome).next_back()
                {
                    self.tests(event, clock.1, outcome);
                }
            }
            _ => {}
        }
    }

    /// Looks at what an event wrote to a terminal.
    pub(super) fn read_output(&mut self, event: &FoldEvent<'_>, clock: i64, terminal: &str, text: &str) {
        let known = self.lines.iter().position(|(name, _)| name == terminal);
        let mut line = known
            .and_then(|index| self.lines.remove(index))
            .map(|(_, line)| line)
            .unwrap_or_default();
        let mut outcome = None;
        let mut rest = text;
        while let Some((ended, after)) = rest.split_once('\n') {
            line.push_str(end(ended, LINE_BYTES));
            outcome = test_outcome(&line).or(outcome);
            line.clear();
            rest = after;
        }
        line.push_str(rest);
        if json_length(&line) > LINE_BYTES {
            line = end(&line, LINE_BYTES).to_owned();
        }
        if !line.is_empty() {
            self.lines.push_back((terminal.to_owned(), line));
        }
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
        if let Some(outcome) = outcome {
            self.tests(event, clock, outcome);
        }
    }

    /// Marks a change from red to green and back.
    fn tests(&mut self, event: &FoldEvent<'_>, clock: i64, outcome: TestOutcome) {
        if self.tests == Some(outcome) {
            return;
        }
        self.tests = Some(outcome);
        match outcome {
            TestOutcome::Passed => self.set(event, clock, "tests_passed", "tests pass".to_owned()),
            TestOutcome::Failed => self.set(event, clock, "tests_failed", "tests fail".to_owned()),
        }
    }

    fn set(&mut self, event: &FoldEvent<'_>, clock: i64, origin: &str, label: String) {
        self.list.push(marker(event, clock, origin, &label));
    }
}

fn marker(event: &FoldEvent<'_>, clock: i64, origin: &str, label: &str) -> Marker {
    Marker {
        event: event.id.to_string(),
        position: event.position,
        time: moment(clock),
        label: beginning(label, LABEL_BYTES).to_owned(),
        origin: origin.to_owned(),
        level: None,
    }
}

/// How a line of output says that tests ended: the summaries of cargo, pytest, jest, vitest, mocha, go and unittest.
/// Escape sequences in the line are looked over.
pub fn test_outcome(line: &str) -> Option<TestOutcome> {
    use TestOutcome::{Failed, Passed};
    // Nearly all lines end here.
    if !["passed", "failed", "passing", "failing", "FAIL", "ok", "OK"]
        .iter()
        .any(|word| line.contains(word))
    {
        return None;
    }
    let plain = without_escapes(line);
    let line = plain.trim();
    if let Some(rest) = line.strip_prefix("test result: ") {
        return Some(if rest.starts_with("ok") { Passed } else { Failed });
    }
    if line.starts_with("--- FAIL")
        || line == "FAIL"
        || line.starts_with("FAIL\t")
        || line.starts_with("FAILED (")
    {
        return Some(Failed);
    }
    if line.starts_with("ok  \t") || line == "OK" {
        return Some(Passed);
    }
    let summary = line.starts_with('=') || line.starts_with("Tests") || line.starts_with("Test Suites");
    let words = line.split(|character: char| !character.is_alphanumeric());
    let mut outcome = None;
    let mut number: Option<u64> = None;
    let mut begins_with_count = false;
    for (index, word) in words.filter(|word| !word.is_empty()).enumerate() {
        match (number, word) {
            (Some(1..), "failed" | "failing") => outcome = Some(Failed),
            (Some(1..), "passed" | "passing") => outcome = outcome.or(Some(Passed)),
            _ => {}
        }
        begins_with_count |= index == 1 && outcome.is_some();
        number = word.parse().ok().or(if word == "tests" { number } else { None });
    }
    // "3 failed" in the middle of a sentence is not a summary.
    (summary || begins_with_count || line.contains(" in ")).then_some(outcome)?
}

fn without_escapes(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            // CSI sequences end with a letter; of others one character goes.
            if characters.next() == Some('[') {
                for character in characters.by_ref() {
                    if ('\x40'..='\x7e').contains(&character) {
                        break;
                    }
                }
            }
        } else {
            out.push(character);
        }
    }
    out
}
