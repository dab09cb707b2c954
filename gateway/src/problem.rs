//! What clients are told when something is wrong: RFC 9457 problems with a code from one closed list.
//!
//! docs/errors.md explains each code. The one `IntoResponse` for errors of this crate; 5xx are logged here and
//! nowhere else, and say nothing about the inside.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::masking::mask_answer;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $status:ident, $title:literal;)+) => {
        /// Every code there is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// All of them, for the documentation and for metrics.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// As clients see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name),+ }
            }
            /// The status of a response that is about this alone.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status),+ }
            }
            /// The same for every problem of this code.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),+ }
            }
        }
    };
}

codes! {
    /// The body, or one item of it, is not JSON.
    InvalidJson = "invalid_json", BAD_REQUEST, "Not valid JSON";
    /// The body cannot be read: cut short, or not in the encoding that it names.
    InvalidBody = "invalid_body", BAD_REQUEST, "The body cannot be read";
    /// A parameter of the path or the query is not in its form.
    InvalidParameter = "invalid_parameter", BAD_REQUEST, "A parameter is not valid";
    /// A field that is needed is not there.
    MissingField = "missing_field", UNPROCESSABLE_ENTITY, "A field is missing";
    /// A field holds something that it may not hold.
    InvalidField = "invalid_field", UNPROCESSABLE_ENTITY, "A field is not valid";
    /// An id is not in its form.
    InvalidId = "invalid_id", UNPROCESSABLE_ENTITY, "An id is not valid";
    /// One event is larger than 1 MiB.
    EventTooLarge = "event_too_large", UNPROCESSABLE_ENTITY, "The event is too large";
    /// Producers may not send this kind.
    KindNotAllowed = "kind_not_allowed", UNPROCESSABLE_ENTITY, "Producers may not send this kind";
    /// The key may produce for another agent only.
    AgentNotAllowed = "agent_not_allowed", UNPROCESSABLE_ENTITY, "The key may not write for this agent";
    /// Another key wrote this session first.
    SessionNotYours = "session_not_yours", UNPROCESSABLE_ENTITY, "The session belongs to another key";
    /// The session was erased.
    SessionExpired = "session_expired", UNPROCESSABLE_ENTITY, "The session was erased";
    /// A key or a session wrote more than its quota.
    QuotaExceeded = "quota_exceeded", TOO_MANY_REQUESTS, "The quota is used up";
    /// Kafka did not acknowledge.
    LogUnavailable = "log_unavailable", SERVICE_UNAVAILABLE, "The log is not available";
    /// Postgres did not answer.
    DatabaseUnavailable = "database_unavailable", SERVICE_UNAVAILABLE, "The database is not available";
    /// This server was built without what the answer needs.
    NotBuilt = "not_built", NOT_IMPLEMENTED, "This server was built without that";
    /// More work than this server takes at once.
    Busy = "busy", SERVICE_UNAVAILABLE, "The server is busy";
    /// Nobody may write here until there is a key.
    WritesClosed = "writes_closed", FORBIDDEN, "Writes are closed";
    /// No key, or not one that counts.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A key is needed";
    /// The key may not do this.
    Forbidden = "forbidden", FORBIDDEN, "The key may not do this";
    /// A page of an origin that is not allowed here.
    ForeignOrigin = "foreign_origin", FORBIDDEN, "The origin is not allowed";
    /// Not a content type or content encoding that this route takes.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The content type is not supported";
    /// More than 8 MiB after decompression.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// More events in one request than are taken at once.
    TooManyEvents = "too_many_events", PAYLOAD_TOO_LARGE, "Too many events in one request";
    /// Nothing here that this reader may see.
    NotFound = "not_found", NOT_FOUND, "Not found";
    /// The file is there, but what it held was never told.
    ContentUnknown = "content_unknown", NOT_FOUND, "The content is not known";
    /// The route exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed";
    /// The request took too long.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, "The request took too long";
    /// A fault of the server.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something went wrong";
}

/// Something that a client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Problem {
    /// Which kind of problem.
    pub code: Code,
    /// What is wrong here, and what would be right.
    pub detail: String,
    /// The field it is about.
    pub field: Option<String>,
    /// Seconds until it is worth trying again.
    pub retry_after: Option<u64>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// For clients of the simple API that look for these two and not for the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// For asciinema's command line, which prints this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// Whose clients read the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Own,
    Simple,
    Asciinema,
}

impl Problem {
    /// About the request as a whole.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem {
            code,
            // It may quote what was sent.
            detail: mask_answer(detail.into()),
            field: None,
            retry_after: None,
        }
    }
    /// About one field.
    pub fn field(code: Code, field: impl Into<String>, detail: impl Into<String>) -> Self {
        Problem {
            field: Some(mask_answer(field.into())),
            ..Problem::new(code, detail)
        }
    }
    /// The same problem of a field that was given under this name.
    pub fn about(mut self, field: &str) -> Self {
        if let Some(named) = &mut self.field {
            self.detail = self.detail.replace(&format!("`{named}`"), &format!("`{field}`"));
            field.clone_into(named);
        }
        self
    }
    /// Worth trying again after so many seconds.
    pub fn retry_after(self, seconds: u64) -> Self {
        Problem {
            retry_after: Some(seconds),
            ..self
        }
    }
    /// The same answer for what does not exist and for what this reader may not see.
    pub fn not_found() -> Self {
        Problem::new(
            Code::NotFound,
            "there is nothing here, or nothing that you may see",
        )
    }
    /// Kafka did not acknowledge, or cannot be reached.
    pub fn log_unavailable() -> Self {
        Problem::new(
            Code::LogUnavailable,
            "the log takes no events at the moment; send them again, with the same ids",
        )
        .retry_after(1)
    }
    /// Postgres did not answer.
    pub fn database_unavailable() -> Self {
        Problem::new(
            Code::DatabaseUnavailable,
            "the database does not answer at the moment",
        )
        .retry_after(2)
    }
    /// As the simple API's clients expect it: `success` and `error` beside the problem's own members.
    pub fn into_simple_response(self) -> Response {
        self.render(Dialect::Simple)
    }
    /// As asciinema's clients expect it: `message` beside the problem's own members.
    pub fn into_asciinema_response(self) -> Response {
        self.render(Dialect::Asciinema)
    }

    fn render(&self, dialect: Dialect) -> Response {
        let status = self.code.status();
        if status.is_server_error() && self.code == Code::Internal {
            tracing::error!(
                problem.code = self.code.as_str(),
                "request failed with {}",
                self.code.as_str()
            );
        }
        let body = ProblemBody {
            r#type: format!("urn:kulti:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            field: self.field.as_deref(),
            success: (dialect == Dialect::Simple).then_some(false),
            error: (dialect == Dialect::Simple).then_some(&self.detail),
            message: (dialect == Dialect::Asciinema).then_some(&self.detail),
        };
        let text = serde_json::to_vec(&body).expect("strings and numbers are always JSON");
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.render(Dialect::Own)
    }
}

impl From<sqlx::Error> for Problem {
    /// A statement that Postgres refuses and a row that cannot be read are faults of ours; everything else is the
    /// database or the way to it.
    fn from(error: sqlx::Error) -> Self {
        let is_fault = match &error {
            sqlx::Error::Database(refusal) => !refusal.code().is_some_and(|code| is_outage(&code)),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => true,
            _ => false,
        };
        if is_fault {
            tracing::error!(%error, "a statement failed");
            return Problem::new(Code::Internal, "the database could not be asked for this");
        }
        tracing::warn!(%error, "the database did not answer");
        Problem::database_unavailable()
    }
}

/// Connection lost, too few resources, shut down or starting, conflict of transactions: these pass.
fn is_outage(sql_state: &str) -> bool {
    ["08", "40", "53", "55", "57", "58"]
        .iter()
        .any(|class| sql_state.starts_with(class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_documented() {
        let documentation = include_str!("../../docs/errors.md");
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} is there twice", code.as_str());
            assert!(
                documentation.contains(&format!("`{}`", code.as_str())),
                "docs/errors.md does not explain {}",
                code.as_str()
            );
        }
    }
}
