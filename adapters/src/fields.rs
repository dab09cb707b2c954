//! Reading JSON leniently, and building an event's data.

use kulti_schemas::Timestamp;
use serde_json::{Map, Value};

/// The member as text.
pub(crate) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

/// The member as text that is not empty.
pub(crate) fn some_text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    text(value, name).filter(|text| !text.is_empty())
}

/// The member as a whole number that is not negative.
pub(crate) fn count(value: &Value, name: &str) -> Option<i64> {
    value.get(name)?.as_i64().filter(|count| *count >= 0)
}

/// The member as a moment in RFC 3339.
pub(crate) fn time(value: &Value, name: &str) -> Option<Timestamp> {
    Timestamp::parse(text(value, name)?)
}

/// Whether the value holds a member besides these that says something: null, empty lists and empty objects do not.
pub(crate) fn has_others(value: &Value, known: &[&str]) -> bool {
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    };
    value.as_object().is_some_and(|members| {
        members
            .iter()
            .any(|(name, value)| !known.contains(&name.as_str()) && says_something(value))
    })
}

/// A copy of the object without these members.
pub(crate) fn without(value: &Value, names: &[&str]) -> Value {
    match value.as_object() {
        Some(members) => members
            .iter()
            .filter(|(name, _)| !names.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Map<_, _>>()
            .into(),
        None => value.clone(),
    }
}

/// As much of a prompt as a session's task needs.
pub(crate) fn beginning(prompt: &str) -> String {
    prompt.trim().chars().take(300).collect()
}

/// Builds data member by member.
#[derive(Debug, Clone, Default)]
pub(crate) struct Data(Map<String, Value>);

impl Data {
    pub(crate) fn new() -> Self {
        Data::default()
    }

    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Adds the member if there is something to say.
    pub(crate) fn some<V: Into<Value>>(self, name: &str, value: Option<V>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
    }
}
