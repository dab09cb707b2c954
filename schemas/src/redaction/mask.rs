//! Masks JSON texts: along a pointer, a span, a value, a whole event. What is not hidden keeps its spelling.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::json_text::{self, Members};
use crate::plan::{self, Field, Form, Holds};
use crate::{EventId, Kind};

/// Stands for a text that is hidden as a whole.
pub const MARKER: &str = "[redacted]";
/// Stands for one character; line ends stay, so that lines and patches keep their shape.
const MASKED_CHARACTER: char = '█';
/// Stands for one byte of base64.
const MASKED_BYTE: u8 = b'*';

/// Only kinds that can be read here have fields; of others everything is hidden.
pub(super) fn has_fields(kind: &Kind) -> bool {
    matches!(kind, Kind::Known(_))
}

/// Data of which nothing is left.
pub(super) fn everything() -> Box<RawValue> {
    RawValue::from_string(object_marker()).expect("the marker is JSON")
}

fn object_marker() -> String {
    format!("{{\"redacted\":\"{MARKER}\"}}")
}

/// Hides what the pointer leads to. `None` if that changes nothing.
pub(super) fn field(kind: &Kind, data: &str, pointer: &str, spans: Option<&[(u64, u64)]>) -> Option<String> {
    let tokens: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect();
    let name = tokens.first()?;
    if is_kept_always(kind, name) {
        return None;
    }
    let of_plan = field_of(kind, name);
    let is_word = of_plan.is_some_and(|field| field.values.is_some() || field.form == Form::EventId);
    let what = What {
        is_base64: tokens.len() == 1 && is_base64(kind, name),
        // A part of a word out of a closed set would tell the word.
        spans: spans.filter(|_| !is_word),
    };
    along(data, &tokens, &what)
}

/// Hides all that an event says. What it is called by others, words out of closed sets and counts stay.
pub(super) fn event(kind: &Kind, data: &str) -> Option<String> {
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(data) else {
        return Some(object_marker());
    };
    let masked: Vec<(&str, String)> = members
        .iter()
        .filter(|(name, _)| !has_fields(kind) || field_of(kind, name).is_some())
        .map(|(name, value)| {
            let text = value.get();
            let is_kept = is_kept_always(kind, name)
                || match field_of(kind, name) {
                    Some(field) => tells_nothing(field, text),
                    None => name != "base64",
                };
            let what = What {
                is_base64: is_base64(kind, name),
                spans: None,
            };
            let masked = (!is_kept).then(|| value_at_end(text, &what)).flatten();
            (name.as_ref(), masked.unwrap_or_else(|| text.to_owned()))
        })
        .collect();
    Some(object(masked.iter().map(|(name, text)| (*name, text.as_str()))))
}

/// The text of an object with these members.
pub(super) fn object<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&quoted(name));
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}

/// What a redaction hides is decided by its data: were that hidden, rows and log would no longer agree.
fn is_kept_always(kind: &Kind, name: &str) -> bool {
    *kind == Kind::Known("redaction") && name == "events"
}

fn field_of(kind: &Kind, name: &str) -> Option<&'static Field> {
    let plan = plan::newest(kind.entry()?)?;
    plan.fields.iter().find(|field| field.name == name)
}

fn is_base64(kind: &Kind, name: &str) -> bool {
    match field_of(kind, name) {
        Some(field) => field.holds == Holds::BytesOfBase64,
        None => !has_fields(kind) && name == "base64",
    }
}

fn tells_nothing(field: &Field, text: &str) -> bool {
    let is_number = matches!(field.holds, Holds::Long | Holds::Double)
        && !text.starts_with(['"', '{', '[', 't', 'f', 'n']);
    let is_word = || {
        let Some(Ok(word)) = json_text::string(text) else {
            return false;
        };
        let values = field.values.as_ref();
        values.is_some_and(|values| values.iter().any(|value| *value == word))
            || (field.form == Form::EventId && EventId::parse(&word).is_ok())
    };
    is_number || is_word()
}

/// What is done where the pointer ends.
struct What<'a> {
    is_base64: bool,
    spans: Option<&'a [(u64, u64)]>,
}

fn along(text: &str, tokens: &[String], what: &What<'_>) -> Option<String> {
    let Some((token, rest)) = tokens.split_first() else {
        return value_at_end(text, what);
    };
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).ok()?;
            let mut changed = false;
            let masked: Vec<(&str, String)> = members
                .iter()
                .map(|(name, value)| {
                    let masked = (name == token).then(|| along(value.get(), rest, what)).flatten();
                    changed |= masked.is_some();
                    (name.as_ref(), masked.unwrap_or_else(|| value.get().to_owned()))
                })
                .collect();
            changed.then(|| object(masked.iter().map(|(name, text)| (*name, text.as_str()))))
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let index: usize = token.parse().ok()?;
            let masked = along(elements.get(index)?.get(), rest, what)?;
            let mut texts: Vec<&str> = elements.iter().map(|element| element.get()).collect();
            texts[index] = &masked;
            Some(format!("[{}]", texts.join(",")))
        }
        _ => None,
    }
}

fn value_at_end(text: &str, what: &What<'_>) -> Option<String> {
    match text.as_bytes().first() {
        Some(b'"') => Some(quoted(&match json_text::string(text) {
            Some(Ok(string)) if what.is_base64 => base64(&string, what.spans)?,
            Some(Ok(string)) if string == MARKER => return None,
            Some(Ok(string)) => match what.spans {
                Some(spans) => characters(&string, spans),
                None => MARKER.to_owned(),
            },
            _ => MARKER.to_owned(),
        })),
        Some(b'{') => Some(object_marker()),
        Some(b'[') => Some(format!("[\"{MARKER}\"]")),
        Some(b't' | b'f' | b'n') => None,
        _ => Some("0".to_owned()),
    }
}

fn base64(text: &str, spans: Option<&[(u64, u64)]>) -> Option<String> {
    let whole = || Some(STANDARD.encode(MARKER));
    let Ok(mut bytes) = STANDARD.decode(text) else {
        return whole();
    };
    if bytes == MARKER.as_bytes() {
        return None;
    }
    let Some(spans) = spans else { return whole() };
    for (start, end) in spans {
        let end = usize::try_from(*end).unwrap_or(usize::MAX).min(bytes.len());
        let start = usize::try_from(*start).unwrap_or(usize::MAX).min(end);
        for byte in &mut bytes[start..end] {
            if !matches!(byte, b'\n' | b'\r') {
                *byte = MASKED_BYTE;
            }
        }
    }
    Some(STANDARD.encode(bytes))
}

fn characters(text: &str, spans: &[(u64, u64)]) -> String {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let mut spans = sorted.into_iter().peekable();
    // Of the spans that have begun, where the furthest ends.
    let mut hidden_until = 0;
    (0u64..)
        .zip(text.chars())
        .map(|(index, character)| {
            while let Some((_, end)) = spans.next_if(|(start, _)| *start <= index) {
                hidden_until = hidden_until.max(end);
            }
            if index < hidden_until && !matches!(character, '\n' | '\r') {
                MASKED_CHARACTER
            } else {
                character
            }
        })
        .collect()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}
