//! The table: what each limit was, and whether it was met.

use crate::machine;
use crate::spread::Spread;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Target::AtLeast(limit) => value >= limit,
            Target::AtMost(limit) => value <= limit,
        }
    }

    fn text(self) -> String {
        match self {
            Target::AtLeast(limit) => format!(">= {limit}"),
            Target::AtMost(limit) => format!("<= {limit}"),
        }
    }

    /// Yes or no by the median, and whether some rounds say otherwise.
    fn verdict(self, figure: Spread) -> &'static str {
        let certain = self.is_met(figure.min) == self.is_met(figure.max);
        match (self.is_met(figure.median), certain) {
            (true, true) => "yes",
            (true, false) => "yes, not in every round",
            (false, true) => "no",
            (false, false) => "no, but in some rounds",
        }
    }
}

/// One limit.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) limit: &'static str,
    /// Kulti's own figure, with its unit.
    pub(crate) ours: String,
    /// What it stands beside.
    pub(crate) beside: String,
    /// Median of the rounds' ratios, or of absolute figures where that is what the target is about.
    pub(crate) figure: Spread,
    pub(crate) target: Target,
}

/// Collects lines and notes until the end.
pub(crate) struct Report {
    lines: Vec<Line>,
    notes: Vec<String>,
}

impl Report {
    /// Says where and how it is measured.
    pub(crate) fn begin(rounds: usize) -> Self {
        println!("{}", machine::describe());
        println!(
            "{rounds} rounds after a warm-up, contenders in turn; processor time is utime + stime of the process"
        );
        Report {
            lines: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, line: Line) {
        println!(
            "  {}: {} beside {}: {}",
            line.limit,
            line.ours,
            line.beside,
            figures(line.figure)
        );
        self.lines.push(line);
    }

    pub(crate) fn note(&mut self, note: String) {
        println!("  {note}");
        self.notes.push(note);
    }

    /// The whole table.
    pub(crate) fn print(&self) {
        let head = ["limit", "ours", "beside", "median [min .. max]", "target", "met"].map(str::to_owned);
        let mut rows = vec![head];
        rows.extend(self.lines.iter().map(|line| {
            [
                line.limit.to_owned(),
                line.ours.clone(),
                line.beside.clone(),
                figures(line.figure),
                line.target.text(),
                line.target.verdict(line.figure).to_owned(),
            ]
        }));
        let width = |column: usize| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        println!();
        for (index, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            println!("| {} |", cells.join(" | "));
            if index == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                println!("| {} |", rules.join(" | "));
            }
        }
        for note in &self.notes {
            println!("- {note}");
        }
    }
}

fn figures(figure: Spread) -> String {
    format!(
        "{} [{} .. {}]",
        short(figure.median),
        short(figure.min),
        short(figure.max)
    )
}

/// Three digits, more or less.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        value_size if value_size >= 1000.0 => with_commas(value.round()),
        value_size if value_size >= 100.0 => format!("{value:.0}"),
        value_size if value_size >= 10.0 => format!("{value:.1}"),
        value_size if value_size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn with_commas(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_readable() {
        let texts = [1_234_567.0, 213.4, 21.34, 0.483, 0.0712].map(short);
        assert_eq!(texts, ["1,234,567", "213", "21.3", "0.48", "0.071"]);
    }

    #[test]
    fn a_spread_across_the_target_is_told() {
        let figure = Spread {
            median: 0.61,
            min: 0.58,
            max: 0.64,
        };
        assert_eq!(Target::AtLeast(0.6).verdict(figure), "yes, not in every round");
        assert_eq!(Target::AtLeast(0.5).verdict(figure), "yes");
        assert_eq!(Target::AtMost(0.5).verdict(figure), "no");
    }
}
