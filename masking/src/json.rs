//! JSON as text: every string of it is masked, with its member's name as context; all else keeps its spelling.

use std::borrow::Cow;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::{Counts, Masker};

/// Names whose string says what the member `value` beside them is: `{"name": "API_KEY", "value": "…"}`.
const NAMING: [&str; 2] = ["name", "key"];

/// A JSON text in which markers stand for secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskedJson<'a> {
    /// Borrowed if there was none.
    pub json: Cow<'a, str>,
    /// How many, by rule.
    pub counts: Counts,
}

impl Masker {
    /// Masks every string of a JSON text, names of members included. `json` must be valid JSON; a text that is not comes
    /// back masked as a text.
    ///
    /// A member's name counts: `{"api_key": "…"}` is masked where the value alone tells nothing. Strings of members that
    /// are called `base64` are decoded, masked and encoded again.
    pub fn mask_json_text<'a>(&self, json: &'a str) -> MaskedJson<'a> {
        let mut walk = Walk {
            masker: self,
            json,
            at: 0,
            out: None,
            copied: 0,
            counts: Counts::default(),
            names: MaskedNames::default(),
        };
        walk.run();
        let Walk {
            out, copied, counts, ..
        } = walk;
        let json = match out {
            None => Cow::Borrowed(json),
            Some(mut out) => {
                out.push_str(&json[copied..]);
                Cow::Owned(out)
            }
        };
        MaskedJson { json, counts }
    }

    /// The same for a value in memory.
    pub fn mask_json(&self, value: &mut Value) -> Counts {
        let mut counts = Counts::default();
        self.mask_value("", value, &mut counts, &mut MaskedNames::default());
        counts
    }

    fn mask_value(&self, name: &str, value: &mut Value, counts: &mut Counts, names: &mut MaskedNames) {
        match value {
            Value::String(text) => {
                if let Some(masked) = self.mask_member(name, text, counts) {
                    *text = masked;
                }
            }
            Value::Array(elements) => {
                for element in elements {
                    self.mask_value(name, element, counts, names);
                }
            }
            Value::Object(members) => {
                let named = members
                    .iter()
                    .find(|(name, _)| names_others(name))
                    .and_then(|(_, value)| value.as_str().map(str::to_owned));
                *members = std::mem::take(members)
                    .into_iter()
                    .map(|(name, mut value)| {
                        self.mask_value(context(&name, named.as_deref()), &mut value, counts, names);
                        let masked = self.mask_name(&name, counts, names);
                        (masked.unwrap_or(name), value)
                    })
                    .collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A member's name, if it is masked. Two that are secrets must not become one.
    fn mask_name(&self, name: &str, counts: &mut Counts, names: &mut MaskedNames) -> Option<String> {
        let masked = self.mask_text(name);
        let Cow::Owned(mut text) = masked.text else {
            return None;
        };
        counts.merge(&masked.counts);
        names.0 += 1;
        if names.0 > 1 {
            text.push_str(&format!("#{}", names.0));
        }
        Some(text)
    }

    /// A member's value, if something in it is masked.
    fn mask_member(&self, name: &str, value: &str, counts: &mut Counts) -> Option<String> {
        if name == "base64"
            && let Ok(bytes) = STANDARD.decode(value)
        {
            let masked = self.mask_bytes(&bytes);
            counts.merge(&masked.counts);
            return match masked.bytes {
                Cow::Borrowed(_) => None,
                Cow::Owned(bytes) => Some(STANDARD.encode(bytes)),
            };
        }
        if let Some(rule) = self.rule_of_member(name, value) {
            let rule = &self.rules.rules[rule];
            counts.add(rule.name, 1);
            return Some(rule.marker.clone());
        }
        let masked = self.mask_text(value);
        counts.merge(&masked.counts);
        match masked.text {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text),
        }
    }

    /// The rule by which all of a member's value is a secret because of its name.
    fn rule_of_member(&self, name: &str, value: &str) -> Option<usize> {
        if name.is_empty() || value.len() < 8 || !self.rules.keywords.is_match(name) {
            return None;
        }
        let probe = format!("\"{name}\": \"{value}");
        let value_at = probe.len() - value.len();
        let spans = self.spans(probe.as_bytes());
        let first = spans.first()?;
        // Only if it is the name that says so; what is in the value is found there.
        (first.start <= value_at && first.end > value_at && !self.is_whole(value)).then_some(first.rule)
    }

    /// Whether the value alone is found from its first character on.
    fn is_whole(&self, value: &str) -> bool {
        self.spans(value.as_bytes())
            .first()
            .is_some_and(|span| span.start == 0)
    }
}

/// How many names of members were masked in one text.
#[derive(Default)]
struct MaskedNames(u32);

fn names_others(name: &str) -> bool {
    NAMING.iter().any(|naming| name.eq_ignore_ascii_case(naming))
}

/// What a member's value is called: its own name or, for `value`, what the object says that it is.
fn context<'a>(name: &'a str, named: Option<&'a str>) -> &'a str {
    match named {
        Some(named) if name.eq_ignore_ascii_case("value") => named,
        _ => name,
    }
}

/// An object or an array that is open.
struct Open {
    is_object: bool,
    /// The next string is a member's name.
    awaits_name: bool,
    /// Of an object: the member that is read now. Of an array: the member that it is.
    name: String,
    /// What a member called `name` or `key` of this object said.
    named: Option<String>,
}

struct Walk<'a, 'm> {
    masker: &'m Masker,
    json: &'a str,
    at: usize,
    /// What is written so far, once something differs.
    out: Option<String>,
    /// Up to where `json` is in `out`.
    copied: usize,
    counts: Counts,
    names: MaskedNames,
}

impl Walk<'_, '_> {
    fn run(&mut self) {
        let bytes = self.json.as_bytes();
        let mut open: Vec<Open> = Vec::new();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => self.string(&mut open),
                b'{' | b'[' => {
                    let name = open.last().map(|outer| outer.name.clone()).unwrap_or_default();
                    open.push(Open {
                        is_object: *byte == b'{',
                        awaits_name: *byte == b'{',
                        name,
                        named: None,
                    });
                    self.at += 1;
                }
                b'}' | b']' => {
                    open.pop();
                    self.at += 1;
                }
                b',' => {
                    if let Some(inner) = open.last_mut() {
                        inner.awaits_name = inner.is_object;
                    }
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }

    fn string(&mut self, open: &mut [Open]) {
        let range = self.string_range();
        self.at = range.end;
        let json = self.json;
        let Some(text) = text_of(&json[range.clone()]) else {
            return;
        };
        match open.last_mut() {
            Some(object) if object.awaits_name => {
                object.awaits_name = false;
                if let Some(masked) = self.masker.mask_name(&text, &mut self.counts, &mut self.names) {
                    self.replace(range, &masked);
                }
                object.name.clear();
                object.name.push_str(&text);
            }
            Some(inner) => {
                let name = context(&inner.name, inner.named.as_deref());
                if let Some(masked) = self.masker.mask_member(name, &text, &mut self.counts) {
                    self.replace(range, &masked);
                }
                if inner.is_object && names_others(&inner.name) {
                    inner.named = Some(text.into_owned());
                }
            }
            None => {
                if let Some(masked) = self.masker.mask_member("", &text, &mut self.counts) {
                    self.replace(range, &masked);
                }
            }
        }
    }

    /// The string that begins here, with its quotes.
    fn string_range(&self) -> Range<usize> {
        let bytes = self.json.as_bytes();
        let start = self.at;
        let mut at = start + 1;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => return start..at + 1,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        start..bytes.len()
    }

    fn replace(&mut self, range: Range<usize>, text: &str) {
        let out = self.out.get_or_insert_with(String::new);
        out.push_str(&self.json[self.copied..range.start]);
        out.push_str(&Value::from(text).to_string());
        self.copied = range.end;
    }
}

/// The string that a JSON string is; `None` if it is none.
fn text_of(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(quoted).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}
