//! What is let through although a rule says that it is a secret.

use regex_automata::meta::Regex;

/// Values and patterns of one's own that are not secrets: test keys, public tokens, examples.
#[derive(Debug, Clone, Default)]
pub struct AllowList {
    values: Vec<String>,
    patterns: Vec<Regex>,
}

/// An entry of an allow-list that is not a pattern.
#[derive(Debug, thiserror::Error)]
#[error("`{entry}` is not a regular expression: {reason}")]
pub struct AllowError {
    entry: String,
    reason: String,
}

impl AllowList {
    /// Takes entries as people write them: a value that is let through as it is, or `/pattern/`, a regular expression
    /// that the whole of a secret must match.
    ///
    /// # Errors
    /// A pattern that is not one, or is too large.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, AllowError> {
        let mut list = AllowList::default();
        for entry in entries {
            let entry = entry.trim();
            let inner = entry.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
            match inner {
                Some(pattern) if !pattern.is_empty() => {
                    list.patterns
                        .push(
                            Regex::new(&format!("^(?:{pattern})$")).map_err(|error| AllowError {
                                entry: entry.to_owned(),
                                reason: error.to_string(),
                            })?,
                        )
                }
                _ if entry.is_empty() => {}
                _ => list.values.push(entry.to_owned()),
            }
        }
        Ok(list)
    }

    pub(crate) fn allows(&self, secret: &[u8]) -> bool {
        self.values.iter().any(|value| value.as_bytes() == secret)
            || self.patterns.iter().any(|pattern| pattern.is_match(secret))
    }
}
