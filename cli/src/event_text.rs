//! One line of text for one event, for everything but the terminal's own output.

use serde_json::Value;

use crate::output::Paint;
use crate::terminal_text::{clean, clean_line};

/// Longer inputs and outputs of tools are cut: `--json` has them whole.
const LONG: usize = 160;

/// The event's line or lines; `None` where there is nothing to see.
pub(crate) fn event_text(kind: &str, data: &Value, paint: Paint) -> Option<String> {
    let text = |name: &str| clean(data[name].as_str().unwrap_or_default());
    let line = |name: &str| one_line(&data[name]);
    let shown = match kind {
        "session.started" => {
            let title = [line("title"), task(&data["task"])]
                .into_iter()
                .find(|text| !text.is_empty());
            paint.bold(&joined("▶ started", &title.unwrap_or_default()))
        }
        "session.updated" => {
            let title = [line("title"), task(&data["task"])]
                .into_iter()
                .find(|text| !text.is_empty())?;
            paint.bold(&joined("▶ now", &title))
        }
        "session.ended" => {
            let reason = paint.bold(&joined("■ ended", &line("reason")));
            joined(&reason, &line("result"))
        }
        "thought" => paint.cyan(&indented("✻ ", &text("content"))),
        "message.completed" => indented("● ", &text("content")),
        "tool.started" => format!("⚙ {} {}", paint.bold(&line("name")), paint.dim(&line("input"))),
        "tool.finished" => {
            let took = data["duration_ms"]
                .as_f64()
                .map(|ms| format!(" ({:.1} s)", ms / 1000.0))
                .unwrap_or_default();
            let mark = if data["status"] == "error" {
                paint.red("✗")
            } else {
                paint.green("✓")
            };
            format!("{mark} {}{took}", paint.dim(&line("output")))
        }
        "terminal.command" => format!("{} {}", paint.green("$"), paint.bold(&text("command"))),
        "terminal.exited" => match data["code"].as_i64() {
            Some(0) | None => return None,
            Some(code) => paint.red(&format!("exit code {code}")),
        },
        "code.changed" => format!("✎ {} {}", line("action"), paint.cyan(&line("path"))),
        "status.changed" => paint.dim(&joined(&joined("status", &line("status")), &line("detail"))),
        "progress" => paint.dim(&progress(data)),
        "preview.opened" => format!("⇱ preview {}", paint.cyan(&line("url"))),
        "preview.closed" => paint.dim("⇱ preview closed"),
        "error" => paint.red(&indented("error: ", &text("message"))),
        "usage" => paint.dim(&usage(data)),
        "marker" => paint.yellow(&joined("⚑", &line("label"))),
        "chat" => format!("💬 {}: {}", paint.bold(&named(&line("name"))), line("text")),
        "reaction" => format!("{} {}", line("emoji"), paint.dim("reaction")),
        "memory" => paint.dim(&joined("remembers", &line("content"))),
        "approval.requested" => paint.yellow(&joined("asks", &line("title"))),
        "approval.resolved" => paint.yellow(&joined("answer", &line("decision"))),
        "custom" => format!("{} {}", paint.bold(&line("name")), paint.dim(&line("value"))),
        "unreadable" => paint.red(&joined("unreadable event:", &line("code"))),
        // Nothing that a person would want to read line by line.
        "terminal.resized" | "chat.delivered" | "chat.read" | "message.delta" => return None,
        other => format!(
            "{} {}",
            paint.bold(&clean_line(other, 64)),
            paint.dim(&one_line(data))
        ),
    };
    Some(shown)
}

/// A value on one line: text as it is, anything else as JSON.
fn one_line(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean_line(text, LONG),
        other => clean_line(&other.to_string(), LONG),
    }
}

fn task(task: &Value) -> String {
    if task["title"].is_string() {
        one_line(&task["title"])
    } else {
        one_line(task)
    }
}

fn named(name: &str) -> String {
    if name.is_empty() {
        "somebody".to_owned()
    } else {
        name.to_owned()
    }
}

fn joined(first: &str, second: &str) -> String {
    if second.is_empty() {
        first.to_owned()
    } else {
        format!("{first} {second}")
    }
}

/// Lines after the first are set under it.
fn indented(mark: &str, text: &str) -> String {
    let padding = " ".repeat(mark.chars().count());
    format!("{mark}{}", text.trim_end().replace('\n', &format!("\n{padding}")))
}

fn progress(data: &Value) -> String {
    let done = match (data["done"].as_f64(), data["total"].as_f64()) {
        (Some(done), Some(total)) => format!("{done}/{total}"),
        (Some(done), None) => done.to_string(),
        _ => String::new(),
    };
    let open = data["plan"]
        .as_array()
        .map(|plan| format!("{} steps", plan.len()))
        .unwrap_or_default();
    joined(
        &joined(&joined("progress", &one_line(&data["title"])), &done),
        &open,
    )
}

fn usage(data: &Value) -> String {
    let number = |name: &str| data[name].as_u64().unwrap_or_default();
    let cost = data["cost_usd"]
        .as_f64()
        .map(|cost| format!(", ${cost:.4}"))
        .unwrap_or_default();
    format!(
        "usage {}: {} in, {} out{cost}",
        one_line(&data["model"]),
        number("input"),
        number("output")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(kind: &str, data: Value) -> Option<String> {
        event_text(kind, &data, Paint::new(false))
    }

    #[test]
    fn hostile_text_reaches_no_terminal() {
        for kind in [
            "thought",
            "session.started",
            "chat",
            "error",
            "custom",
            "marker",
            "from.the.future\u{1b}[2J",
        ] {
            let hostile = "a\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2Jb\u{9b}c";
            let data = json!({"content": hostile, "title": hostile, "task": hostile, "text": hostile, "name": hostile,
                "value": hostile, "label": hostile, "message": hostile});
            let text = event_text(kind, &data, Paint::new(false)).expect("a line");
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{kind}: {text:?}");
        }
    }

    #[test]
    fn thoughts_keep_their_lines() {
        assert_eq!(
            plain("thought", json!({"content": "one\ntwo"})).as_deref(),
            Some("✻ one\n  two")
        );
    }

    #[test]
    fn missing_and_strange_fields_do_no_harm() {
        assert_eq!(plain("session.ended", json!({})).as_deref(), Some("■ ended"));
        assert_eq!(plain("thought", json!({"content": 7})).as_deref(), Some("✻ "));
        assert_eq!(
            plain(
                "session.started",
                json!({"task": {"title": "T", "description": "d"}})
            )
            .as_deref(),
            Some("▶ started T")
        );
        assert_eq!(plain("terminal.exited", json!({"code": 0})), None);
        assert_eq!(
            plain("brand.new", json!({"x": 1})).as_deref(),
            Some("brand.new {\"x\":1}")
        );
    }
}
