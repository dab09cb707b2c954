//! Permissions that Claude Code asks for at its terminal. Its hooks tell of the question; the answer shows in what
//! becomes of the call.

use std::collections::VecDeque;

use serde_json::Value;

use super::tools::ToolResult;
use crate::adapter::Output;
use crate::fields::Data;
use crate::reader::short_hash;

/// Calls that a question may be about, and questions without an answer.
const OPEN: usize = 64;
/// How a result begins of a call that was not allowed.
const REFUSALS: &[&str] = &[
    "The user doesn't want to proceed with this tool use",
    "The user doesn't want to take this action",
    "Permission to use",
    "[Request interrupted by user",
];

/// The questions of a session.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    /// Calls by id, with what they are about.
    calls: VecDeque<(String, u64)>,
    /// Questions, with the call that waits.
    asked: VecDeque<(String, Option<String>)>,
    /// Calls that have their result, and what was decided about them if they were asked about.
    decided: VecDeque<(String, &'static str)>,
}

impl Approvals {
    /// A call begins.
    pub(super) fn called(&mut self, id: &str, tool: &str, input: &Value) {
        push(&mut self.calls, (id.to_owned(), about(tool, input)));
    }

    /// The call that a question is about which does not name it: the last with this input.
    pub(super) fn call_of(&self, tool: &str, input: &Value) -> Option<String> {
        let about = about(tool, input);
        let call = self.calls.iter().rev().find(|call| call.1 == about)?;
        Some(call.0.clone())
    }

    /// A question is asked. Where its call has its result already, which another feed told before, it is answered.
    pub(super) fn asked(&mut self, approval: &str, call: Option<&str>, out: &mut Output<'_>) {
        push(&mut self.asked, (approval.to_owned(), call.map(str::to_owned)));
        let mut latest_first = self.decided.iter().rev();
        if let Some((_, decision)) = latest_first.find(|(decided, _)| Some(decided.as_str()) == call) {
            let decision = *decision;
            self.resolve(decision, |asked| asked == call, out);
        }
    }

    /// The call has its result: what was asked about it is answered.
    pub(super) fn finished(&mut self, call: &str, result: &ToolResult<'_>, out: &mut Output<'_>) {
        let is_refused = result.is_error && REFUSALS.iter().any(|words| result.text.starts_with(words));
        let decision = if is_refused { "deny" } else { "allow" };
        push(&mut self.decided, (call.to_owned(), decision));
        self.resolve(decision, |asked| asked == Some(call), out);
    }

    /// The call was refused.
    pub(super) fn denied(&mut self, call: Option<&str>, out: &mut Output<'_>) {
        self.resolve("deny", |asked| asked == call, out);
    }

    /// The turn is over: nothing waits any more.
    pub(super) fn turn_ended(&mut self, out: &mut Output<'_>) {
        self.resolve("cancel", |_| true, out);
    }

    fn resolve(&mut self, decision: &str, is_about: impl Fn(Option<&str>) -> bool, out: &mut Output<'_>) {
        self.asked.retain(|(approval, call)| {
            let is_answered = is_about(call.as_deref());
            if is_answered {
                out.event(
                    "approval.resolved",
                    Data::new()
                        .with("approval", approval.as_str())
                        .with("decision", decision)
                        .with("by", "terminal"),
                );
            }
            !is_answered
        });
    }
}

fn push<T>(queue: &mut VecDeque<T>, value: T) {
    if queue.len() >= OPEN {
        queue.pop_front();
    }
    queue.push_back(value);
}

fn about(tool: &str, input: &Value) -> u64 {
    short_hash(&format!("{tool} {input}"))
}
