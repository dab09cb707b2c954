//! The screen of a terminal as lines of styled text, for whoever draws it.

use avt::{Color, Line, Pen};
use serde::{Deserialize, Serialize};

use super::window::{Cost, json_length};

/// A terminal's screen at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screen {
    /// The terminal's name.
    pub terminal: String,
    /// Columns.
    pub cols: usize,
    /// Rows.
    pub rows: usize,
    /// Where the cursor is, from 0; absent while it is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<CursorPlace>,
    /// The rows, from the top. Spaces without style at a line's end are left out.
    pub lines: Vec<StyledLine>,
    /// The last lines that left the screen at its top, oldest first.
    pub scrollback: Vec<StyledLine>,
}

/// A place on the screen, both from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorPlace {
    /// The column.
    pub col: usize,
    /// The row.
    pub row: usize,
}

/// A line as runs of equally styled text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StyledLine(pub Vec<Run>);

/// Text of one style.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The text. A wide character takes two columns.
    pub text: String,
    /// Foreground: a palette index (0 to 255) or `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fg: Option<Paint>,
    /// Background, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bg: Option<Paint>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[allow(missing_docs)]
    pub bold: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[allow(missing_docs)]
    pub faint: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[allow(missing_docs)]
    pub italic: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[allow(missing_docs)]
    pub underline: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[allow(missing_docs)]
    pub strikethrough: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[allow(missing_docs)]
    pub blink: bool,
    /// Foreground and background changed places.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inverse: bool,
}

/// A colour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Paint {
    /// Of the palette of 256.
    Index(u8),
    /// `#rrggbb`.
    Rgb(String),
}

impl From<Color> for Paint {
    fn from(color: Color) -> Self {
        match color {
            Color::Indexed(index) => Paint::Index(index),
            Color::RGB(rgb) => Paint::Rgb(format!("#{:02x}{:02x}{:02x}", rgb.r, rgb.g, rgb.b)),
        }
    }
}

impl StyledLine {
    pub(super) fn of(line: &Line) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        let mut last_pen: Option<&Pen> = None;
        for cell in line.cells().iter().filter(|cell| cell.width() > 0) {
            match runs.last_mut() {
                Some(run) if last_pen == Some(cell.pen()) => run.text.push(cell.char()),
                _ => runs.push(Run::of(cell.pen(), cell.char())),
            }
            last_pen = Some(cell.pen());
        }
        if last_pen.is_some_and(Pen::is_default)
            && let Some(run) = runs.last_mut()
        {
            run.text.truncate(run.text.trim_end_matches(' ').len());
            if run.text.is_empty() {
                runs.pop();
            }
        }
        StyledLine(runs)
    }

    /// Its text alone.
    pub fn text(&self) -> String {
        self.0.iter().map(|run| run.text.as_str()).collect()
    }
}

impl Run {
    fn of(pen: &Pen, character: char) -> Self {
        Run {
            text: character.to_string(),
            fg: pen.foreground().map(Paint::from),
            bg: pen.background().map(Paint::from),
            bold: pen.is_bold(),
            faint: pen.is_faint(),
            italic: pen.is_italic(),
            underline: pen.is_underline(),
            strikethrough: pen.is_strikethrough(),
            blink: pen.is_blink(),
            inverse: pen.is_inverse(),
        }
    }
}

impl Cost for StyledLine {
    fn cost(&self) -> usize {
        // {"text":...,"fg":"#rrggbb","bg":"#rrggbb","bold":true} and a comma; most runs have less.
        3 + self
            .0
            .iter()
            .map(|run| json_length(&run.text) + 60)
            .sum::<usize>()
    }
}
