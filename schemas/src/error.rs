//! What can be wrong with ids, data and records.

/// An id that is not in its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IdError(pub String);

/// Data that does not fit its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct DataError {
    /// Path of the field, `data.content` for instance.
    pub field: String,
    /// What is wrong and what would be right.
    pub detail: String,
}

/// A record that is not ours: no position, goes to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No value, too short, another magic byte, or a schema id that is not Kulti's.
    #[error("not in the Confluent wire format")]
    Framing,
    /// The `meta` record cannot be read.
    #[error("unreadable meta: {0}")]
    Meta(String),
    /// The key is not the session id.
    #[error("the record's key is not its session id")]
    Key,
}

impl DecodeError {
    /// A closed set, for metrics and headers.
    pub fn reason(&self) -> &'static str {
        match self {
            DecodeError::Framing => "framing",
            DecodeError::Meta(_) => "meta",
            DecodeError::Key => "key",
        }
    }
}

/// An event that cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The data does not fit the kind.
    #[error(transparent)]
    Data(#[from] DataError),
    /// `Kind::Unknown` and `Kind::Unreadable` are never written.
    #[error("kind {0} cannot be written")]
    Kind(String),
    /// A fault of this build: the mapper and the schema disagree.
    #[error("cannot be written as Avro: {0}")]
    Avro(String),
}
