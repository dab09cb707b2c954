//! Renders a session's events for a terminal, in order: the terminal's own output flows, everything else is a line.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Local;
use serde_json::Value;

use crate::event_line::EventLine;
use crate::event_text::event_text;
use crate::output::Paint;
use crate::terminal_text::{TerminalFilter, clean};

/// A session with more terminals than this shares the filters of the first ones anew.
const TERMINALS: usize = 64;

/// Remembers what must be known of earlier events.
pub(crate) struct Renderer {
    paint: Paint,
    /// Terminal bytes as they are.
    raw: bool,
    /// The time before each line.
    times: bool,
    filters: HashMap<String, TerminalFilter>,
    /// The terminal whose output was printed last, if nothing else came after it.
    open_terminal: Option<String>,
    /// The message whose deltas are being printed.
    open_message: Option<String>,
    at_line_start: bool,
}

/// What a person sees of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RenderOptions {
    /// With colours or without.
    pub(crate) paint: Paint,
    /// Terminal bytes as they are, for a recording that is trusted.
    pub(crate) raw: bool,
    /// The time before each line.
    pub(crate) times: bool,
}

impl Renderer {
    /// At the beginning of a line.
    pub(crate) fn new(options: RenderOptions) -> Self {
        Renderer {
            paint: options.paint,
            raw: options.raw,
            times: options.times,
            filters: HashMap::new(),
            open_terminal: None,
            open_message: None,
            at_line_start: true,
        }
    }

    /// What to print for this event.
    pub(crate) fn render(&mut self, event: &EventLine) -> Vec<u8> {
        let mut out = Vec::new();
        let Ok(view) = event.view() else {
            self.line(
                &mut out,
                &self
                    .paint
                    .red(&format!("event {} cannot be shown", event.position)),
            );
            return out;
        };
        let data: Value = serde_json::from_str(view.data.get()).unwrap_or_default();
        match &*view.kind {
            "terminal.output" => self.terminal_output(&mut out, &data),
            "message.delta" => self.message_delta(&mut out, &data),
            "message.completed" if self.closes_message(&data) => self.finish_line(&mut out),
            kind => {
                if let Some(text) = event_text(kind, &data, self.paint) {
                    let time = view.time.with_timezone(&Local).format("%H:%M:%S").to_string();
                    let time = if self.times {
                        self.paint.dim(&time) + "  "
                    } else {
                        String::new()
                    };
                    self.line(&mut out, &format!("{time}{text}"));
                }
            }
        }
        out
    }

    /// Ends a line that is still open, and its colour.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.finish_line(&mut out);
        out
    }

    fn terminal_output(&mut self, out: &mut Vec<u8>, data: &Value) {
        let bytes = match (data["text"].as_str(), data["base64"].as_str()) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(encoded)) => STANDARD.decode(encoded).unwrap_or_default(),
            (None, None) => return,
        };
        let terminal = format!(
            "{}/{}",
            data["terminal"].as_str().unwrap_or_default(),
            data["stream"].as_str().unwrap_or_default()
        );
        if self.open_terminal.as_ref() != Some(&terminal) {
            self.finish_line(out);
        }
        let shown = if self.raw {
            bytes
        } else {
            self.filter(&terminal).filter(&bytes).into_bytes()
        };
        if let Some(last) = shown.last() {
            self.at_line_start = *last == b'\n';
        }
        out.extend_from_slice(&shown);
        self.open_terminal = Some(terminal);
    }

    fn filter(&mut self, terminal: &str) -> &mut TerminalFilter {
        if self.filters.len() >= TERMINALS && !self.filters.contains_key(terminal) {
            self.filters.clear();
        }
        let colours = self.paint.is_on();
        self.filters
            .entry(terminal.to_owned())
            .or_insert_with(|| TerminalFilter::new(colours))
    }

    fn message_delta(&mut self, out: &mut Vec<u8>, data: &Value) {
        let message = data["message"].as_str().unwrap_or_default();
        if self.open_message.as_deref() != Some(message) {
            self.finish_line(out);
            self.open_message = Some(message.to_owned());
            out.extend_from_slice("● ".as_bytes());
        }
        let text = clean(data["text"].as_str().unwrap_or_default());
        self.at_line_start = false;
        out.extend_from_slice(text.as_bytes());
    }

    /// A message whose text was already printed as it grew is not printed again.
    fn closes_message(&self, data: &Value) -> bool {
        self.open_message.is_some() && self.open_message.as_deref() == data["message"].as_str()
    }

    fn line(&mut self, out: &mut Vec<u8>, text: &str) {
        self.finish_line(out);
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
        self.at_line_start = true;
    }

    fn finish_line(&mut self, out: &mut Vec<u8>) {
        let terminal = self.open_terminal.take();
        let coloured = terminal
            .and_then(|terminal| self.filters.get(&terminal))
            .is_some_and(TerminalFilter::is_coloured);
        if coloured || (self.raw && self.paint.is_on()) {
            out.extend_from_slice(b"\x1b[0m");
        }
        if !self.at_line_start {
            out.push(b'\n');
        }
        self.open_message = None;
        self.at_line_start = true;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(colours: bool, events: &[(&str, Value)]) -> String {
        let mut renderer = Renderer::new(RenderOptions {
            paint: Paint::new(colours),
            raw: false,
            times: false,
        });
        let mut out = Vec::new();
        for (index, (kind, data)) in events.iter().enumerate() {
            let json = json!({"agent": "a", "time": "2026-01-01T00:00:00Z", "received": "2026-01-01T00:00:00Z",
                "source": "agent", "kind": kind, "data": data});
            let event = EventLine {
                session: "s".into(),
                position: index as i64 + 1,
                id: "i".into(),
                json: json.to_string(),
            };
            out.extend(renderer.render(&event));
        }
        out.extend(renderer.finish());
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn output_flows_and_everything_else_begins_a_line() {
        let events = [
            ("terminal.command", json!({"command": "make"})),
            ("terminal.output", json!({"text": "cc a"})),
            ("terminal.output", json!({"text": ".c\ncc b.c"})),
            ("thought", json!({"content": "good"})),
            ("terminal.output", json!({"base64": "b2sK"})),
        ];
        assert_eq!(render(false, &events), "$ make\ncc a.c\ncc b.c\n✻ good\nok\n");
    }

    #[test]
    fn a_colour_left_on_does_not_leak_into_the_next_line() {
        let events = [
            ("terminal.output", json!({"text": "\u{1b}[31mred"})),
            ("terminal.exited", json!({"code": 2})),
        ];
        assert_eq!(
            render(true, &events),
            "\x1b[31mred\x1b[0m\n\x1b[31mexit code 2\x1b[0m\n"
        );
        assert_eq!(render(false, &events), "red\nexit code 2\n");
    }

    #[test]
    fn a_message_is_shown_once_whether_it_grew_or_came_whole() {
        let grown = [
            (
                "message.delta",
                json!({"message": "m", "index": 0, "text": "Hel"}),
            ),
            ("message.delta", json!({"message": "m", "index": 1, "text": "lo"})),
            ("message.completed", json!({"message": "m", "content": "Hello"})),
            ("message.completed", json!({"message": "n", "content": "whole"})),
        ];
        assert_eq!(render(false, &grown), "● Hello\n● whole\n");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let mut renderer = Renderer::new(RenderOptions {
            paint: Paint::new(false),
            raw: false,
            times: false,
        });
        let event = EventLine {
            session: "s".into(),
            position: 9,
            id: "i".into(),
            json: "{}".into(),
        };
        assert_eq!(renderer.render(&event), b"event 9 cannot be shown\n");
    }
}
