//! Which events a request of the simple API is. Pure: what it must know of the session is given.

mod parse;

use kulti_schemas::AgentId;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::problem::Problem;
use crate::store::SessionRow;

/// Output longer than this becomes several events. JSON makes six bytes of a control character at worst, so a
/// part is always below what one event may have.
const OUTPUT_PART_BYTES: usize = 128 * 1024;
const OUTPUT_LEVELS: [&str; 4] = ["success", "error", "info", "warning"];

/// An event without what it has in common with the others of its request.
#[derive(Debug)]
pub(super) struct MappedEvent {
    pub(super) kind: &'static str,
    pub(super) data: Box<RawValue>,
    /// The field of the request that it was made of.
    pub(super) field: &'static str,
}

impl MappedEvent {
    fn new(field: &'static str, kind: &'static str, data: &impl serde::Serialize) -> Self {
        let data = to_raw_value(data).expect("maps with string keys are always JSON");
        MappedEvent { kind, data, field }
    }

    /// The schema speaks of the event's data; the client sent a field of its own.
    pub(super) fn locate(&self, problem: Problem) -> Problem {
        let detail = match &problem.field {
            Some(field) => format!("{field}: {}", problem.detail),
            None => problem.detail.clone(),
        };
        Problem {
            field: Some(self.field.to_owned()),
            detail,
            ..problem
        }
    }
}

/// What the mapping must know of the session that the events are for.
#[derive(Debug, Default)]
pub(super) struct SessionView {
    pub(super) is_new: bool,
    /// What the session says of itself now, as far as it is known.
    pub(super) profile: Map<String, Value>,
    /// Whether the file that the request writes is there already.
    pub(super) path_exists: bool,
}

/// A request that was understood.
#[derive(Debug)]
pub(super) struct SimpleRequest {
    pub(super) agent: AgentId,
    pub(super) warnings: Vec<String>,
    profile: Map<String, Value>,
    status: Option<String>,
    terminal: Vec<TerminalEntry>,
    thinking: Option<String>,
    thought: Option<Thought>,
    code: Option<CodeChange>,
    preview: Option<Map<String, Value>>,
    error: Option<Map<String, Value>>,
}

#[derive(Debug)]
struct TerminalEntry {
    kind: String,
    content: String,
}

#[derive(Debug, serde::Serialize)]
struct Thought {
    content: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
}

#[derive(Debug)]
struct CodeChange {
    path: String,
    language: Option<String>,
    content: Option<String>,
    action: CodeAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CodeAction {
    Write,
    Create,
    Edit,
    Delete,
}

impl SimpleRequest {
    /// Says whether the request says anything about the session itself.
    pub(super) fn has_profile(&self) -> bool {
        !self.profile.is_empty()
    }

    /// The file that is written, if it depends on whether it is there what that is called.
    pub(super) fn written_path(&self) -> Option<&str> {
        self.code
            .as_ref()
            .filter(|code| code.action == CodeAction::Write)
            .map(|code| code.path.as_str())
    }

    /// The file that the request changes, and whether it is there afterwards.
    pub(super) fn path_afterwards(&self) -> Option<(&str, bool)> {
        self.code
            .as_ref()
            .map(|code| (code.path.as_str(), code.action != CodeAction::Delete))
    }

    /// The events, in the order in which contract and documentation list the fields.
    pub(super) fn to_events(&self, session: &SessionView) -> Vec<MappedEvent> {
        let mut events = Vec::new();
        if session.is_new {
            events.push(MappedEvent::new("task", "session.started", &self.profile));
        } else {
            let is_changed = |name: &String, value: &Value| session.profile.get(name) != Some(value);
            let changed: Map<String, Value> = self
                .profile
                .iter()
                .filter(|(name, value)| is_changed(name, value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            if !changed.is_empty() {
                events.push(MappedEvent::new("task", "session.updated", &changed));
            }
        }
        if let Some(status) = &self.status {
            events.push(MappedEvent::new(
                "status",
                "status.changed",
                &json!({ "status": status }),
            ));
        }
        for entry in &self.terminal {
            entry.push_events(&mut events);
        }
        if let Some(content) = &self.thinking {
            let data = json!({ "content": content, "type": "general" });
            events.push(MappedEvent::new("thinking", "thought", &data));
        }
        if let Some(thought) = &self.thought {
            events.push(MappedEvent::new("thought", "thought", thought));
        }
        if let Some(code) = &self.code {
            events.push(MappedEvent::new(
                "code",
                "code.changed",
                &code.to_data(session.path_exists),
            ));
        }
        if let Some(preview) = &self.preview {
            events.push(MappedEvent::new("preview", "preview.opened", preview));
        }
        if let Some(error) = &self.error {
            events.push(MappedEvent::new("error", "error", error));
        }
        events
    }
}

/// What ends a session.
pub(super) fn ended_event() -> MappedEvent {
    MappedEvent::new("agentId", "session.ended", &json!({ "reason": "completed" }))
}

/// What a session says of itself, under the names that `session.updated` has for it.
pub(super) fn profile_of_row(row: SessionRow) -> Map<String, Value> {
    let texts = [
        ("task", row.task),
        ("title", row.title),
        ("agent_name", row.agent_name),
        ("agent_avatar", row.agent_avatar),
        ("visibility", row.visibility),
    ];
    let known = texts
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), Value::from(text?))));
    known
        .chain([("tags".to_owned(), Value::from(row.tags))])
        .collect()
}

impl TerminalEntry {
    fn push_events(&self, events: &mut Vec<MappedEvent>) {
        if self.kind == "command" {
            events.push(MappedEvent::new(
                "terminal",
                "terminal.command",
                &json!({ "command": self.content }),
            ));
            return;
        }
        // Each entry is a line; what the terminal shows is a stream.
        let mut text = self.content.clone();
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let parts = split_text(&text, OUTPUT_PART_BYTES);
        for (index, part) in parts.iter().enumerate() {
            let mut data = json!({ "text": part });
            if OUTPUT_LEVELS.contains(&self.kind.as_str()) {
                data["level"] = Value::from(self.kind.as_str());
            }
            if parts.len() > 1 {
                data["part"] = Value::from(index + 1);
                data["parts"] = Value::from(parts.len());
            }
            events.push(MappedEvent::new("terminal", "terminal.output", &data));
        }
    }
}

impl CodeChange {
    fn to_data(&self, path_exists: bool) -> Value {
        let action = match self.action {
            CodeAction::Write if path_exists => "edit",
            CodeAction::Write | CodeAction::Create => "create",
            CodeAction::Edit => "edit",
            CodeAction::Delete => "delete",
        };
        let mut data = json!({ "path": self.path, "action": action });
        for (name, text) in [("content", &self.content), ("language", &self.language)] {
            if let Some(text) = text {
                data[name] = Value::from(text.as_str());
            }
        }
        data
    }
}

/// Cuts between characters, into parts of at most so many bytes.
fn split_text(text: &str, part_bytes: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > part_bytes {
        let (part, after) = rest.split_at(rest.floor_char_boundary(part_bytes));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

#[cfg(test)]
mod tests;
