//! What can go wrong between here and a server.

use crate::problem::Problem;

/// A request that did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The network, not the server, stood in the way: trying again may help. The text says what can be done.
    #[error("{0}")]
    Unreachable(String),
    /// The server's answer is no success.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// Whoever answers there is no Kulti, or one of another time.
    #[error("{base} does not answer as Kulti does: {detail}")]
    Foreign {
        /// The server's URL.
        base: String,
        /// What was not understood.
        detail: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot set up the HTTP client: {0}")]
    SetUp(#[source] reqwest::Error),
}

impl ClientError {
    /// Whether the same may work later without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            ClientError::Unreachable(_) => true,
            ClientError::Problem(problem) => problem.is_retryable(),
            ClientError::Foreign { .. } | ClientError::SetUp(_) => false,
        }
    }

    /// The server's own words, where it answered.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            ClientError::Problem(problem) => Some(problem),
            _ => None,
        }
    }
}
