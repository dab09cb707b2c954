//! What a server answers when something is wrong (RFC 9457), as an error that people can read.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// An answer that is no success.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Stable code, if the server gave one.
    pub code: Option<String>,
    /// For people.
    pub detail: String,
    /// What is wrong, as a path into the event.
    pub field: Option<String>,
    /// How long the server asks us to wait.
    pub retry_after: Option<Duration>,
}

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    field: Option<String>,
}

impl Problem {
    /// From a response's parts. A body that is no problem (a proxy's page) is not shown.
    pub fn read(status: reqwest::StatusCode, headers: &reqwest::header::HeaderMap, body: &[u8]) -> Self {
        let body: Body = serde_json::from_slice(body).unwrap_or_default();
        let fallback = status.canonical_reason().unwrap_or("no success").to_lowercase();
        Problem {
            status: status.as_u16(),
            code: body.code.map(|text| clean(&text)),
            detail: clean(&body.detail.or(body.title).unwrap_or(fallback)),
            field: body.field.map(|text| clean(&text)),
            retry_after: retry_after(headers),
        }
    }

    /// Whether the same request may do better later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 502 | 503 | 504)
    }
}

/// What a server says is shown on terminals: nothing in it may be obeyed by one, or turn the text around.
fn clean(text: &str) -> String {
    let is_direction = |character| matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .filter(|character| !character.is_control() && !is_direction(*character))
        .collect()
}

/// Retry-After in seconds; a date is left to the back-off.
pub fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let text = headers.get(reqwest::header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.detail)?;
        match (&self.code, &self.field) {
            (Some(code), Some(field)) => write!(formatter, " ({code}, {field})"),
            (Some(code), None) => write!(formatter, " ({code})"),
            (None, _) => write!(formatter, " (HTTP {})", self.status),
        }?;
        match (self.status, self.code.as_deref()) {
            (401, _) => write!(
                formatter,
                "; a key is missing or no longer good: `kulti login URL`, or KULTI_API_KEY"
            ),
            (403, Some("writes_closed")) => write!(
                formatter,
                "; make the first key on the server's machine: `kulti keys create --database --name NAME`"
            ),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}
