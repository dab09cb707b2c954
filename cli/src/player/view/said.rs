//! What the agent is at, thinks and says, the newest at the bottom.

use kulti_session::Workspace;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::{LINE, bold, dim};
use crate::terminal_text::{clean, clean_line};

/// Steps of a plan, and tools, that are listed.
const LISTED: usize = 5;
/// Texts that can be seen at once: older ones are not looked at.
const TEXTS: usize = 60;

struct Said {
    position: i64,
    mark: &'static str,
    text: String,
    style: Style,
}

/// As much as fits.
pub(super) fn paragraph(workspace: &Workspace, area: Rect) -> Paragraph<'static> {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut top = at_work(workspace);
    top.truncate(height / 2);
    let left = height - top.len();
    let mut below: Vec<Line<'static>> = Vec::new();
    for said in newest_first(workspace) {
        if below.len() >= left {
            break;
        }
        let mut lines = wrapped(&said, width);
        lines.reverse();
        below.extend(lines);
    }
    below.truncate(left);
    below.reverse();
    top.extend(below);
    Paragraph::new(top)
}

/// Plan and progress, what runs, what is asked, the last error.
fn at_work(workspace: &Workspace) -> Vec<Line<'static>> {
    let activity = workspace.activity();
    let mut lines = Vec::new();
    if let Some(progress) = &activity.progress {
        let title = progress.title.as_deref().unwrap_or("progress");
        let done = match (progress.done, progress.total) {
            (Some(done), Some(total)) => format!(" {done}/{total}"),
            _ => String::new(),
        };
        lines.push(Line::styled(format!("{}{done}", clean_line(title, LINE)), bold()));
        let open = progress.plan.iter().filter(|step| step.state != "done");
        for step in open.take(LISTED) {
            lines.push(Line::raw(format!("  · {}", clean_line(&step.text, LINE))));
        }
    }
    for tool in activity.tools.running.iter().rev().take(LISTED) {
        let (name, input) = (clean_line(&tool.name, LINE), clean_line(&tool.input, LINE));
        lines.push(Line::from(vec![
            Span::raw(format!("⚙ {name} ")),
            Span::styled(input, dim()),
        ]));
    }
    for approval in activity.approvals.iter() {
        let title = clean_line(&approval.title, LINE);
        lines.push(Line::styled(
            format!("asks: {title}"),
            Style::new().fg(Color::Yellow),
        ));
    }
    if let Some(error) = &activity.last_error {
        let message = clean_line(&error.message, LINE);
        lines.push(Line::styled(
            format!("error: {message}"),
            Style::new().fg(Color::Red),
        ));
    }
    if !lines.is_empty() {
        lines.push(Line::default());
    }
    lines
}

fn newest_first(workspace: &Workspace) -> Vec<Said> {
    let conversation = workspace.conversation();
    let mut all: Vec<Said> = Vec::new();
    all.extend(
        conversation
            .thoughts
            .iter()
            .rev()
            .take(TEXTS)
            .map(|thought| Said {
                position: thought.position,
                mark: "✻",
                text: clean(&thought.text),
                style: Style::new().fg(Color::Cyan),
            }),
    );
    all.extend(
        conversation
            .messages
            .iter()
            .rev()
            .take(TEXTS)
            .map(|message| Said {
                position: message.position,
                mark: if message.role.as_deref() == Some("user") {
                    "❯"
                } else {
                    "●"
                },
                text: clean(&message.text),
                style: if message.channel.as_deref() == Some("thinking") {
                    dim()
                } else {
                    Style::new()
                },
            }),
    );
    all.extend(conversation.chat.iter().rev().take(TEXTS).map(|line| Said {
        position: line.position,
        mark: "💬",
        text: format!(
            "{}: {}",
            clean_line(line.name.as_deref().unwrap_or("somebody"), LINE),
            clean(&line.text)
        ),
        style: Style::new().fg(Color::Yellow),
    }));
    all.sort_by_key(|said| std::cmp::Reverse(said.position));
    all
}

fn wrapped(said: &Said, width: usize) -> Vec<Line<'static>> {
    let options = textwrap::Options::new(width.max(10))
        .initial_indent("  ")
        .subsequent_indent("  ");
    let mut lines: Vec<Line<'static>> = textwrap::wrap(said.text.trim_end(), options)
        .into_iter()
        .map(|line| Line::styled(line.into_owned(), said.style))
        .collect();
    if let Some(first) = lines.first_mut() {
        let text = first
            .spans
            .first()
            .map(|span| span.content.trim_start().to_owned());
        *first = Line::styled(format!("{} {}", said.mark, text.unwrap_or_default()), said.style);
    }
    lines
}
