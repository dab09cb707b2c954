//! Which format it is, told by the content alone.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::fields::text;
use crate::json_line;

/// The beginning of a file that is enough to tell its format.
pub const DETECTION_BYTES: usize = 1 << 20;
/// Lines that are looked at.
const LINES: usize = 200;

/// A format that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Claude Code's own record of a session.
    ClaudeTranscript,
    /// What `claude -p --output-format stream-json` prints.
    ClaudeStreamJson,
    /// What Claude Code gives to its hooks.
    ClaudeHooks,
    /// What `codex exec --json` prints.
    CodexExec,
    /// Codex' own record of a session.
    CodexRollout,
    /// A recording of a terminal by asciinema, version 2 or 3.
    Asciicast,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 6] = [
        Format::ClaudeTranscript,
        Format::ClaudeStreamJson,
        Format::ClaudeHooks,
        Format::CodexExec,
        Format::CodexRollout,
        Format::Asciicast,
    ];

    /// Its name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Format::ClaudeTranscript => "claude-transcript",
            Format::ClaudeStreamJson => "claude-stream-json",
            Format::ClaudeHooks => "claude-hooks",
            Format::CodexExec => "codex-exec-json",
            Format::CodexRollout => "codex-rollout",
            Format::Asciicast => "asciicast",
        }
    }

    /// What stands before the source's own id of a session: two formats may tell of the same one.
    pub(crate) fn session_prefix(self) -> &'static str {
        match self {
            Format::ClaudeTranscript => "claude",
            Format::ClaudeStreamJson => "claude-p",
            Format::ClaudeHooks => "claude-hooks",
            Format::CodexExec => "codex-exec",
            Format::CodexRollout => "codex",
            Format::Asciicast => "asciicast",
        }
    }

    /// Whether its records say where the agent works.
    pub(crate) fn tells_folder(self) -> bool {
        !matches!(self, Format::CodexExec | Format::Asciicast)
    }

    /// Whether its records say when they were made.
    pub(crate) fn tells_time(self) -> bool {
        !matches!(self, Format::CodexExec | Format::ClaudeHooks)
    }

    /// The tool that wrote it, as an agent's id.
    pub(crate) fn tool(self) -> &'static str {
        match self {
            Format::ClaudeTranscript | Format::ClaudeStreamJson | Format::ClaudeHooks => "claude-code",
            Format::CodexExec | Format::CodexRollout => "codex",
            Format::Asciicast => "asciinema",
        }
    }

    /// The tool, for people.
    pub(crate) fn tool_name(self) -> &'static str {
        match self {
            Format::ClaudeTranscript | Format::ClaudeStreamJson | Format::ClaudeHooks => "Claude Code",
            Format::CodexExec | Format::CodexRollout => "Codex",
            Format::Asciicast => "asciinema",
        }
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The format of a source that begins so; `None` if it is none of ours. `beginning` may end in the middle of a line.
pub fn detect(beginning: &[u8]) -> Option<Format> {
    let lines = beginning.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.trim_ascii().is_empty()).take(LINES) {
        let format = match json_line::parse(line) {
            Some(record) if is_cursors(&record.value) => return None,
            Some(record) => of_record(&record.value),
            // The only line, and longer than what is looked at.
            None => of_cut_record(line),
        };
        if format.is_some() {
            return format;
        }
    }
    None
}

/// Cursor's stream borrows Claude Code's envelope, not what is in it; it begins without a list of tools.
fn is_cursors(record: &Value) -> bool {
    record["type"] == "system" && record["subtype"] == "init" && !record["tools"].is_array()
}

fn of_record(record: &Value) -> Option<Format> {
    if matches!(record.get("version").and_then(Value::as_u64), Some(2 | 3))
        && (record["width"].is_number() || record["term"].is_object())
    {
        return Some(Format::Asciicast);
    }
    if record["hook_event_name"].is_string() && record["session_id"].is_string() {
        return Some(Format::ClaudeHooks);
    }
    let kind = text(record, "type").unwrap_or_default();
    match kind {
        "thread.started" | "turn.started" | "turn.completed" | "turn.failed" | "item.started"
        | "item.updated" | "item.completed" => return Some(Format::CodexExec),
        "session_meta" | "response_item" | "event_msg" | "turn_context" | "compacted"
            if record["payload"].is_object() =>
        {
            return Some(Format::CodexRollout);
        }
        "summary" if record["leafUuid"].is_string() => return Some(Format::ClaudeTranscript),
        "file-history-snapshot" if record["snapshot"].is_object() => return Some(Format::ClaudeTranscript),
        _ => {}
    }
    // Codex before the lines had a type around them.
    if kind.is_empty()
        && record["id"].is_string()
        && record["timestamp"].is_string()
        && record.get("instructions").is_some()
    {
        return Some(Format::CodexRollout);
    }
    if !kind.is_empty() && record["sessionId"].is_string() {
        return Some(Format::ClaudeTranscript);
    }
    let is_stream_json = matches!(
        kind,
        "system" | "assistant" | "user" | "result" | "stream_event" | "rate_limit_event"
    );
    (is_stream_json && record["session_id"].is_string()).then_some(Format::ClaudeStreamJson)
}

/// A line that could not be read to its end still says what it is by the names in it.
fn of_cut_record(line: &[u8]) -> Option<Format> {
    if line.len() < DETECTION_BYTES / 2 || !line.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let text = String::from_utf8_lossy(&line[..line.len().min(64 << 10)]);
    let has = |name: &str| text.contains(&format!("\"{name}\""));
    if has("sessionId") && has("parentUuid") {
        Some(Format::ClaudeTranscript)
    } else if has("session_id") && has("parent_tool_use_id") {
        Some(Format::ClaudeStreamJson)
    } else if has("payload") && (has("session_meta") || has("response_item")) {
        Some(Format::CodexRollout)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_content() {
        let of = |text: &str| detect(text.as_bytes()).map(Format::name);
        assert_eq!(
            of("noise\n{\"version\":2,\"width\":80,\"height\":24}\n"),
            Some("asciicast")
        );
        assert_eq!(
            of("{\"version\":3,\"term\":{\"cols\":80,\"rows\":24}}"),
            Some("asciicast")
        );
        assert_eq!(
            of("{\"type\":\"thread.started\",\"thread_id\":\"t\"}"),
            Some("codex-exec-json")
        );
        assert_eq!(
            of("{\"timestamp\":\"x\",\"type\":\"session_meta\",\"payload\":{}}"),
            Some("codex-rollout")
        );
        assert_eq!(
            of("{\"type\":\"summary\",\"summary\":\"s\",\"leafUuid\":\"u\"}"),
            Some("claude-transcript")
        );
        assert_eq!(
            of("{\"type\":\"user\",\"sessionId\":\"s\",\"message\":{}}"),
            Some("claude-transcript")
        );
        assert_eq!(
            of("{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s\",\"tools\":[]}"),
            Some("claude-stream-json")
        );
        assert_eq!(
            of("{\"session_id\":\"s\",\"hook_event_name\":\"Stop\"}"),
            Some("claude-hooks")
        );
        for other in [
            "{\"type\":\"system\",\"subtype\":\"init\",\"session_id\":\"s\"}",
            "",
            "hello\n",
            "{}",
            "{\"version\":1,\"width\":80}",
            "{\"type\":\"user\"}",
            "[1,2]",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
