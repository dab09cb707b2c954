use serde_json::{Value, json};

use super::super::event::FoldEvent;
use super::*;

fn change(feed: &mut TerminalFeed, kind: &str, data: Value) -> Option<TerminalChange> {
    let event =
        json!({"position": 1, "id": "i", "session": "s", "agent": "a", "time": "2026-11-21T00:00:00Z",
        "received": "2026-11-21T00:00:00Z", "source": "agent", "kind": kind, "data": data})
        .to_string();
    feed.change(&FoldEvent::parse(&event).unwrap())
}

fn output(feed: &mut TerminalFeed, data: Value) -> String {
    match change(feed, "terminal.output", data) {
        Some(TerminalChange::Output(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_character_split_over_two_events_is_whole() {
    let mut feed = TerminalFeed::default();
    let bytes = "a€b".as_bytes();
    let first = output(
        &mut feed,
        json!({"base64": STANDARD.encode(&bytes[..2]), "stream": "pty"}),
    );
    let second = output(
        &mut feed,
        json!({"base64": STANDARD.encode(&bytes[2..]), "stream": "pty"}),
    );
    assert_eq!(first + &second, "a€b");
}

#[test]
fn what_is_not_text_is_replaced_and_loses_nothing_after_it() {
    let mut feed = TerminalFeed::default();
    let text = output(
        &mut feed,
        json!({"base64": STANDARD.encode(b"a\xff\xc3(b"), "stream": "pty"}),
    );
    assert_eq!(text, "a\u{fffd}\u{fffd}(b");
}

#[test]
fn a_log_gets_the_line_ends_of_a_terminal_and_a_pty_keeps_its_own() {
    let mut feed = TerminalFeed::default();
    assert_eq!(output(&mut feed, json!({"text": "a\nb\r"})), "a\r\nb\r");
    assert_eq!(output(&mut feed, json!({"text": "\nc"})), "\nc");
    assert_eq!(
        change(&mut feed, "terminal.command", json!({"command": "ls\n"})),
        Some(TerminalChange::Output("\r\n\x1b[1m$ ls\x1b[0m\r\n".to_owned()))
    );
    let mut pty = TerminalFeed::default();
    assert_eq!(output(&mut pty, json!({"text": "a\nb", "stream": "pty"})), "a\nb");
    assert_eq!(
        change(&mut pty, "terminal.command", json!({"command": "ls"})),
        None
    );
}

#[test]
fn a_few_bytes_cannot_ask_for_endless_repetition() {
    let bomb = "x\x1b[65535b".repeat(1_000);
    let limited = limit_repeats(&bomb);
    assert_eq!(limited.matches("\x1b[").count(), 1);
    assert_eq!(limited.matches('x').count(), 1_000);
    assert_eq!(limit_repeats("\x1b[3b b \u{9b}12b"), "\x1b[3b b \u{9b}12b");
    assert_eq!(limit_repeats("\u{9b}65535b\u{9b}65535b!"), "\u{9b}65535b!");
}
