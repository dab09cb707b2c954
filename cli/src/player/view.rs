//! Draws a moment of a session: its terminal, what the agent thinks and says, and where the replay is.

use std::time::Duration;

use kulti_session::Workspace;
use kulti_session::workspace::Screen;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, LineGauge, Paragraph};

use super::keys::KEYS;
use crate::pacing::Speed;
use crate::terminal_text::clean_line;

mod said;
mod screen;

/// From this width on, what is said stands beside the terminal, else below it.
const WIDE: u16 = 100;
const LEAST_SIDE: u16 = 30;
/// Columns of a text in the lines at the top and bottom.
const LINE: usize = 200;

/// What is drawn.
pub(crate) struct View<'a> {
    /// The state.
    pub(crate) workspace: &'a Workspace,
    /// How many events it is after, ...
    pub(crate) shown: usize,
    /// ... of how many.
    pub(crate) count: usize,
    /// The time that is shown, ...
    pub(crate) time: Duration,
    /// ... of how long.
    pub(crate) length: Duration,
    /// It moves by itself.
    pub(crate) is_playing: bool,
    /// How fast.
    pub(crate) speed: Speed,
    /// More events are being read.
    pub(crate) is_loading: bool,
    /// The session is over.
    pub(crate) has_ended: bool,
    /// What a person should know about the connection.
    pub(crate) note: Option<&'a str>,
    /// The list of keys is open.
    pub(crate) shows_keys: bool,
    /// Colours are wanted.
    pub(crate) colours: bool,
}

/// Draws it.
pub(crate) fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    let [title, main, track, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(title_line(view), title);
    let screen = view.workspace.screen(None);
    let (terminal, side) = split(main, screen.as_ref());
    draw_terminal(frame, terminal, screen.as_ref());
    let block = if side.y == main.y {
        Block::new().borders(Borders::LEFT)
    } else {
        Block::new().borders(Borders::TOP)
    };
    let inner = block.inner(side);
    frame.render_widget(block.border_style(dim()), side);
    frame.render_widget(said::paragraph(view.workspace, inner), inner);
    frame.render_widget(track_line(view), track);
    frame.render_widget(foot_line(view), foot);
    if view.shows_keys {
        draw_keys(frame);
    }
    if !view.colours {
        remove_colours(frame.buffer_mut());
    }
}

/// Where the terminal is drawn, and where what is said.
fn split(area: Rect, screen: Option<&Screen>) -> (Rect, Rect) {
    let (cols, rows) = screen.map_or((80, 24), |screen| (screen.cols, screen.rows));
    let (cols, rows) = (as_cells(cols), as_cells(rows) + 1);
    let [terminal, side] = if area.width >= WIDE {
        let most = area.width - LEAST_SIDE.max(area.width / 4);
        Layout::horizontal([Constraint::Length((cols + 1).min(most)), Constraint::Fill(1)]).areas(area)
    } else {
        let most = area.height - area.height.min(4).max(area.height / 3);
        Layout::vertical([Constraint::Length(rows.min(most)), Constraint::Fill(1)]).areas(area)
    };
    (terminal, side)
}

fn draw_terminal(frame: &mut Frame<'_>, area: Rect, screen: Option<&Screen>) {
    let Some(screen) = screen else {
        frame.render_widget(Paragraph::new("no terminal yet").style(dim()), area);
        return;
    };
    let [name, area] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let title = format!(
        "{} {}x{}",
        clean_line(&screen.terminal, LINE),
        screen.cols,
        screen.rows
    );
    frame.render_widget(Paragraph::new(title).style(dim()), name);
    screen::draw(frame.buffer_mut(), area, screen);
}

fn title_line(view: &View<'_>) -> Line<'static> {
    let profile = view.workspace.profile();
    let name = profile.agent_name.as_deref().unwrap_or(&profile.agent);
    let title = profile.title.as_deref().or(profile.task.as_deref());
    let mut spans = vec![Span::styled(clean_line(name, LINE), bold())];
    if let Some(title) = title {
        spans.push(Span::raw(format!("  {}", clean_line(title, LINE))));
    }
    if let Some(ended) = &profile.ended {
        let reason = clean_line(&ended.reason, LINE);
        spans.push(Span::styled(format!("  ended: {reason}"), dim()));
    } else if let Some(status) = &view.workspace.activity().status {
        let status = clean_line(&status.status, LINE);
        spans.push(Span::styled(format!("  {status}"), Style::new().fg(Color::Green)));
    }
    Line::from(spans)
}

fn track_line(view: &View<'_>) -> LineGauge<'static> {
    let length = view.length.as_secs_f64();
    let ratio = if length > 0.0 {
        view.time.as_secs_f64() / length
    } else {
        1.0
    };
    let label = format!(
        "{} {} / {}",
        if view.is_playing { "▶" } else { "⏸" },
        clock(view.time),
        clock(view.length)
    );
    LineGauge::default()
        .ratio(ratio.clamp(0.0, 1.0))
        .label(label)
        .filled_style(Style::new().fg(Color::Cyan))
        .unfilled_style(dim())
}

fn foot_line(view: &View<'_>) -> Line<'static> {
    let speed = match view.speed {
        Speed::Max => "max".to_owned(),
        Speed::Times(times) => format!("{times}x"),
    };
    let mut text = format!("event {} of {}   {speed}", view.shown, view.count);
    let is_at_end = view.shown == view.count;
    let state = match (view.is_loading, view.has_ended, is_at_end) {
        (true, ..) => "   loading",
        (false, true, true) => "   end",
        (false, false, true) if view.is_playing => "   live",
        (false, false, _) => "   the session goes on: End",
        _ => "",
    };
    text.push_str(state);
    let mut spans = vec![
        Span::raw(text),
        Span::styled("   space ← → 0-9 + -   ? keys   q quit", dim()),
    ];
    if let Some(note) = view.note {
        let note = clean_line(note, LINE);
        spans.insert(
            1,
            Span::styled(format!("   {note}"), Style::new().fg(Color::Yellow)),
        );
    }
    Line::from(spans)
}

fn draw_keys(frame: &mut Frame<'_>) {
    let lines: Vec<Line<'_>> = KEYS
        .iter()
        .map(|(keys, meaning)| Line::from(format!("{keys:<10} {meaning}")))
        .collect();
    let area = frame.area();
    let (width, height) = (46.min(area.width), (as_cells(KEYS.len()) + 2).min(area.height));
    let place = Rect::new(
        area.x + (area.width - width) / 2,
        area.y + (area.height - height) / 2,
        width,
        height,
    );
    frame.render_widget(Clear, place);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title("Keys")),
        place,
    );
}

fn remove_colours(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
    }
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn as_cells(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX - 1)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}
