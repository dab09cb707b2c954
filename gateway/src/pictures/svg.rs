//! A screen as SVG: nothing is loaded, every text is escaped, each character stands in its cell whatever the font.

use std::fmt::Write;

use kulti_session::workspace::{Run, Screen};
use unicode_width::UnicodeWidthChar;

use super::palette::{BACKGROUND, FOREGROUND, colour};

/// A cell of DejaVu Sans Mono at this size.
const FONT_SIZE: f64 = 14.0;
const CELL_WIDTH: f64 = 8.43;
const CELL_HEIGHT: f64 = 17.0;
/// From a cell's top to its base line.
const ASCENT: f64 = 13.4;
const PADDING: f64 = 12.0;
const FONTS: &str = "DejaVu Sans Mono, JetBrains Mono, Menlo, Consolas, monospace";

/// The picture.
pub(super) fn draw(screen: &Screen) -> String {
    let width = PADDING * 2.0 + screen.cols as f64 * CELL_WIDTH;
    let height = PADDING * 2.0 + screen.rows as f64 * CELL_HEIGHT;
    let (mut grounds, mut texts) = (String::new(), String::new());
    for (row, line) in screen.lines.iter().enumerate() {
        let mut col = 0;
        for run in &line.0 {
            let cols = columns(&run.text);
            ground(&mut grounds, run, (row, col), cols);
            let mut start = col;
            for piece in pieces(&run.text) {
                let cols = columns(piece);
                text(&mut texts, run, piece, ((row, start), cols));
                start += cols;
            }
            col += cols;
        }
    }
    let mut svg = String::with_capacity(grounds.len() + texts.len() + 1_024);
    // Writing to a text never fails.
    write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.2} {height:.2}\" role=\"img\" font-family=\"{FONTS}\" font-size=\"{FONT_SIZE}\" \
         fill=\"{FOREGROUND}\" xml:space=\"preserve\"><title>Terminal, {} columns and {} rows</title>\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>",
        screen.cols, screen.rows
    )
    .ok();
    svg.push_str(&grounds);
    if let Some(cursor) = screen
        .cursor
        .filter(|cursor| cursor.row < screen.rows && cursor.col < screen.cols)
    {
        let place = rectangle((cursor.row, cursor.col), 1);
        write!(svg, "<rect {place} fill=\"{FOREGROUND}\" fill-opacity=\"0.5\"/>").ok();
    }
    svg.push_str(&texts);
    svg.push_str("</svg>\n");
    svg
}

fn ground(out: &mut String, run: &Run, place: (usize, usize), cols: usize) {
    let paint = if run.inverse { &run.fg } else { &run.bg };
    let ground = match paint {
        Some(paint) => colour(paint),
        None if run.inverse => FOREGROUND.into(),
        None => return,
    };
    if cols > 0 {
        write!(out, "<rect {} fill=\"{ground}\"/>", rectangle(place, cols)).ok();
    }
}

fn text(out: &mut String, run: &Run, text: &str, ((row, col), cols): ((usize, usize), usize)) {
    let is_seen = text.chars().any(|character| character != ' ') || run.underline || run.strikethrough;
    if cols == 0 || !is_seen {
        return;
    }
    let x = PADDING + col as f64 * CELL_WIDTH;
    let y = PADDING + row as f64 * CELL_HEIGHT + ASCENT;
    let width = cols as f64 * CELL_WIDTH;
    write!(
        out,
        "<text x=\"{x:.2}\" y=\"{y:.2}\" textLength=\"{width:.2}\" lengthAdjust=\"spacingAndGlyphs\""
    )
    .ok();
    let paint = if run.inverse { &run.bg } else { &run.fg };
    match paint {
        Some(paint) => write!(out, " fill=\"{}\"", colour(paint)).ok(),
        None if run.inverse => write!(out, " fill=\"{BACKGROUND}\"").ok(),
        None => None,
    };
    if run.bold {
        out.push_str(" font-weight=\"bold\"");
    }
    if run.italic {
        out.push_str(" font-style=\"italic\"");
    }
    if run.faint {
        out.push_str(" fill-opacity=\"0.6\"");
    }
    match (run.underline, run.strikethrough) {
        (true, true) => out.push_str(" text-decoration=\"underline line-through\""),
        (true, false) => out.push_str(" text-decoration=\"underline\""),
        (false, true) => out.push_str(" text-decoration=\"line-through\""),
        (false, false) => {}
    }
    out.push('>');
    escape(out, text);
    out.push_str("</text>");
}

fn rectangle((row, col): (usize, usize), cols: usize) -> String {
    let x = PADDING + col as f64 * CELL_WIDTH;
    let y = PADDING + row as f64 * CELL_HEIGHT;
    let width = cols as f64 * CELL_WIDTH;
    // A hair wider, so that no line shows between neighbours.
    format!(
        "x=\"{x:.2}\" y=\"{y:.2}\" width=\"{:.2}\" height=\"{CELL_HEIGHT}\"",
        width + 0.1
    )
}

/// Neighbours of one width and of one kind of font: what one font lacks does not pull the others along.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let class = |character: char| (character.is_ascii(), cells(character));
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = class(rest.chars().next()?);
        let end = rest
            .char_indices()
            .find(|(_, character)| class(*character) != first)
            .map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn columns(text: &str) -> usize {
    text.chars().map(cells).sum()
}

/// Columns of a character, as the emulator counts them.
fn cells(character: char) -> usize {
    character.width().unwrap_or(1).max(1)
}

/// What XML does not let into a text becomes a space.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            character if character.is_control() => out.push(' '),
            character => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests;
