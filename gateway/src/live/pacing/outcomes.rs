//! Which events tell how tests went: those have a frame of their own while catching up.

use kulti_session::FoldEvent;
use kulti_session::workspace::{TerminalChange, TerminalFeed, test_outcome};
use serde::Deserialize;

/// A line that is longer than this tells nothing.
const LINE_BYTES: usize = 2_000;

/// Reads a session's output, event by event.
#[derive(Default)]
pub(crate) struct Outcomes {
    feed: TerminalFeed,
    /// The beginning of a line that a later event ends.
    line: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Finished {
    output: Option<String>,
}

impl Outcomes {
    /// True if this event tells how tests went. `json` is the event as readers get it.
    pub(crate) fn read(&mut self, kind: &str, json: &[u8]) -> bool {
        if kind != "terminal.output" && kind != "tool.finished" {
            return false;
        }
        let Some(event) = std::str::from_utf8(json)
            .ok()
            .and_then(|json| FoldEvent::parse(json).ok())
        else {
            return false;
        };
        if kind == "tool.finished" {
            let data: Finished = serde_json::from_str(event.data.get()).unwrap_or_default();
            let output = data.output.unwrap_or_default();
            return output.lines().any(|line| test_outcome(line).is_some());
        }
        let Some(TerminalChange::Output(text)) = self.feed.change(&event) else {
            return false;
        };
        let mut has_outcome = false;
        let mut rest = text.as_str();
        while let Some((end, after)) = rest.split_once('\n') {
            self.line.push_str(end);
            has_outcome |= test_outcome(&self.line).is_some();
            self.line.clear();
            rest = after;
        }
        self.line.push_str(rest);
        if self.line.len() > LINE_BYTES {
            self.line.clear();
        }
        has_outcome
    }
}
