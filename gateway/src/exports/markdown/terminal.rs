//! What a terminal printed, as plain text: escape sequences are obeyed as far as a line goes, and not shown.

use vte::{Params, Parser, Perform};

/// Collects the output of one terminal.
#[derive(Default)]
pub(super) struct PlainTerminal {
    parser: Parser,
    text: PlainText,
}

#[derive(Default)]
struct PlainText {
    done: String,
    line: Vec<char>,
    column: usize,
    is_full: bool,
}

/// A line that is longer is broken.
const LONGEST_LINE: usize = 10_000;
/// How far a sequence may move the cursor: a few bytes that ask for thousands of spaces would otherwise fill memory.
const LONGEST_MOVE: usize = 500;
/// Between two `take`, at the most; what comes beyond is left out and said so.
const MOST_BYTES: usize = 4 << 20;
const LEFT_OUT: &str = "[more was printed than a transcript holds]\n";

impl PlainTerminal {
    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.text, bytes);
    }

    /// Bytes that are held.
    pub(super) fn len(&self) -> usize {
        self.text.done.len() + self.text.line.len()
    }

    /// What was printed until now; the terminal goes on empty.
    pub(super) fn take(&mut self) -> String {
        let text = &mut self.text;
        text.done.extend(text.line.drain(..));
        text.column = 0;
        if std::mem::take(&mut text.is_full) {
            text.done.push_str(LEFT_OUT);
        }
        std::mem::take(&mut text.done)
    }
}

impl PlainText {
    fn end_line(&mut self) {
        if self.done.len() > MOST_BYTES {
            self.line.clear();
            self.column = 0;
            self.is_full = true;
            return;
        }
        let line: String = self.line.drain(..).collect();
        self.done.push_str(line.trim_end());
        self.done.push('\n');
        self.column = 0;
    }
}

impl Perform for PlainText {
    fn print(&mut self, character: char) {
        if self.column >= LONGEST_LINE {
            self.end_line();
        }
        if self.line.len() < self.column {
            self.line.resize(self.column, ' ');
        }
        match self.line.get_mut(self.column) {
            Some(place) => *place = character,
            None => self.line.push(character),
        }
        self.column += 1;
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end_line(),
            b'\r' => self.column = 0,
            8 => self.column = self.column.saturating_sub(1),
            b'\t' => self.column = (self.column / 8 + 1) * 8,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, _: &[u8], _: bool, action: char) {
        let first = params
            .iter()
            .next()
            .and_then(|values| values.first().copied())
            .unwrap_or(0);
        let count = usize::from(first.max(1));
        match (action, first) {
            ('K', 0) => self.line.truncate(self.column),
            ('K', 2) => self.line.clear(),
            ('G', _) => self.column = (count - 1).min(LONGEST_MOVE),
            ('C', _) => self.column = (self.column + count.min(LONGEST_MOVE)).min(LONGEST_LINE),
            ('D', _) => self.column = self.column.saturating_sub(count),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_progress_lines_are_what_they_were_at_last() {
        let mut terminal = PlainTerminal::default();
        terminal
            .write(b"\x1b[32mok\x1b[0m\r\n 10 %\r 50 %\r100 %\n\x1b]0;title\x07long line\rshort\x1b[K\nop");
        terminal.write("en \u{e9}".as_bytes());
        assert_eq!(terminal.take(), "ok\n100 %\nshort\nopen é");
        assert_eq!(terminal.take(), "");
    }

    #[test]
    fn no_sequence_fills_memory() {
        let mut terminal = PlainTerminal::default();
        for _ in 0..100_000 {
            terminal.write(b"\x1b[65535C\x1b[500Cx\n");
        }
        assert!(
            terminal.len() < MOST_BYTES + 2 * LONGEST_LINE,
            "{}",
            terminal.len()
        );
        assert!(terminal.take().ends_with(LEFT_OUT));
        terminal.write(b"and on");
        assert_eq!(terminal.take(), "and on");
    }
}
