//! The recorded terminal's screen, cell by cell.

use kulti_session::workspace::{Paint, Run, Screen};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

/// Draws as much of it as fits; of more rows, those around the cursor.
pub(super) fn draw(buffer: &mut Buffer, area: Rect, screen: &Screen) {
    let height = usize::from(area.height);
    let last_used = screen.lines.iter().rposition(|line| !line.0.is_empty());
    let focus = match screen.cursor {
        Some(cursor) => cursor.row,
        None => last_used.unwrap_or(0),
    };
    let first = (focus + 1).saturating_sub(height);
    for (row, line) in (0..area.height).zip(screen.lines.iter().skip(first)) {
        let spans: Vec<Span<'_>> = line
            .0
            .iter()
            .map(|run| Span::styled(run.text.as_str(), style(run)))
            .collect();
        let place = Rect::new(area.x, area.y + row, area.width, 1);
        Line::from(spans).render(place, buffer);
    }
    if let Some(cursor) = screen.cursor
        && let (Ok(col), Ok(row)) = (u16::try_from(cursor.col), u16::try_from(cursor.row - first))
        && col < area.width
        && row < area.height
    {
        let cell = &mut buffer[(area.x + col, area.y + row)];
        cell.modifier.toggle(Modifier::REVERSED);
    }
}

fn style(run: &Run) -> Style {
    let mut style = Style::new();
    style.fg = run.fg.as_ref().map(color);
    style.bg = run.bg.as_ref().map(color);
    let modifiers = [
        (run.bold, Modifier::BOLD),
        (run.faint, Modifier::DIM),
        (run.italic, Modifier::ITALIC),
        (run.underline, Modifier::UNDERLINED),
        (run.strikethrough, Modifier::CROSSED_OUT),
        (run.blink, Modifier::SLOW_BLINK),
        (run.inverse, Modifier::REVERSED),
    ];
    for (is_on, modifier) in modifiers {
        if is_on {
            style = style.add_modifier(modifier);
        }
    }
    style
}

fn color(paint: &Paint) -> Color {
    match paint {
        Paint::Index(index) => Color::Indexed(*index),
        // The fold writes `#rrggbb`, which always parses.
        Paint::Rgb(rgb) => rgb.parse().unwrap_or(Color::Reset),
    }
}
