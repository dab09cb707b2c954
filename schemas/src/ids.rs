//! Newtypes for the ids that users see.

use std::sync::Arc;

use uuid::Uuid;

use crate::IdError;

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
    pub fn parse(_text: &str) -> Result<Self, IdError> {
        todo!()
    }
    /// A fresh one.
    pub fn generate() -> Self {
        todo!()
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AgentId {
    /// Checks the form.
    pub fn parse(_text: &str) -> Result<Self, IdError> {
        todo!()
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl EventId {
    /// Parses and checks the version.
    pub fn parse(_text: &str) -> Result<Self, IdError> {
        todo!()
    }
    /// Checks the version.
    pub fn from_uuid(_uuid: Uuid) -> Result<Self, IdError> {
        todo!()
    }
    /// A fresh UUIDv7.
    pub fn generate() -> Self {
        todo!()
    }
    /// A UUIDv8 from a name, always the same for the same parts.
    pub fn derive(_parts: &[&[u8]]) -> Self {
        todo!()
    }
    /// The UUID itself.
    pub fn uuid(self) -> Uuid {
        self.0
    }
}
