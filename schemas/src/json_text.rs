//! JSON as text: what serde_json's `RawValue` has parsed but not looked into.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How deep `data` may be nested, itself included.
pub(crate) const MAX_DEPTH: usize = 64;

/// The members of a JSON object, in order, values unread, duplicates included.
pub(crate) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Borrowed unless it has escapes; `Cow` alone never borrows in serde.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// What kind of value the text is, for people.
pub(crate) fn kind_of(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The string that the text is. `None` if it is not a string.
///
/// # Errors
/// Escapes that are no character: half a surrogate pair.
pub(crate) fn string(text: &str) -> Option<Result<Cow<'_, str>, serde_json::Error>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    Some(match inner.contains('\\') {
        false => Ok(Cow::Borrowed(inner)),
        true => serde_json::from_str::<String>(text).map(Cow::Owned),
    })
}

/// The same value without white space between its tokens; `text` must be valid JSON, and numbers and strings keep
/// their spelling. It must fit into `data` as a member.
///
/// # Errors
/// Nested too deep, or with half a surrogate pair, which most readers refuse.
pub(crate) fn tidy(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let bytes = text.as_bytes();
    if !matches!(bytes.first(), Some(b'{' | b'[' | b'"')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut depth = 1;
    let mut spaces = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = skip_string(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err("nested too deep: at most 64 levels");
                }
            }
            b'}' | b']' => depth -= 1,
            b' ' | b'\n' | b'\r' | b'\t' => spaces += 1,
            _ => {}
        }
        at += 1;
    }
    Ok(match spaces {
        0 => Cow::Borrowed(text),
        _ => Cow::Owned(without_spaces(text, spaces)),
    })
}

/// The place of the closing quote of the string that opens at `open`.
fn skip_string(bytes: &[u8], open: usize) -> Result<usize, &'static str> {
    const LONE: &str = "holds half a surrogate pair";
    let mut at = open + 1;
    while let Some(skipped) = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        at += skipped;
        if bytes[at] == b'"' {
            return Ok(at);
        }
        at += match (surrogate(bytes, at), surrogate(bytes, at + 6)) {
            (None, _) => 2,
            (Some(Half::High), Some(Half::Low)) => 12,
            _ => return Err(LONE),
        };
    }
    Err("has a string without end")
}

enum Half {
    High,
    Low,
}

/// Which half of a surrogate pair is written at this place as an escape, if any.
fn surrogate(bytes: &[u8], at: usize) -> Option<Half> {
    let [b'\\', b'u', b'd' | b'D', second, _, _] = bytes.get(at..at + 6)? else {
        return None;
    };
    match second {
        b'8' | b'9' | b'a' | b'b' | b'A' | b'B' => Some(Half::High),
        b'c'..=b'f' | b'C'..=b'F' => Some(Half::Low),
        _ => None,
    }
}

fn without_spaces(text: &str, spaces: usize) -> String {
    let mut tidied = String::with_capacity(text.len() - spaces);
    let mut in_string = false;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            ' ' | '\n' | '\r' | '\t' if !in_string => continue,
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        tidied.push(c);
    }
    tidied
}

#[cfg(test)]
mod tests;
