//! Reads a request of the simple API, field by field, so that a problem names its field.

use std::collections::BTreeMap;

use kulti_schemas::AgentId;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{CodeAction, CodeChange, OUTPUT_LEVELS, SimpleRequest, TerminalEntry, Thought};
use crate::masking::mask_answer;
use crate::problem::{Code, Problem};

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

type Fields = BTreeMap<String, Box<RawValue>>;

impl SimpleRequest {
    /// Reads a request. What it does not know is named in `warnings`.
    pub(in crate::ingest::simple) fn parse(body: &[u8]) -> Result<Self, Problem> {
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
            .map(|name| format!("`{}` is not known and ignored", clip(&mask_answer(name.clone()))));
        let warnings = request.warnings.into_iter().chain(ignored).collect();
        Ok(SimpleRequest { warnings, ..request })
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
