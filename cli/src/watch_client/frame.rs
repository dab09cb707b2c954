//! The server's frames, and the ends of a connection.

use crate::failure::{is_passing, problem};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::terminal_text::clean;

/// A frame of the server, whatever its type: only what a watcher looks at.
#[derive(Deserialize)]
pub(super) struct Frame<'a> {
    pub(super) r#type: &'a str,
    #[serde(default)]
    pub(super) sub: Option<String>,
    #[serde(borrow, default)]
    pub(super) events: Vec<&'a RawValue>,
    #[serde(default)]
    pub(super) from: Option<i64>,
    #[serde(default)]
    pub(super) to: Option<i64>,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) detail: Option<String>,
    #[serde(default)]
    pub(super) retryable: bool,
}

/// Why the connection is of no use any more.
pub(super) struct Broken {
    pub(super) error: anyhow::Error,
    /// Whether another connection may do better.
    pub(super) passing: bool,
    /// How long the server asks us to wait.
    pub(super) asked: Option<Duration>,
}

impl Broken {
    pub(super) fn passing(error: impl Into<anyhow::Error>) -> Self {
        Broken {
            error: error.into(),
            passing: true,
            asked: None,
        }
    }

    pub(super) fn lasting(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into().context("the server speaks another protocol");
        Broken {
            error,
            passing: false,
            asked: None,
        }
    }

    pub(super) fn at_connect(error: anyhow::Error) -> Self {
        let asked = problem(&error).and_then(|problem| problem.retry_after);
        Broken {
            passing: is_passing(&error),
            asked,
            error,
        }
    }

    pub(super) fn said_by(frame: Frame<'_>) -> Self {
        let mut text = frame
            .detail
            .or(frame.reason)
            .unwrap_or_else(|| "the server gave up".to_owned());
        if let Some(code) = frame.code {
            text.push_str(&format!(" ({code})"));
        }
        Broken {
            error: anyhow::Error::msg(clean(&text)),
            passing: frame.retryable,
            asked: None,
        }
    }
}

/// The range of a close code says whether to come back.
pub(super) fn may_come_back(code: u16) -> bool {
    !matches!(code, 1002 | 1003 | 1007..=1010 | 4500..=4999)
}
