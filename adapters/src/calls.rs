//! Tool calls that wait for their result.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use crate::reader::short_hash;

/// Calls that are waited for; of more, the oldest is given up.
const OPEN: usize = 4_096;

/// A call without a result so far.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OpenCall {
    /// Its name in events, which no other call of the session has.
    pub(crate) call: String,
    /// The tool.
    pub(crate) tool: String,
    /// What the result's events need of its input.
    pub(crate) input: Value,
}

/// Pairs calls and results by the source's own ids, which may come back for other calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: HashMap<String, OpenCall>,
    order: VecDeque<String>,
    /// Hash of an id -> how often it named a call.
    uses: HashMap<u64, u32>,
}

impl Calls {
    /// A call begins; gives its name in events.
    pub(crate) fn start(&mut self, id: &str, tool: &str, input: Value) -> String {
        let uses = self.uses.entry(short_hash(id)).or_default();
        *uses += 1;
        let call = match *uses {
            1 => id.to_owned(),
            number => format!("{id}#{number}"),
        };
        let open = OpenCall {
            call: call.clone(),
            tool: tool.to_owned(),
            input,
        };
        if self.open.insert(id.to_owned(), open).is_none() {
            self.order.push_back(id.to_owned());
        }
        while self.order.len() > OPEN {
            if let Some(oldest) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
        call
    }

    /// Its result has come.
    pub(crate) fn finish(&mut self, id: &str) -> Option<OpenCall> {
        let open = self.open.remove(id)?;
        if let Some(at) = self.order.iter().position(|known| known == id) {
            self.order.remove(at);
        }
        Some(open)
    }

    /// The call of that id that waits for its result.
    pub(crate) fn open(&self, id: &str) -> Option<&OpenCall> {
        self.open.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_comes_back_is_another_call() {
        let mut calls = Calls::default();
        assert_eq!(calls.start("a", "Bash", Value::Null), "a");
        assert_eq!(calls.finish("a").expect("open").call, "a");
        assert_eq!(calls.start("a", "Read", Value::Null), "a#2");
        assert_eq!(calls.finish("a").expect("open").call, "a#2");
        assert_eq!(calls.finish("a"), None);
    }

    #[test]
    fn calls_that_never_get_a_result_are_given_up_one_day() {
        let mut calls = Calls::default();
        for number in 0..OPEN + 10 {
            calls.start(&number.to_string(), "Bash", Value::Null);
        }
        assert!(calls.open("9").is_none() && calls.open("10").is_some());
    }
}
