//! What a terminal event writes to its terminal: one translation for the screen, recordings and live terminals.
//!
//! A terminal whose output says `stream: pty` is taken as it is. Any other is a log: lines end as a terminal ends
//! them, a command is shown behind a prompt, and `level` gives a colour.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::event::FoldEvent;
use super::fields::Fields;

/// The terminal of events that name none.
pub const MAIN_TERMINAL: &str = "main";
/// Largest size that is taken; beyond it a terminal is clipped.
const MOST_COLS: i64 = 500;
const MOST_ROWS: i64 = 200;
/// Characters that one event may have repeated by escape sequences (REP): a few bytes that ask for 65,535 each would
/// otherwise cost more than all else.
const MOST_REPEATED: usize = 65_536;

/// What becomes of a terminal by one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalChange {
    /// Text to feed to an emulator.
    Output(String),
    /// A new size: columns and rows.
    Resize(usize, usize),
}

/// The state of the translation for one terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalFeed {
    /// Output of a pseudo-terminal was seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pty: bool,
    /// The last character written was not a line end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    within_line: bool,
    /// The last character written was a carriage return.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    after_return: bool,
    /// The beginning of a character that the next event goes on with: at most 3 bytes of UTF-8.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pending: Vec<u8>,
}

/// The terminal that an event is about; `None` if it is not about a terminal.
pub fn terminal_of<'a>(event: &FoldEvent<'a>) -> Option<Cow<'a, str>> {
    if !event.kind.starts_with("terminal.") {
        return None;
    }
    let name = Fields::of(event.data).text("terminal");
    Some(
        name.filter(|name| !name.is_empty())
            .unwrap_or(Cow::Borrowed(MAIN_TERMINAL)),
    )
}

impl TerminalFeed {
    /// Whether it is a real terminal, which draws its own screen, and no log.
    pub(super) fn is_pty(&self) -> bool {
        self.pty
    }

    /// What the event, which is about this terminal, does to it.
    pub fn change(&mut self, event: &FoldEvent<'_>) -> Option<TerminalChange> {
        let fields = Fields::of(event.data);
        match event.kind.as_ref() {
            "terminal.output" => self.output(&fields),
            "terminal.command" if !self.pty => {
                let command = fields.text("command")?;
                let command = command.trim_end_matches(['\r', '\n']);
                let start = if self.within_line { "\r\n" } else { "" };
                let text = format!("{start}\x1b[1m$ {command}\x1b[0m\n");
                Some(TerminalChange::Output(self.as_log(&text)))
            }
            "terminal.resized" => {
                let cols = fields.integer("cols")?.clamp(1, MOST_COLS);
                let rows = fields.integer("rows")?.clamp(1, MOST_ROWS);
                Some(TerminalChange::Resize(cols as usize, rows as usize))
            }
            _ => None,
        }
    }

    fn output(&mut self, fields: &Fields<'_>) -> Option<TerminalChange> {
        self.pty |= fields.text("stream").is_some_and(|stream| stream == "pty");
        let text = match fields.text("text") {
            Some(text) => self.decode(text.as_bytes()),
            None => self.decode(&STANDARD.decode(fields.text("base64")?.as_bytes()).ok()?),
        };
        let text = match limit_repeats(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(limited) => limited,
        };
        if self.pty {
            self.remember_end(&text);
            return Some(TerminalChange::Output(text));
        }
        let colour = match fields.text("level").as_deref() {
            Some("error") => Some(31),
            Some("success") => Some(32),
            Some("warning") => Some(33),
            Some("info") => Some(36),
            _ => None,
        };
        let text = match colour {
            // The line end stays outside, so that the colour does not run into what follows.
            Some(colour) => {
                let line = text.trim_end_matches(['\r', '\n']);
                format!("\x1b[{colour}m{line}\x1b[0m{}", &text[line.len()..])
            }
            None => text,
        };
        Some(TerminalChange::Output(self.as_log(&text)))
    }

    /// Bytes as text. What is not UTF-8 becomes U+FFFD; a character whose end is still to come is held back.
    fn decode(&mut self, bytes: &[u8]) -> String {
        let joined;
        let bytes = if self.pending.is_empty() {
            bytes
        } else {
            joined = [&std::mem::take(&mut self.pending), bytes].concat();
            &joined
        };
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_beginning(invalid) {
                self.pending = invalid.to_vec();
            } else if !invalid.is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// Line ends as a terminal wants them.
    fn as_log(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        for character in text.chars() {
            if character == '\n' && !self.after_return {
                out.push('\r');
            }
            out.push(character);
            self.after_return = character == '\r';
        }
        self.remember_end(&out);
        out
    }

    fn remember_end(&mut self, text: &str) {
        if let Some(last) = text.chars().next_back() {
            self.within_line = last != '\n';
            self.after_return = last == '\r';
        }
    }
}

/// True if `bytes` can become a character when more come.
fn is_beginning(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else {
        return false;
    };
    let length = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return false,
    };
    bytes.len() < length
}

/// The text without the repetitions that go beyond what one event may ask for.
fn limit_repeats(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut repeated = 0;
    let mut kept = 0;
    let mut out = String::new();
    for (at, _) in text.match_indices('b') {
        let digits = bytes[..at]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let before = &text[..at - digits];
        let start = if before.ends_with("\x1b[") || before.ends_with('\u{9b}') {
            before.len() - 2
        } else {
            continue;
        };
        // More digits than a number here can have are cut by the emulator to the largest.
        let count = text[at - digits..at].parse().unwrap_or(usize::from(u16::MAX));
        repeated += count.min(usize::from(u16::MAX));
        if repeated > MOST_REPEATED && start >= kept {
            out.push_str(&text[kept..start]);
            kept = at + 1;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
