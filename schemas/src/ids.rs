//! Newtypes for the ids that users see: parsed once at the edge, trusted afterwards.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use uuid::{Uuid, Variant};

use crate::IdError;

/// The longest session or agent id, in characters.
const MAX_ID_CHARS: usize = 128;

/// A session's id: 1 to 128 of `A-Z a-z 0-9 . _ : ~ -`, so that it needs no escaping in a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

/// An agent's id: 1 to 128 characters, no control characters, no `/`, no white space at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(Arc<str>);

/// An event's id: a UUID of version 7 or 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl SessionId {
    /// Checks the form.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        check_length(text, "a session id")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:~-".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(IdError("a session id may only hold A-Z a-z 0-9 . _ : ~ -".into()));
        }
        check_no_dot_segment(text)?;
        Ok(SessionId(text.into()))
    }

    /// A fresh one.
    pub fn generate() -> Self {
        SessionId(Uuid::now_v7().to_string().into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AgentId {
    /// Checks the form.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        check_length(text, "an agent id")?;
        if text.contains(|c: char| c.is_control() || c == '/') {
            return Err(IdError("an agent id may not hold control characters or /".into()));
        }
        if text.trim().len() != text.len() {
            return Err(IdError(
                "an agent id may not begin or end with white space".into(),
            ));
        }
        check_no_dot_segment(text)?;
        Ok(AgentId(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_length(text: &str, what: &str) -> Result<(), IdError> {
    // Characters are only counted when the bytes could be too many.
    if text.is_empty() || (text.len() > MAX_ID_CHARS && text.chars().count() > MAX_ID_CHARS) {
        return Err(IdError(format!("{what} has 1 to {MAX_ID_CHARS} characters")));
    }
    Ok(())
}

/// URL clients remove these two from paths, so such a session or agent could never be addressed.
fn check_no_dot_segment(text: &str) -> Result<(), IdError> {
    match text {
        "." | ".." => Err(IdError("an id may not be . or ..".into())),
        _ => Ok(()),
    }
}

/// Derived ids begin with so many zero bytes, and so lie below all ids that name a moment: the largest ids of a
/// session, which tell new events without a look-up, stay those that grow with time. 90 bits of the hash remain.
const DERIVED_PREFIX: usize = 4;

impl EventId {
    /// Parses the hyphenated form and checks the version.
    ///
    /// # Errors
    /// For other forms, versions and variants.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        // Uuid also takes braced, bare and URN forms: one id must have one spelling.
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(IdError("an event id is a UUID in its hyphenated form".into()));
        }
        let uuid = Uuid::try_parse(text).map_err(|e| IdError(format!("an event id is a UUID: {e}")))?;
        Self::from_uuid(uuid)
    }

    /// Checks the version.
    ///
    /// # Errors
    /// For versions other than 7 and 8, and for variants other than RFC 9562's.
    pub fn from_uuid(uuid: Uuid) -> Result<Self, IdError> {
        match (uuid.get_version_num(), uuid.get_variant()) {
            (7 | 8, Variant::RFC4122) => Ok(EventId(uuid)),
            (version, _) => Err(IdError(format!(
                "an event id is a UUID of version 7 (or 8, if derived), not {version}"
            ))),
        }
    }

    /// A fresh UUIDv7, greater than all that this process made before.
    pub fn generate() -> Self {
        EventId(Uuid::now_v7())
    }

    /// A UUIDv8 from a name, always the same for the same parts.
    pub fn derive(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length goes in first, so that ("ab", "c") and ("a", "bc") differ.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 16];
        bytes[DERIVED_PREFIX..].copy_from_slice(&digest[DERIVED_PREFIX..16]);
        EventId(Uuid::new_v8(bytes))
    }

    /// The UUID itself.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<SessionId> for Arc<str> {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl From<AgentId> for Arc<str> {
    fn from(id: AgentId) -> Self {
        id.0
    }
}

impl From<EventId> for Uuid {
    fn from(id: EventId) -> Self {
        id.0
    }
}

impl Borrow<str> for SessionId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for AgentId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for AgentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As text for every format: Avro's logical type uuid is on a string here, which kcat can show.
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

#[cfg(test)]
mod tests;
