//! What the keys of the player do, as in video players.

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};

use super::playback::Move;

/// What a person asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Asked {
    /// To move.
    Move(Move),
    /// To show the keys, or hide them.
    Help,
    /// To end.
    Quit,
    /// To draw again, in another size.
    Redraw,
}

/// The keys and what they do, for people.
pub(crate) const KEYS: [(&str, &str); 9] = [
    ("space k", "play or pause"),
    ("← →", "5 seconds back or on"),
    ("j l", "10 seconds back or on"),
    (", .", "one event back or on"),
    ("0 - 9", "to that tenth"),
    ("+ -", "faster or slower"),
    ("Home End", "to the start, to the end or live"),
    ("?", "this list"),
    ("q Esc", "quit"),
];

/// What an event of the terminal asks for.
pub(crate) fn asked(event: &Event) -> Option<Asked> {
    let key = match event {
        Event::Resize(..) => return Some(Asked::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Asked::Quit);
    }
    let step = match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Some(Asked::Quit),
        KeyCode::Char('?' | 'h') => return Some(Asked::Help),
        KeyCode::Char(' ' | 'k') => Move::Toggle,
        KeyCode::Left => Move::Seconds(-5.0),
        KeyCode::Right => Move::Seconds(5.0),
        KeyCode::Char('j') => Move::Seconds(-10.0),
        KeyCode::Char('l') => Move::Seconds(10.0),
        KeyCode::Char(',') => Move::Events(-1),
        KeyCode::Char('.') => Move::Events(1),
        KeyCode::Char('+' | '=' | '>') | KeyCode::Up => Move::Faster(true),
        KeyCode::Char('-' | '<') | KeyCode::Down => Move::Faster(false),
        KeyCode::Home => Move::Tenth(0),
        KeyCode::End => Move::End,
        KeyCode::Char(digit) => Move::Tenth(digit.to_digit(10)?),
        _ => return None,
    };
    Some(Asked::Move(step))
}
