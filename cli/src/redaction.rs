//! Finds where a session says something that must not be shown: events, fields and spans.
//!
//! What is looked for stays here: what leaves this process are places. What a terminal prints and what a message says in
//! parts is searched as one text, so that a secret that is split over two events is found.

mod pattern;

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kulti_schemas::escape_pointer_token;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use pattern::Pattern;

/// A member that no event has: hides nothing of `data`, and with it `raw`.
const ONLY_RAW: &str = "/";

/// A part of an event to hide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Target {
    /// The event's id.
    pub(crate) event: String,
    /// A JSON pointer into its data; all of it without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    /// All of the field without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spans: Option<Vec<(u64, u64)>>,
    #[serde(skip)]
    pub(crate) position: i64,
    #[serde(skip)]
    pub(crate) kind: String,
}

#[derive(Deserialize)]
struct Line {
    position: i64,
    id: String,
    kind: String,
    data: Value,
    #[serde(default)]
    raw: Option<String>,
}

/// Takes a session's events in order.
pub(crate) struct Finder {
    pattern: Pattern,
    targets: Vec<Target>,
    /// By kind and what belongs together.
    streams: BTreeMap<[String; 3], Stream>,
}

/// A text that came in parts.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

struct Part {
    target: Target,
    range: Range<usize>,
    /// Spans count characters, else bytes.
    is_text: bool,
}

impl Finder {
    pub(crate) fn new(pattern: Pattern) -> Self {
        Finder {
            pattern,
            targets: Vec::new(),
            streams: BTreeMap::new(),
        }
    }

    /// Takes the next event, as readers get it.
    pub(crate) fn take(&mut self, event: &str) -> anyhow::Result<()> {
        let line: Line = serde_json::from_str(event).context("the server sent what is no event")?;
        let target = Target {
            event: line.id.clone(),
            field: None,
            spans: None,
            position: line.position,
            kind: line.kind.clone(),
        };
        let found_before = self.targets.len();
        let parted = self.take_part(&line, &target);
        if let Value::Object(members) = &line.data {
            if members.keys().any(|name| self.pattern.is_in(name)) {
                self.targets.push(target.clone());
            } else {
                for (name, value) in members.iter().filter(|(name, _)| Some(name.as_str()) != parted) {
                    self.search(&target, &format!("/{}", escape_pointer_token(name)), value);
                }
            }
        }
        if self.targets.len() == found_before && line.raw.is_some_and(|raw| self.pattern.is_in(&raw)) {
            self.targets.push(Target {
                field: Some(ONLY_RAW.to_owned()),
                ..target
            });
        }
        Ok(())
    }

    /// The member that is part of a longer text, if there is one.
    fn take_part(&mut self, line: &Line, target: &Target) -> Option<&'static str> {
        let word = |name: &str| line.data[name].as_str().unwrap_or_default().to_owned();
        let belongs_to = match line.kind.as_str() {
            "terminal.output" => ["terminal".to_owned(), word("terminal"), word("stream")],
            "message.delta" => ["message".to_owned(), word("message"), word("channel")],
            _ => return None,
        };
        let (name, bytes) = match (line.data["text"].as_str(), line.data["base64"].as_str()) {
            (Some(text), _) => ("text", text.as_bytes().to_vec()),
            (None, Some(base64)) => ("base64", STANDARD.decode(base64).ok()?),
            (None, None) => return None,
        };
        let stream = self.streams.entry(belongs_to).or_default();
        let begin = stream.bytes.len();
        stream.bytes.extend(bytes);
        stream.parts.push(Part {
            target: Target {
                field: Some(format!("/{name}")),
                ..target.clone()
            },
            range: begin..stream.bytes.len(),
            is_text: name == "text",
        });
        Some(name)
    }

    fn search(&mut self, target: &Target, pointer: &str, value: &Value) {
        let spans = match value {
            Value::String(text) => {
                let spans: Vec<(u64, u64)> = self
                    .pattern
                    .places(text.as_bytes())
                    .iter()
                    .map(|range| characters(text.as_bytes(), range))
                    .collect();
                if spans.is_empty() {
                    return;
                }
                Some(spans)
            }
            Value::Number(number) if self.pattern.is_in(&number.to_string()) => None,
            // A pointer to what is under that name would say it.
            Value::Object(members) if members.keys().any(|name| self.pattern.is_in(name)) => None,
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.search(target, &format!("{pointer}/{index}"), element);
                }
                return;
            }
            Value::Object(members) => {
                for (name, value) in members {
                    self.search(
                        target,
                        &format!("{pointer}/{}", escape_pointer_token(name)),
                        value,
                    );
                }
                return;
            }
            _ => return,
        };
        self.targets.push(Target {
            field: Some(pointer.to_owned()),
            spans,
            ..target.clone()
        });
    }

    /// Every place, in the order of the events.
    pub(crate) fn finish(mut self) -> Vec<Target> {
        for stream in self.streams.values() {
            let mut spans: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
            for found in self.pattern.places(&stream.bytes) {
                let first = stream.parts.partition_point(|part| part.range.end <= found.start);
                for (index, part) in (first..).zip(&stream.parts[first..]) {
                    if part.range.start >= found.end {
                        break;
                    }
                    let inside = found.start.max(part.range.start) - part.range.start
                        ..found.end.min(part.range.end) - part.range.start;
                    if inside.is_empty() {
                        continue;
                    }
                    let bytes = &stream.bytes[part.range.clone()];
                    let span = match part.is_text {
                        true => characters(bytes, &inside),
                        false => (inside.start as u64, inside.end as u64),
                    };
                    spans.entry(index).or_default().push(span);
                }
            }
            self.targets
                .extend(spans.into_iter().map(|(index, spans)| Target {
                    spans: Some(spans),
                    ..stream.parts[index].target.clone()
                }));
        }
        self.targets.sort_by_key(|target| target.position);
        self.targets
    }
}

/// The characters that a range of a text's bytes touches.
fn characters(text: &[u8], range: &Range<usize>) -> (u64, u64) {
    let begins = |byte: &&u8| **byte & 0xC0 != 0x80;
    let count = |bytes: &[u8]| bytes.iter().filter(begins).count() as u64;
    // In the middle of a character, the whole of it.
    let start = count(&text[..range.start.saturating_add(1).min(text.len())]).saturating_sub(1);
    (start, count(&text[..range.end]))
}

#[cfg(test)]
mod tests;
