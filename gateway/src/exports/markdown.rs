//! A transcript for people: who said, did and ran what, in order, with the time since the session's start.
//!
//! Deltas are folded into their messages, and what a terminal prints in one go into one block.

mod terminal;
mod text;

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kulti_schemas::{PositionedEvent, Timestamp};
use serde_json::Value;

use self::terminal::PlainTerminal;
use self::text::{code_block, code_span, inline, quotation};
use super::{Encoder, ExportError, Range};
use crate::store::SessionRow;

/// A block of output that is longer is continued in another.
const BLOCK_BYTES: usize = 64 * 1024;
/// Messages whose end has not come; of more, the oldest is written as it is.
const OPEN_MESSAGES: usize = 64;
const OPEN_BYTES: usize = 4 << 20;

pub(super) struct Markdown {
    header: String,
    started_at: Timestamp,
    /// The output that is being collected, of which terminal, and since when.
    output: Option<(String, Timestamp)>,
    terminal: PlainTerminal,
    open: VecDeque<OpenMessage>,
    open_bytes: usize,
}

/// A message of which deltas have come.
struct OpenMessage {
    name: String,
    role: String,
    text: String,
    clock: Timestamp,
}

impl Markdown {
    pub(super) fn new(session: &SessionRow, range: Range) -> Self {
        let started_at = Timestamp::from(session.started_at);
        let title = [&session.title, &session.task].into_iter().flatten().next();
        let mut header = format!("# {}\n\n", inline(title.unwrap_or(&session.id)));
        let name = session.agent_name.as_ref().unwrap_or(&session.agent_id);
        header += &format!(
            "- Agent: {}\n- Session: {}\n",
            inline(name),
            code_span(&session.id)
        );
        if let (Some(_), Some(task)) = (&session.title, &session.task) {
            header += &format!("- Task: {}\n", inline(task));
        }
        header += &format!("- Started: {}\n", started_at.to_rfc3339());
        header += &format!(
            "- Events: {} to {} of {}\n\n",
            range.first, range.last, session.position
        );
        Markdown {
            header,
            started_at,
            output: None,
            terminal: PlainTerminal::default(),
            open: VecDeque::new(),
            open_bytes: 0,
        }
    }

    /// The line that begins an entry.
    fn entry(&self, clock: Timestamp, what: &str) -> String {
        let seconds = (clock.0 - self.started_at.0).max(0) / 1_000_000;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let time = if hours > 0 {
            format!("{hours}:{minutes:02}:{seconds:02}")
        } else {
            format!("{minutes}:{seconds:02}")
        };
        format!("**{time}** · {what}\n\n")
    }

    fn end_output(&mut self, out: &mut Vec<u8>) {
        if let Some((name, clock)) = self.output.take() {
            let text = self.terminal.take();
            if !text.trim().is_empty() {
                let what = if name.is_empty() {
                    "output".to_owned()
                } else {
                    format!("output of {}", code_span(&name))
                };
                put(out, &self.entry(clock, &what));
                put(out, &code_block(&text, "text"));
            }
        }
    }

    fn add_output(&mut self, event: &PositionedEvent, data: &Value, out: &mut Vec<u8>) {
        let name = text_of(data, "terminal");
        let is_other = self.output.as_ref().is_some_and(|(current, _)| current != name);
        if is_other || self.terminal.len() > BLOCK_BYTES {
            self.end_output(out);
        }
        if self.output.is_none() {
            self.output = Some((name.to_owned(), event.clock));
        }
        match data["text"].as_str() {
            Some(text) => self.terminal.write(text.as_bytes()),
            None => {
                let bytes = STANDARD.decode(text_of(data, "base64")).unwrap_or_default();
                self.terminal.write(&bytes);
            }
        }
    }

    fn add_delta(&mut self, event: &PositionedEvent, data: &Value, out: &mut Vec<u8>) {
        // Thinking is not said; what is meant to be read of it comes as a thought.
        if data["channel"] == "thinking" {
            return;
        }
        let (name, text) = (text_of(data, "message"), text_of(data, "text"));
        self.open_bytes += text.len();
        match self.open.iter_mut().find(|message| message.name == name) {
            Some(message) => message.text.push_str(text),
            None => self.open.push_back(OpenMessage {
                name: name.to_owned(),
                role: text_of(data, "role").to_owned(),
                text: text.to_owned(),
                clock: event.clock,
            }),
        }
        while self.open.len() > OPEN_MESSAGES || self.open_bytes > OPEN_BYTES {
            self.end_oldest(out);
        }
    }

    /// Writes the oldest message that was never completed.
    fn end_oldest(&mut self, out: &mut Vec<u8>) {
        if let Some(message) = self.open.pop_front() {
            self.open_bytes -= message.text.len();
            self.end_output(out);
            let role = if message.role.is_empty() {
                "assistant"
            } else {
                &message.role
            };
            put(
                out,
                &self.entry(message.clock, &format!("{} (unfinished)", inline(role))),
            );
            put(out, &quotation(&message.text));
        }
    }

    fn complete(&mut self, data: &Value) {
        let name = text_of(data, "message");
        if let Some(index) = self.open.iter().position(|message| message.name == name)
            && let Some(message) = self.open.remove(index)
        {
            self.open_bytes -= message.text.len();
        }
    }

    /// An entry of its own; `None` for what there is nothing to read of.
    fn section(&self, kind: &str, data: &Value) -> Option<(String, String)> {
        let text = |name: &str| text_of(data, name);
        let with = |what: &str, detail: &str| match detail {
            "" => what.to_owned(),
            detail => format!("{what}: {}", inline(detail)),
        };
        let json = |value: &Value| match value {
            Value::Null => String::new(),
            Value::String(text) => code_block(text, "text"),
            other => code_block(&serde_json::to_string_pretty(other).unwrap_or_default(), "json"),
        };
        let said = |who: String, text: &str| Some((who, quotation(text)));
        Some(match kind {
            "session.started" => (with("started", &title(data)), String::new()),
            "session.updated" => (with("now", &title(data)), String::new()),
            "session.ended" => (with("ended", text("reason")), json(&data["result"])),
            "thought" => return said(with("thought", text("type")), text("content")),
            "message.completed" => return said(inline(text("role")), text("content")),
            "chat" => {
                let name = Some(text("name"))
                    .filter(|name| !name.is_empty())
                    .unwrap_or("a viewer");
                return said(format!("chat of {}", inline(name)), text("text"));
            }
            "tool.started" => (format!("tool {}", code_span(text("name"))), json(&data["input"])),
            "tool.finished" => {
                let failed = if data["status"] == "error" {
                    " (failed)"
                } else {
                    ""
                };
                (format!("result{failed}"), json(&data["output"]))
            }
            "terminal.command" => (
                "command".to_owned(),
                code_block(&format!("$ {}", text("command")), "console"),
            ),
            "terminal.exited" if data["code"] == 0 => return None,
            "terminal.exited" => (with("exit code", &data["code"].to_string()), String::new()),
            "code.changed" => {
                let what = format!("{} {}", inline(text("action")), code_span(text("path")));
                let body = match (data["patch"].as_str(), data["content"].as_str()) {
                    (Some(patch), _) => code_block(patch, "diff"),
                    (None, Some(content)) => code_block(content, text("language")),
                    (None, None) => String::new(),
                };
                (what, body)
            }
            "error" => {
                let stack = Some(text("stack")).filter(|stack| !stack.is_empty());
                let stack = stack.map(|stack| code_block(stack, "text")).unwrap_or_default();
                ("error".to_owned(), quotation(text("message")) + &stack)
            }
            "marker" => (format!("⚑ {}", inline(text("label"))), String::new()),
            "status.changed" => (with("status", text("status")), String::new()),
            "progress" => (with("progress", text("title")), plan(data)),
            "preview.opened" => (format!("preview {}", code_span(text("url"))), String::new()),
            "usage" | "clip" | "reaction" | "chat.delivered" | "chat.read" | "terminal.resized"
            | "redaction" => {
                return None;
            }
            "preview.closed" => ("preview closed".to_owned(), String::new()),
            other => (code_span(other), json(data)),
        })
    }
}

impl Encoder for Markdown {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        put(out, &self.header);
        Ok(())
    }

    fn event(&mut self, event: &PositionedEvent, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let kind = event.event.kind.name();
        // Half a surrogate pair cannot come in; what cannot be read all the same is shown as text.
        let text = event.event.data.get();
        let data: Value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        match kind {
            "terminal.output" => self.add_output(event, &data, out),
            "message.delta" => self.add_delta(event, &data, out),
            _ => {
                if kind == "message.completed" {
                    self.complete(&data);
                }
                if let Some((what, body)) = self.section(kind, &data) {
                    self.end_output(out);
                    put(out, &self.entry(event.clock, &what));
                    put(out, &body);
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.end_output(out);
        while !self.open.is_empty() {
            self.end_oldest(out);
        }
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn text_of<'a>(data: &'a Value, name: &str) -> &'a str {
    data[name].as_str().unwrap_or_default()
}

fn title(data: &Value) -> String {
    let texts = [&data["title"], &data["task"], &data["task"]["title"]];
    let found = texts.into_iter().find_map(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn plan(data: &Value) -> String {
    let steps = data["plan"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut out = String::new();
    for step in steps {
        let mark = if ["done", "completed"].contains(&text_of(step, "state")) {
            "x"
        } else {
            " "
        };
        out += &format!("- [{mark}] {}\n", inline(text_of(step, "text")));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}
