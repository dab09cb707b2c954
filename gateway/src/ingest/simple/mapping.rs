//! Which events a request of the simple API is. Pure: what it must know of the session is given.

use std::collections::BTreeMap;

use kulti_schemas::AgentId;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::problem::{Code, Problem};
use crate::store::SessionRow;

/// Output longer than this becomes several events. JSON makes six bytes of a control character at worst, so a
/// part is always below what one event may have.
const OUTPUT_PART_BYTES: usize = 128 * 1024;
const THOUGHT_TYPES: [&str; 8] = [
    "general",
    "reasoning",
    "decision",
    "observation",
    "prompt",
    "tool",
    "context",
    "evaluation",
];
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

type Fields = BTreeMap<String, Box<RawValue>>;

impl SimpleRequest {
    /// Reads a request. What it does not know is named in `warnings`.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let mut fields: Fields = serde_json::from_slice(body).map_err(|error| {
            Problem::new(
                Code::InvalidJson,
                format!("the body is not a JSON object: {error}"),
            )
        })?;
        fields.retain(|_, value| value.get() != "null");
        let agent = take_string(&mut fields, "", "agentId")?
            .ok_or_else(|| Problem::field(Code::MissingField, "agentId", "`agentId` is needed"))?;
        let agent = AgentId::parse(&agent)
            .map_err(|error| Problem::field(Code::InvalidId, "agentId", error.to_string()))?;
        let mut warnings = Vec::new();
        let request = SimpleRequest {
            agent,
            profile: parse_profile(&mut fields)?,
            status: take_text(&mut fields, "status")?,
            terminal: parse_terminal(&mut fields, &mut warnings)?,
            thinking: take_text(&mut fields, "thinking")?,
            thought: parse_thought(&mut fields, &mut warnings)?,
            code: parse_code(&mut fields)?,
            preview: parse_object(&mut fields, "preview", "url")?,
            error: parse_object(&mut fields, "error", "message")?,
            warnings,
        };
        let ignored = fields
            .keys()
            .take(5)
            .map(|name| format!("`{}` is not known and ignored", clip(name)));
        let warnings = request.warnings.into_iter().chain(ignored).collect();
        Ok(SimpleRequest { warnings, ..request })
    }

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

fn parse_profile(fields: &mut Fields) -> Result<Map<String, Value>, Problem> {
    let mut profile = Map::new();
    for (sent, kept) in [
        ("agentName", "agent_name"),
        ("agentAvatar", "agent_avatar"),
        ("title", "title"),
        ("visibility", "visibility"),
    ] {
        if let Some(text) = take_text(fields, sent)? {
            profile.insert(kept.to_owned(), text.into());
        }
    }
    if let Some(raw) = fields.remove("tags") {
        let tags: Vec<String> = parsed("tags", &raw)?;
        profile.insert("tags".to_owned(), tags.into());
    }
    let Some(raw) = fields.remove("task") else {
        return Ok(profile);
    };
    if !raw.get().starts_with('{') {
        let task: String = parsed("task", &raw)?;
        if !task.is_empty() {
            profile.insert("task".to_owned(), task.into());
        }
        return Ok(profile);
    }
    let mut task: Fields = parsed("task", &raw)?;
    let title = take_string(&mut task, "task", "title")?;
    let description = take_string(&mut task, "task", "description")?;
    if let Some(text) = description.or_else(|| title.clone()) {
        profile.insert("task".to_owned(), text.into());
    }
    if let Some(title) = title {
        profile.entry("title").or_insert(title.into());
    }
    Ok(profile)
}

fn parse_terminal(fields: &mut Fields, warnings: &mut Vec<String>) -> Result<Vec<TerminalEntry>, Problem> {
    let Some(raw) = fields.remove("terminal") else {
        return Ok(Vec::new());
    };
    let entries: Vec<Fields> = if raw.get().starts_with('{') {
        vec![parsed("terminal", &raw)?]
    } else {
        parsed("terminal", &raw)?
    };
    let mut terminal = Vec::with_capacity(entries.len());
    for (index, mut entry) in entries.into_iter().enumerate() {
        let parent = format!("terminal[{index}]");
        let kind = take_string(&mut entry, &parent, "type")?.unwrap_or_else(|| "output".to_owned());
        if kind != "command" && kind != "output" && !OUTPUT_LEVELS.contains(&kind.as_str()) {
            warnings.push(format!(
                "{parent}.type {} is not known and shown as output",
                clip(&kind)
            ));
        }
        let content =
            take_string(&mut entry, &parent, "content")?.ok_or_else(|| missing(&parent, "content"))?;
        terminal.push(TerminalEntry { kind, content });
    }
    Ok(terminal)
}

fn parse_thought(fields: &mut Fields, warnings: &mut Vec<String>) -> Result<Option<Thought>, Problem> {
    let Some(raw) = fields.remove("thought") else {
        return Ok(None);
    };
    if raw.get().starts_with('"') {
        let content = parsed("thought", &raw)?;
        return Ok(Some(Thought {
            content,
            r#type: "general".to_owned(),
            metadata: None,
        }));
    }
    let mut thought: Fields = parsed("thought", &raw)?;
    let content =
        take_string(&mut thought, "thought", "content")?.ok_or_else(|| missing("thought", "content"))?;
    let mut kind = take_string(&mut thought, "thought", "type")?.unwrap_or_else(|| "general".to_owned());
    if !THOUGHT_TYPES.contains(&kind.as_str()) {
        warnings.push(format!(
            "thought.type {} is not known and kept as general",
            clip(&kind)
        ));
        kind = "general".to_owned();
    }
    let metadata = thought.remove("metadata").filter(|value| value.get() != "null");
    Ok(Some(Thought {
        content,
        r#type: kind,
        metadata,
    }))
}

fn parse_code(fields: &mut Fields) -> Result<Option<CodeChange>, Problem> {
    let Some(raw) = fields.remove("code") else {
        return Ok(None);
    };
    let mut code: Fields = parsed("code", &raw)?;
    let path = take_string(&mut code, "code", "filename")?.ok_or_else(|| missing("code", "filename"))?;
    let language = take_string(&mut code, "code", "language")?;
    let content = take_string(&mut code, "code", "content")?;
    let action = match take_string(&mut code, "code", "action")?.as_deref() {
        None | Some("write") => CodeAction::Write,
        Some("create") => CodeAction::Create,
        Some("edit") => CodeAction::Edit,
        Some("delete") => CodeAction::Delete,
        Some(_) => {
            let detail = "must be write, create, edit or delete";
            return Err(Problem::field(Code::InvalidField, "code.action", detail));
        }
    };
    if content.is_none() && action != CodeAction::Delete {
        return Err(missing("code", "content"));
    }
    Ok(Some(CodeChange {
        path,
        language,
        content,
        action,
    }))
}

/// A field that is an object or the text of its first member.
fn parse_object(
    fields: &mut Fields,
    name: &'static str,
    member: &'static str,
) -> Result<Option<Map<String, Value>>, Problem> {
    let Some(raw) = fields.remove(name) else {
        return Ok(None);
    };
    let object = match parsed(name, &raw)? {
        Value::Object(object) => object,
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => Map::from_iter([(member.to_owned(), Value::String(text))]),
        _ => {
            let detail = format!("must be a string or an object with `{member}`");
            return Err(Problem::field(Code::InvalidField, name, detail));
        }
    };
    if !object.contains_key(member) {
        return Err(missing(name, member));
    }
    Ok(Some(object))
}

/// A top-level text; an empty one says nothing.
fn take_text(fields: &mut Fields, name: &str) -> Result<Option<String>, Problem> {
    Ok(take_string(fields, "", name)?.filter(|text| !text.is_empty()))
}

fn take_string(fields: &mut Fields, parent: &str, name: &str) -> Result<Option<String>, Problem> {
    let path = if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    };
    match fields.remove(name) {
        Some(raw) if raw.get() != "null" => parsed(&path, &raw).map(Some),
        _ => Ok(None),
    }
}

fn parsed<T: serde::de::DeserializeOwned>(path: &str, raw: &RawValue) -> Result<T, Problem> {
    serde_json::from_str(raw.get())
        .map_err(|error| Problem::field(Code::InvalidField, path, format!("not as it should be: {error}")))
}

fn missing(parent: &str, name: &str) -> Problem {
    Problem::field(
        Code::MissingField,
        format!("{parent}.{name}"),
        format!("`{name}` is needed here"),
    )
}

/// Names from outside are shown, but not without end.
fn clip(name: &str) -> String {
    name.chars().take(64).collect()
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
