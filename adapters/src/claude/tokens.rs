//! What messages used. A line's usage is that of its message's beginning unless the message had ended when the line
//! was written, and is repeated on all lines of the message: only what is final counts, once.

use std::collections::HashMap;

use serde_json::Value;

use crate::adapter::Output;
use crate::fields::count;
use crate::reader::short_hash;
use crate::report::Tokens;
use crate::usage::Amounts;

/// Messages whose use is remembered; their lines stand close together.
const MESSAGES: usize = 50_000;
/// Claude Code's own texts, which no model made.
pub(super) const SYNTHETIC: &str = "<synthetic>";

/// The final use of each message so far.
#[derive(Debug, Default)]
pub(super) struct MessageUsage(HashMap<u64, Amounts>);

/// The Messages API's `usage`.
pub(super) fn amounts(usage: &Value) -> Amounts {
    Amounts {
        tokens: Tokens {
            input: count(usage, "input_tokens"),
            output: count(usage, "output_tokens"),
            cache_read: count(usage, "cache_read_input_tokens"),
            cache_creation: count(usage, "cache_creation_input_tokens"),
        },
        cost_usd: None,
    }
}

impl MessageUsage {
    /// Says what the message used, as far as that was not said before.
    pub(super) fn settle(&mut self, message: &str, model: &str, used: Amounts, out: &mut Output<'_>) {
        if model == SYNTHETIC || model.is_empty() {
            return;
        }
        if self.0.len() >= MESSAGES {
            self.0.clear();
        }
        let key = short_hash(message);
        let before = self.0.get(&key).copied();
        let more = match before {
            Some(before) => used.since(before),
            None => used,
        };
        // Falling amounts are another snapshot of the same message, not more of it.
        if before.is_some_and(|before| more == used && before != Amounts::default()) {
            return;
        }
        self.0.insert(key, used);
        if before.is_none() || !more.is_nothing() {
            out.event("usage", more.data(model, "call").with("message", message));
        }
    }
}
