//! What is let through although a rule says that it is a secret.

use regex_automata::meta::Regex;

/// Values and patterns of one's own that are not secrets: test keys, public tokens, examples.
#[derive(Debug, Clone, Default)]
pub struct AllowList {
    values: Vec<String>,
    patterns: Vec<Regex>,
    everything: bool,
}

/// An entry of an allow-list that is not a pattern.
#[derive(Debug, thiserror::Error)]
#[error("`{entry}` is not a regular expression: {reason}")]
pub struct AllowError {
    entry: String,
    reason: String,
}

impl AllowList {
    /// Lets everything through: nothing is masked.
    pub fn everything() -> Self {
        AllowList {
            everything: true,
            ..AllowList::default()
        }
    }

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

    /// Takes a list of them as one text, as a setting holds it: separated by commas or white space, which a
    /// `/pattern/` may hold too.
    ///
    /// # Errors
    /// As `parse`.
    pub fn parse_list(text: &str) -> Result<Self, AllowError> {
        let mut entries: Vec<&str> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let is_pattern = rest.starts_with('/');
            let mut ends = rest
                .match_indices([',', ' ', '\t', '\n', '\r'])
                .map(|(at, _)| at)
                .filter(|at| !is_pattern || (*at > 1 && rest[..*at].ends_with('/')));
            let end = ends.next().unwrap_or(rest.len());
            entries.push(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        AllowList::parse(entries)
    }

    pub(crate) fn allows(&self, secret: &[u8]) -> bool {
        self.everything
            || self.values.iter().any(|value| value.as_bytes() == secret)
            || self.patterns.iter().any(|pattern| pattern.is_match(secret))
    }
}
