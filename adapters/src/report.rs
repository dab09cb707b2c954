//! What was in a source: a fold over its lines and events.

use std::collections::{BTreeMap, HashSet};

use kulti_masking::Counts;
use kulti_schemas::{SessionId, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::event::ImportedEvent;
use crate::format::Format;
use crate::usage::UsageTotals;

/// Tokens of one model; `None` where the source does not tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Into the model, without those of the caches.
    pub input: Option<i64>,
    /// Out of it.
    pub output: Option<i64>,
    /// Read from a cache.
    pub cache_read: Option<i64>,
    /// Written to a cache.
    pub cache_creation: Option<i64>,
}

/// Counts of one source. Its JSON is a line of `kulti import --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The format.
    pub format: Format,
    /// Kulti's ids of its sessions, in the order in which they begin.
    pub sessions: Vec<SessionId>,
    /// Lines that are neither blank nor comments.
    pub lines: u64,
    /// Lines that are records of which all was told by others before: second forms of a message, ends of blocks.
    pub merged_lines: u64,
    /// Lines that were there before, with the same name.
    pub copies: u64,
    /// Lines of a type that the adapter does not know; kept as `custom`.
    pub unknown_lines: u64,
    /// Lines that are no JSON; kept as `custom` with their text.
    pub unreadable_lines: u64,
    /// Events by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Messages, of the user and of the agent.
    pub messages: u64,
    /// Thoughts.
    pub thoughts: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Results of tool calls.
    pub results: u64,
    /// Results that are errors.
    pub errors: u64,
    /// Calls without a result.
    pub unpaired_calls: u64,
    /// Results without a call.
    pub unpaired_results: u64,
    /// Bytes that were written to terminals.
    pub terminal_bytes: u64,
    /// By model.
    pub tokens: BTreeMap<String, Tokens>,
    /// US dollars; `None` where the source does not tell.
    pub cost_usd: Option<f64>,
    /// Of the first event in time.
    pub first_time: Option<Timestamp>,
    /// Of the last.
    pub last_time: Option<Timestamp>,
    /// Secrets that markers stand for, by rule.
    pub masked: Counts,
    #[serde(skip)]
    open_calls: HashSet<String>,
    #[serde(skip)]
    usage: UsageTotals,
}

impl Report {
    pub(crate) fn new(format: Format) -> Self {
        Report {
            format,
            sessions: Vec::new(),
            lines: 0,
            merged_lines: 0,
            copies: 0,
            unknown_lines: 0,
            unreadable_lines: 0,
            events: BTreeMap::new(),
            messages: 0,
            thoughts: 0,
            tool_calls: 0,
            results: 0,
            errors: 0,
            unpaired_calls: 0,
            unpaired_results: 0,
            terminal_bytes: 0,
            tokens: BTreeMap::new(),
            cost_usd: None,
            first_time: None,
            last_time: None,
            masked: Counts::default(),
            open_calls: HashSet::new(),
            usage: UsageTotals::default(),
        }
    }

    pub(crate) fn session(&mut self, session: &SessionId) {
        if !self.sessions.contains(session) {
            self.sessions.push(session.clone());
        }
    }

    /// A model was at work, whether or not its use is told.
    pub(crate) fn model(&mut self, name: &str) {
        if !self.tokens.contains_key(name) {
            self.tokens.insert(name.to_owned(), Tokens::default());
        }
    }

    pub(crate) fn masked(&mut self, counts: &Counts) {
        self.masked.merge(counts);
    }

    pub(crate) fn observe(&mut self, event: &ImportedEvent) {
        *self.events.entry(event.kind).or_default() += 1;
        if let Some(time) = event.time {
            self.first_time = Some(self.first_time.map_or(time, |first| first.min(time)));
            self.last_time = Some(self.last_time.map_or(time, |last| last.max(time)));
        }
        let text = |name: &str| event.data.get(name).and_then(Value::as_str);
        match event.kind {
            "message.completed" => self.messages += 1,
            "thought" => self.thoughts += 1,
            "tool.started" => {
                self.tool_calls += 1;
                self.open_calls
                    .insert(text("call").unwrap_or_default().to_owned());
            }
            "tool.finished" => {
                self.results += 1;
                self.errors += u64::from(text("status") == Some("error"));
                if !self.open_calls.remove(text("call").unwrap_or_default()) {
                    self.unpaired_results += 1;
                }
            }
            "terminal.output" => self.terminal_bytes += text("text").unwrap_or_default().len() as u64,
            "usage" => {
                self.usage.apply(&event.data);
                self.cost_usd = self.usage.cost_usd();
                self.tokens.extend(self.usage.by_model());
            }
            _ => {}
        }
        self.unpaired_calls = self.open_calls.len() as u64;
    }
}
