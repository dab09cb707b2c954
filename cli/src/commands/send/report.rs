//! What `kulti send` prints.

use serde_json::json;

use crate::output::{Paint, note, print_line};
use kulti_runner::sender::Outcome;

/// How many events had which end.
#[derive(Default)]
pub(super) struct Count {
    pub(super) accepted: usize,
    pub(super) rejected: usize,
    pub(super) undecided: usize,
}

/// What became of the events, as it is printed.
pub(super) struct Report {
    pub(super) json: bool,
    /// Accepted ones too.
    pub(super) each: bool,
    pub(super) paint: Paint,
    pub(super) count: Count,
}

impl Report {
    pub(super) fn results(&mut self, outcomes: Vec<Outcome>) -> anyhow::Result<()> {
        for outcome in outcomes {
            match outcome.status.as_str() {
                "accepted" => self.count.accepted += 1,
                "rejected" => self.count.rejected += 1,
                _ => self.count.undecided += 1,
            }
            if self.json {
                print_line(serde_json::to_string(&outcome)?)?;
            } else if self.each || outcome.status != "accepted" || outcome.warning.is_some() {
                print_line(self.text(&outcome))?;
            }
        }
        Ok(())
    }

    fn text(&self, outcome: &Outcome) -> String {
        let clean = |text: &Option<String>| {
            text.as_deref()
                .map(|text| crate::terminal_text::clean_line(text, 400))
        };
        let status = match outcome.status.as_str() {
            "accepted" => self.paint.green("accepted"),
            "rejected" => self.paint.red("rejected"),
            _ => self.paint.yellow("not sent"),
        };
        let mut text = format!("{status} {}", clean(&outcome.id).unwrap_or_default());
        for part in [
            clean(&outcome.code),
            clean(&outcome.field),
            clean(&outcome.detail),
        ]
        .into_iter()
        .flatten()
        {
            text.push_str(&format!("  {part}"));
        }
        if let Some(warning) = clean(&outcome.warning) {
            text.push_str(&format!("  {} {warning}", self.paint.yellow("warning:")));
        }
        text
    }

    pub(super) fn unreadable(&mut self, line: usize, reason: &str) -> anyhow::Result<()> {
        self.count.rejected += 1;
        if self.json {
            let outcome = json!({"id": null, "status": "rejected", "code": "unreadable_line", "detail": reason, "line": line});
            return Ok(print_line(outcome)?);
        }
        Ok(print_line(format!(
            "{} line {line}: {reason}",
            self.paint.red("rejected")
        ))?)
    }

    pub(super) fn total(&self) -> anyhow::Result<()> {
        let Count {
            accepted,
            rejected,
            undecided,
        } = &self.count;
        note(&format!(
            "{accepted} accepted, {rejected} rejected, {undecided} not sent"
        ));
        Ok(())
    }
}
