//! Text that is too long for one event, in numbered parts.
//!
//! Output of a terminal goes on in further `terminal.output`. Of everything else the event keeps the beginning, and the
//! rest follows as `custom` named `part`: `{of: event id, field: JSON pointer into data (or "raw"), part, parts, text}`,
//! part 1 being what the event holds. Joined, the parts are the field; with `json: true` they are its JSON text.

use kulti_schemas::EventId;
use serde_json::{Map, Value, json};

use crate::event::ImportedEvent;

/// What an event's JSON may have here; the server takes 1 MiB.
const EVENT_BYTES: usize = 960 << 10;
/// JSON bytes of one part.
const PART_BYTES: usize = 512 << 10;
/// Deeper data is kept as its JSON text: the server takes 64 levels.
const DEPTH: usize = 56;

/// Appends the event, in as many events as it needs.
pub(crate) fn split(mut event: ImportedEvent, out: &mut Vec<ImportedEvent>) {
    for value in event.data.values_mut() {
        if is_deeper_than(value, DEPTH) {
            *value = value.to_string().into();
        }
    }
    if json_length(&event) <= EVENT_BYTES {
        out.push(event);
        return;
    }
    let at = out.len();
    if event.kind == "terminal.output"
        && let Some(Value::String(text)) = event.data.remove("text")
    {
        // The line, if it stays, holds the same text again.
        let raw = event.raw.take();
        for (index, part) in cut(&text).into_iter().enumerate() {
            let mut output = event.clone();
            output.data.insert("text".to_owned(), part.into());
            if index > 0 {
                output.id = derived(event.id, &format!("text/{index}"));
            }
            out.push(output);
        }
        if let Some(raw) = raw {
            let first = out[at].clone();
            push_parts(&first, "raw", &raw, 0, false, out);
        }
        return;
    }
    let mut rest = Vec::new();
    if let Some(raw) = event.raw.take() {
        match json_length(&event) + escaped_length(&raw) <= EVENT_BYTES {
            true => event.raw = Some(raw),
            false => push_parts(&event, "raw", &raw, 0, false, &mut rest),
        }
    }
    while json_length(&event) > EVENT_BYTES {
        let Some((pointer, text, json)) = longest(&mut event.data) else {
            break;
        };
        let context = event.clone();
        push_parts(&context, &pointer, &text, 1, json, &mut rest);
    }
    out.push(event);
    out.append(&mut rest);
}

/// Cuts the longest text of the data to its first part and gives all of it; where there is no long text, the largest
/// member becomes its own JSON text.
fn longest(data: &mut Map<String, Value>) -> Option<(String, String, bool)> {
    let mut found = (0, String::new());
    for (name, value) in &*data {
        find_longest(value, &format!("/{}", escape(name)), &mut found);
    }
    if found.0 > PART_BYTES / 8 {
        let (name, rest) = split_pointer(&found.1);
        let value = data.get_mut(&name)?;
        let value = if rest.is_empty() {
            value
        } else {
            value.pointer_mut(&rest)?
        };
        let text = value.as_str()?.to_owned();
        *value = first_of(&text).into();
        return Some((found.1, text, false));
    }
    let name = data
        .iter()
        .max_by_key(|(_, value)| json_length(value))
        .map(|(name, _)| name.clone())?;
    let text = data.get(&name)?.to_string();
    data.insert(name.clone(), first_of(&text).into());
    Some((format!("/{}", escape(&name)), text, true))
}

/// Half of what a part may hold, so that one event can keep the beginnings of several.
fn first_of(text: &str) -> String {
    beginning(text, PART_BYTES / 8).to_owned()
}

fn find_longest(value: &Value, pointer: &str, found: &mut (usize, String)) {
    match value {
        Value::String(text) => {
            let length = escaped_length(text);
            if length > found.0 {
                *found = (length, pointer.to_owned());
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                find_longest(element, &format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                find_longest(member, &format!("{pointer}/{}", escape(name)), found);
            }
        }
        _ => {}
    }
}

/// `kept` is 1 where the event keeps the beginning of the text.
fn push_parts(
    of: &ImportedEvent,
    field: &str,
    text: &str,
    kept: usize,
    json: bool,
    out: &mut Vec<ImportedEvent>,
) {
    let rest = match kept {
        0 => text,
        _ => &text[first_of(text).len()..],
    };
    let parts = cut(rest);
    for (index, part) in parts.iter().enumerate() {
        let number = index + 1 + kept;
        let mut value =
            json!({"of": of.id, "field": field, "part": number, "parts": parts.len() + kept, "text": part});
        if json {
            value["json"] = true.into();
        }
        out.push(ImportedEvent {
            id: derived(of.id, &format!("{field}/{number}")),
            kind: "custom",
            data: Map::from_iter([("name".to_owned(), "part".into()), ("value".to_owned(), value)]),
            raw: None,
            ..of.clone()
        });
    }
}

fn derived(id: EventId, label: &str) -> EventId {
    EventId::derive(&[b"import part", id.uuid().as_bytes(), label.as_bytes()])
}

fn cut(text: &str) -> Vec<&str> {
    let mut rest = text;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let part = beginning(rest, PART_BYTES);
        parts.push(part);
        rest = &rest[part.len()..];
    }
    parts
}

/// As much of the text as takes at most so many bytes in JSON, at least one character.
fn beginning(text: &str, bytes: usize) -> &str {
    let mut length = 0;
    for (at, character) in text.char_indices() {
        length += escaped_character(character);
        if length > bytes && at > 0 {
            return &text[..at];
        }
    }
    text
}

fn escaped_character(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        character if character < ' ' => 6,
        character => character.len_utf8(),
    }
}

fn escaped_length(text: &str) -> usize {
    text.chars().map(escaped_character).sum::<usize>() + 2
}

fn json_length(value: &impl serde::Serialize) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value).map_or(usize::MAX, |()| counter.0)
}

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let mut members: Box<dyn Iterator<Item = &Value>> = match value {
        Value::Array(elements) => Box::new(elements.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => return false,
    };
    levels == 0 || members.any(|member| is_deeper_than(member, levels - 1))
}

/// A name as a token of a JSON pointer.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The first token's name, and the pointer behind it.
fn split_pointer(pointer: &str) -> (String, String) {
    let pointer = &pointer[1..];
    let (token, rest) = match pointer.find('/') {
        Some(at) => pointer.split_at(at),
        None => (pointer, ""),
    };
    (token.replace("~1", "/").replace("~0", "~"), rest.to_owned())
}

#[cfg(test)]
mod tests {
    use kulti_schemas::{AgentId, SessionId};

    use super::*;

    fn event(kind: &'static str, data: Value) -> ImportedEvent {
        ImportedEvent {
            id: EventId::derive(&[b"x"]),
            session: SessionId::parse("s").expect("an id"),
            agent: AgentId::parse("a").expect("an id"),
            time: None,
            kind,
            data: data.as_object().cloned().unwrap_or_default(),
            cause: None,
            raw: None,
        }
    }

    /// Joins the parts of a field again.
    fn joined(events: &[ImportedEvent], field: &str, first: &str) -> String {
        let parts = events.iter().filter(|event| event.data["name"] == "part");
        let texts = parts.filter(|event| event.data["value"]["field"] == field);
        texts.fold(first.to_owned(), |text, event| {
            text + event.data["value"]["text"].as_str().expect("text")
        })
    }

    #[test]
    fn long_text_is_cut_into_parts_that_join_to_it_and_fit() {
        let text = "é\u{1}\"x".repeat(600_000);
        let mut long = event(
            "tool.finished",
            json!({"call": "c", "status": "ok", "output": [{"type": "text", "text": text}]}),
        );
        long.raw = Some(text.clone());
        let mut out = Vec::new();
        split(long, &mut out);
        assert!(out.iter().all(|event| event.to_json().len() < 1 << 20));
        assert_eq!(
            out.iter().filter(|event| event.kind == "tool.finished").count(),
            1
        );
        let first = out[0].data["output"][0]["text"]
            .as_str()
            .expect("text")
            .to_owned();
        assert_eq!(joined(&out[1..], "/output/0/text", &first), text);
        assert_eq!(joined(&out[1..], "raw", ""), text);
        let ids: std::collections::HashSet<_> = out.iter().map(|event| event.id).collect();
        assert_eq!(ids.len(), out.len());
    }

    #[test]
    fn long_output_goes_on_in_further_output() {
        let text = "0123456789\r\n".repeat(300_000);
        let mut out = Vec::new();
        split(
            event("terminal.output", json!({"text": text, "stream": "pty"})),
            &mut out,
        );
        assert!(out.len() > 3 && out.iter().all(|event| event.kind == "terminal.output"));
        let joined: String = out
            .iter()
            .filter_map(|event| event.data["text"].as_str())
            .collect();
        assert_eq!(joined, text);
    }

    #[test]
    fn many_small_values_are_kept_as_json_text() {
        let many: Vec<u32> = (0..400_000).collect();
        let mut out = Vec::new();
        split(event("custom", json!({"name": "n", "value": many})), &mut out);
        assert!(out.iter().all(|event| event.to_json().len() < 1 << 20));
        let first = out[0].data["value"].as_str().expect("text").to_owned();
        let json = joined(&out[1..], "/value", &first);
        assert_eq!(serde_json::from_str::<Vec<u32>>(&json).expect("JSON"), many);
    }

    #[test]
    fn data_that_is_too_deep_becomes_text() {
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        let mut out = Vec::new();
        split(
            event("custom", json!({"name": "n", "value": deep.clone()})),
            &mut out,
        );
        assert_eq!(out[0].data["value"], deep.to_string());
    }
}
