//! An event before its session, agent and time are known for sure.

use kulti_schemas::Timestamp;
use serde_json::{Map, Value};

/// What an adapter says, before the reader names it.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// The source's own name of the session; `None` where its record does not say.
    pub(crate) session: Option<String>,
    pub(crate) time: Option<Timestamp>,
    /// Of the record; with the label it makes the event's id.
    pub(crate) identity: String,
    /// Kind and number among those of its kind in the record.
    pub(crate) label: String,
    pub(crate) kind: &'static str,
    pub(crate) data: Map<String, Value>,
    /// Identity of the record that it answers.
    pub(crate) cause: Option<String>,
    pub(crate) raw: Option<String>,
}
