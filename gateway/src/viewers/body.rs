//! The small JSON objects that viewers send: each member is taken by name, and what is wrong with it named.

use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use kulti_schemas::EventId;
use serde_json::{Map, Value};

use super::RemarkId;
use crate::ingest::idempotency_key;
use crate::json::require_json;
use crate::problem::{Code, Problem};
use crate::reads::at::{At, not_a_moment};

/// 4,000 characters, each as two escaped halves, and some.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A JSON object.
pub(super) struct RemarkBody(Map<String, Value>);

impl RemarkBody {
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        require_json(headers)?;
        let bytes = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
            let detail = format!("a body may have at most {MAX_BODY_BYTES} bytes here, and must be complete");
            Problem::new(Code::BodyTooLarge, detail)
        })?;
        let object = serde_json::from_slice(&bytes)
            .map_err(|error| Problem::new(Code::InvalidJson, format!("not a JSON object: {error}")))?;
        Ok(RemarkBody(object))
    }

    /// A member that is neither absent nor null.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(super::invalid(name, "must be a string")),
        }
    }

    pub(super) fn required_text(&self, name: &str) -> Result<String, Problem> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn event(&self, name: &str) -> Result<Option<EventId>, Problem> {
        let parse = |text: String| {
            EventId::parse(&text).map_err(|error| Problem::field(Code::InvalidId, name, error.to_string()))
        };
        self.text(name)?.map(parse).transpose()
    }

    /// Any form of `at`; a number is a position.
    pub(super) fn moment(&self, name: &str) -> Result<At, Problem> {
        let text = match self.value(name) {
            None => return Err(missing(name)),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => self.required_text(name)?,
        };
        At::parse(&text).ok_or_else(|| Problem {
            code: Code::InvalidField,
            ..not_a_moment(name)
        })
    }

    /// The event's id: in the body, else derived from `Idempotency-Key`, else a new one.
    pub(super) fn remark_id<'a>(&self, headers: &'a HeaderMap) -> Result<RemarkId<'a>, Problem> {
        Ok(match (self.event("id")?, idempotency_key(headers)?) {
            (Some(id), _) => RemarkId::Given(id),
            (None, Some(key)) => RemarkId::Idempotent(key),
            (None, None) => RemarkId::New,
        })
    }
}

fn missing(name: &str) -> Problem {
    Problem::field(Code::MissingField, name, format!("`{name}` is needed"))
}
