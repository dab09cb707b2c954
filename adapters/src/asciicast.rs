//! asciicast, versions 2 and 3 (<https://docs.asciinema.org/manual/asciicast/v3/>): a recording of a terminal.
//!
//! In version 2 times are seconds since the start, in version 3 since the event before. Order is that of the lines:
//! real recordings go back by fractions of a second.

use kulti_schemas::Timestamp;
use serde_json::{Value, json};

use crate::adapter::{Adapter, Identity, Output};
use crate::fields::{Data, count, has_others, some_text};
use crate::reader::hex;

/// The adapter.
#[derive(Debug, Default)]
pub(crate) struct Asciicast {
    version: u64,
    header: Option<String>,
    is_named: bool,
    start: Option<Timestamp>,
    /// Of the last event, in microseconds since the start.
    at: i64,
}

impl Adapter for Asciicast {
    fn identity<'r>(&self, _: &'r Value) -> Identity<'r> {
        Identity::Line
    }

    fn read(&mut self, record: &Value, out: &mut Output<'_>) {
        match record {
            Value::Object(_) if self.header.is_none() => self.header(record, out),
            Value::Array(event) => self.event(event, record, out),
            _ => out.unknown("asciicast.record", record.clone()),
        }
    }
}

impl Asciicast {
    fn header(&mut self, record: &Value, out: &mut Output<'_>) {
        self.version = count(record, "version").unwrap_or(2) as u64;
        self.header = Some(out.line().to_owned());
        let written = record["timestamp"].as_f64().map(|seconds| (seconds * 1e6) as i64);
        let length = record["duration"]
            .as_f64()
            .map_or(0, |seconds| (seconds * 1e6) as i64);
        // A file is written at the end of what it tells.
        self.start = written
            .map(Timestamp)
            .filter(|time| time.is_in_range())
            .or(out.source_time().map(|time| Timestamp(time.0 - length)));
        out.time(self.start);
        let (cols, rows) = match self.version {
            3 => (count(&record["term"], "cols"), count(&record["term"], "rows")),
            _ => (count(record, "width"), count(record, "height")),
        };
        for name in ["command", "env", "idle_time_limit", "theme", "term"] {
            if let Some(value) = record.get(name).filter(|value| !value.is_null()) {
                out.about(name, value.clone());
            }
        }
        if let Some(tags) = record.get("tags").filter(|tags| is_texts(tags)) {
            out.about("tags", tags.clone());
        }
        let title = some_text(record, "title").or(some_text(record, "command"));
        let named = |name: &str| some_text(&record["env"], name);
        let title = title.map_or_else(
            || {
                let user = named("USER").or(named("LOGNAME")).or(named("USERNAME"));
                terminal_title(user, named("HOSTNAME").or(named("HOST")), named("SHELL"))
            },
            str::to_owned,
        );
        out.about("title", title);
        let known = [
            "version",
            "width",
            "height",
            "term",
            "timestamp",
            "duration",
            "command",
            "title",
            "env",
            "theme",
            "idle_time_limit",
            "tags",
        ];
        out.keep_raw_if(has_others(record, &known));
        if let (Some(cols), Some(rows)) = (cols, rows) {
            out.event(
                "terminal.resized",
                Data::new().with("cols", cols).with("rows", rows),
            );
        } else {
            out.custom("asciicast.header", record.clone());
        }
    }

    fn event(&mut self, event: &[Value], record: &Value, out: &mut Output<'_>) {
        if !self.is_named {
            // Recordings have no name of their own: what they are called, and how they begin, tells them apart.
            self.is_named = true;
            let header = self.header.as_deref().unwrap_or_default();
            let name = hex(&[out.source_name(), header, out.line()]);
            out.session(&name[..16]);
        }
        let (Some(time), Some(code), Some(data)) = (
            event.first().and_then(Value::as_f64),
            event.get(1).and_then(Value::as_str),
            event.get(2),
        ) else {
            return out.unknown("asciicast.record", record.clone());
        };
        let micros = (time * 1e6).round().clamp(-9e15, 9e15) as i64;
        self.at = match self.version {
            3 => self.at.saturating_add(micros),
            _ => micros,
        };
        let time = self.start.map(|start| Timestamp(start.0.saturating_add(self.at)));
        out.time(time.filter(|time| time.is_in_range()));
        out.keep_raw_if(event.len() > 3);
        let said = data.as_str();
        match (code, said) {
            ("o", Some(said)) => out.event(
                "terminal.output",
                Data::new().with("text", said).with("stream", "pty"),
            ),
            ("i", Some(said)) => out.custom("terminal.input", json!({"text": said})),
            ("m", _) => out.event("marker", Data::new().with("label", said.unwrap_or_default())),
            ("r", Some(said)) if size(said).is_some() => {
                if let Some((cols, rows)) = size(said) {
                    out.event(
                        "terminal.resized",
                        Data::new().with("cols", cols).with("rows", rows),
                    );
                }
            }
            ("x", _) => match exit_code(data) {
                Some(code) => {
                    out.ends(if code == 0 { "completed" } else { "failed" });
                    out.event("terminal.exited", Data::new().with("code", code));
                }
                None => out.custom("asciicast.x", data.clone()),
            },
            _ => out.unknown(&format!("asciicast.{code}"), data.clone()),
        }
    }
}

/// What a recording of a terminal is called that has no title of its own: after who sat there, else what ran there.
pub fn terminal_title(user: Option<&str>, host: Option<&str>, shell: Option<&str>) -> String {
    let shell = shell.and_then(|path| path.rsplit(['/', '\\']).next());
    match (user, host, shell.filter(|name| !name.is_empty())) {
        (Some(user), Some(host), _) => format!("Terminal of {user}@{host}"),
        (Some(name), None, _) | (None, Some(name), _) => format!("Terminal of {name}"),
        (None, None, Some(shell)) => format!("Terminal ({shell})"),
        (None, None, None) => "Terminal".to_owned(),
    }
}

fn is_texts(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|tags| !tags.is_empty() && tags.iter().all(Value::is_string))
}

/// `COLSxROWS`
fn size(text: &str) -> Option<(i64, i64)> {
    let (cols, rows) = text.split_once('x')?;
    Some((cols.trim().parse().ok()?, rows.trim().parse().ok()?))
}

fn exit_code(data: &Value) -> Option<i64> {
    data.as_i64().or_else(|| data.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_without_a_title_is_called_after_who_sat_there_or_what_ran_there() {
        let shell = Some("/usr/bin/zsh");
        assert_eq!(
            terminal_title(Some("ada"), Some("box"), shell),
            "Terminal of ada@box"
        );
        assert_eq!(terminal_title(Some("ada"), None, shell), "Terminal of ada");
        assert_eq!(terminal_title(None, None, shell), "Terminal (zsh)");
        assert_eq!(terminal_title(None, None, Some("/")), "Terminal");
    }
}
