//! What agents print is hostile: makes it safe for the terminal of the person who watches.
//!
//! Lets text, line ends and tabs through, and colours (SGR) where they are wanted. Everything else a terminal
//! would obey (cursor moves, titles, clipboard, links, device queries, bidirectional overrides) is dropped.

use vte::{Params, Parser, Perform};

/// Follows one terminal's output over many events: an escape sequence may be cut anywhere.
pub(crate) struct TerminalFilter {
    parser: Parser,
    safe: Safe,
}

struct Safe {
    out: String,
    colours: bool,
    /// Whether a colour may still be in force.
    coloured: bool,
    /// A carriage return was seen: alone it would let later text overwrite earlier text.
    after_return: bool,
}

impl TerminalFilter {
    /// With or without colours.
    pub(crate) fn new(colours: bool) -> Self {
        let safe = Safe {
            out: String::new(),
            colours,
            coloured: false,
            after_return: false,
        };
        TerminalFilter {
            parser: Parser::new(),
            safe,
        }
    }

    /// The safe part of what the terminal got.
    pub(crate) fn filter(&mut self, bytes: &[u8]) -> String {
        self.parser.advance(&mut self.safe, bytes);
        std::mem::take(&mut self.safe.out)
    }

    /// Whether its last colour may still be in force.
    pub(crate) fn is_coloured(&self) -> bool {
        self.safe.coloured
    }
}

impl Safe {
    fn push(&mut self, character: char) {
        if std::mem::take(&mut self.after_return) {
            self.out.push('\n');
        }
        self.out.push(character);
    }
}

impl Perform for Safe {
    fn print(&mut self, character: char) {
        if !character.is_control() && !is_direction_override(character) {
            self.push(character);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => {
                self.after_return = false;
                self.out.push('\n');
            }
            b'\t' => self.push('\t'),
            b'\r' => self.after_return = true,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if !self.colours || ignore || action != 'm' || !intermediates.is_empty() {
            return;
        }
        let codes: Vec<String> = params
            .iter()
            .map(|group| group.iter().map(u16::to_string).collect::<Vec<_>>().join(":"))
            .collect();
        let codes = codes.join(";");
        self.coloured = !matches!(codes.as_str(), "" | "0");
        self.out.push_str("\x1b[");
        self.out.push_str(&codes);
        self.out.push('m');
    }
}

/// Characters that reorder the text around them, so that it reads as something else.
fn is_direction_override(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

/// A text without anything that a terminal would obey; lines stay.
pub(crate) fn clean(text: &str) -> String {
    TerminalFilter::new(false).filter(text.as_bytes())
}

/// The same on one line, at most `length` characters of it.
pub(crate) fn clean_line(text: &str, length: usize) -> String {
    let line = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= length {
        return line;
    }
    let mut cut: String = line.chars().take(length.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(colours: bool, chunks: &[&[u8]]) -> String {
        let mut filter = TerminalFilter::new(colours);
        chunks.iter().map(|chunk| filter.filter(chunk)).collect()
    }

    #[test]
    fn colours_pass_and_nothing_else_that_a_terminal_obeys() {
        let hostile = b"\x1b[1;31mred\x1b[0m \x1b[2Jx\x1b]52;c;ZXZpbA==\x07y\x1b]0;title\x1b\\z\x1bP1$q\x1b\\\x1b[6n\x08\x07\x00!";
        assert_eq!(filtered(true, &[hostile]), "\x1b[1;31mred\x1b[0m xyz!");
        assert_eq!(filtered(false, &[hostile]), "red xyz!");
    }

    #[test]
    fn sequences_and_characters_cut_between_two_events_stay_whole() {
        assert_eq!(
            filtered(true, &[b"\x1b[3", b"2mgr\xc3", b"\xbcn"]),
            "\x1b[32mgrün"
        );
        assert_eq!(filtered(true, &[b"a\x1b]52;c;evil", b"evil\x07b"]), "ab");
    }

    #[test]
    fn a_carriage_return_never_overwrites() {
        assert_eq!(
            filtered(true, &[b"10%\r20%\r\ndone\r", b"\n"]),
            "10%\n20%\ndone\n"
        );
    }

    #[test]
    fn c1_controls_and_direction_overrides_are_dropped() {
        assert_eq!(clean("c\u{202e}d\u{2066}e"), "cde");
        assert!(!clean("a\u{9b}2Jb").contains('\u{9b}'));
    }

    #[test]
    fn one_line_is_one_line_and_short() {
        assert_eq!(clean_line(" a\n\tb\x1b[31m c ", 80), "a b c");
        assert_eq!(clean_line("abcdef", 4), "abc…");
        assert_eq!(clean_line("\x1b[2J\x1b[Hfake prompt$", 80), "fake prompt$");
    }

    #[test]
    fn subparameters_of_colours_are_kept() {
        assert_eq!(
            filtered(true, &[b"\x1b[38:2::255:0:0mx"]),
            "\x1b[38:2:0:255:0:0mx"
        );
        assert_eq!(filtered(true, &[b"\x1b[mx"]), "\x1b[0mx");
    }

    #[test]
    fn private_and_intermediate_forms_of_m_are_no_colours() {
        assert_eq!(filtered(true, &[b"\x1b[>4;2mx\x1b[?4my"]), "xy");
    }
}
