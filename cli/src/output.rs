//! Everything that is printed: data on standard output, notes on standard error, colours only where they help.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::environment::Environment;
use crate::failure::usage;

/// Prints a line of data; an error here means that the reader has gone.
pub(crate) fn print_line(line: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

/// Prints bytes as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Says something to the person at the terminal. Nothing can be done if nobody listens.
pub(crate) fn note(text: &str) {
    writeln!(io::stderr().lock(), "{text}").ok();
}

/// Asks the person at the terminal; what is not a yes is a no.
pub(crate) async fn confirm(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(usage("nobody can be asked here: look first, then say --yes"));
    }
    note(question);
    let mut answer = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut answer).await?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Says why something is sent again.
pub(crate) fn note_retry(reason: &str, delay: Duration) {
    note(&format!("{reason}; trying again in {:.1} s", delay.as_secs_f64()));
}

/// Writes colours, or leaves them out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// With colours if standard output is a terminal that wants them (<https://no-color.org>).
    pub(crate) fn for_stdout(environment: &Environment) -> Self {
        let wanted = environment.get("NO_COLOR").is_none() && environment.get("TERM") != Some("dumb");
        Paint {
            on: wanted && io::stdout().is_terminal(),
        }
    }

    /// With or without.
    #[cfg(test)]
    pub(crate) fn new(on: bool) -> Self {
        Paint { on }
    }

    /// Whether colours are written.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Less important.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }
    /// More important.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }
    /// Good.
    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }
    /// Bad.
    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }
    /// Worth a look.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }
    /// Names and places.
    pub(crate) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

/// Columns as wide as their widest cell; the last one is not padded, so that only it may hold text of
/// unknown width. Cells must hold no colours.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], paint: Paint) -> String {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let last = cells.len().saturating_sub(1);
        let mut text = String::new();
        for (index, cell) in cells.iter().enumerate() {
            text.push_str(cell);
            if index < last {
                let padding = widths[index].saturating_sub(cell.chars().count()) + 2;
                text.extend(std::iter::repeat_n(' ', padding));
            }
        }
        text.trim_end().to_owned()
    };
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let mut lines = vec![paint.dim(&line(&header))];
    lines.extend(rows.iter().map(|row| line(row)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["a".to_owned(), "1".to_owned(), "x y".to_owned()],
            vec!["bcd".into(), "22".into(), "z".into()],
        ];
        assert_eq!(
            table(&["N", "V", "T"], &rows, Paint::new(false)),
            "N    V   T\na    1   x y\nbcd  22  z"
        );
    }

    #[test]
    fn without_colours_nothing_is_added() {
        assert_eq!(Paint::new(false).red("x"), "x");
        assert_eq!(Paint::new(true).red("x"), "\x1b[31mx\x1b[0m");
    }
}
