//! Who writes by asciinema's own API: its command line sends an installation's id as the password of `Basic`, and a
//! stream's socket has a token in its URL. Each stands for the key that it was connected with (docs/adr/0016).

use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::{Writer, key_problem, refuse_without_key, writer, writes_are_open};
use crate::control::asciinema::Stream;
use crate::control::{self, KeyRecord, Scope};
use crate::keys::KeyError;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// An installation of asciinema's command line that may write.
pub(crate) struct Installation {
    /// As whom it writes.
    pub(crate) writer: Writer,
    /// What the person is called on their machine; may be empty.
    pub(crate) user: String,
    secret: String,
}

impl Installation {
    /// Tells which installation asks. Before there is a key it needs no more than other writers.
    ///
    /// # Errors
    /// As for writers; 401 also for an installation that nobody connected.
    pub(crate) async fn of(
        state: &AppState,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Self, Problem> {
        let (user, secret) = match basic(headers) {
            Some(basic) => basic,
            None => {
                let writer = writer(state, headers, extensions).await?;
                let presented = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
                let secret = String::from_utf8_lossy(presented.unwrap_or_default()).into_owned();
                return Ok(Installation {
                    writer,
                    user: String::new(),
                    secret,
                });
            }
        };
        let writer = match state.keys.any().await.map_err(key_problem)? {
            false => {
                writes_are_open(state, headers, extensions, "a key that may produce").await?;
                Writer { key: None }
            }
            true => Writer {
                key: Some(key_of(state, &secret).await?),
            },
        };
        Ok(Installation { writer, user, secret })
    }

    /// The token in the URL of a stream's socket. The same each time that this installation asks, so that no server
    /// keeps it; nobody without the installation's id can tell it.
    pub(crate) fn token(&self, session: &str) -> String {
        let digest = Sha256::digest(format!("kulti stream token\n{}\n{session}", self.secret));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// User and password.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The key that is meant: the one that the installation is connected with, or the password itself.
async fn key_of(state: &AppState, secret: &str) -> Result<Arc<KeyRecord>, Problem> {
    let found = match control::key_id(secret) {
        Some(_) => state.keys.verify(secret).await,
        None => state.keys.verify_installation(secret).await,
    };
    let key = found.map_err(|error| match error {
        KeyError::Unknown => Problem::new(
            Code::Unauthorized,
            "this installation of asciinema is not connected with a key, or the key was revoked: run `asciinema auth` \
             and open what it prints",
        ),
        KeyError::Unavailable => key_problem(error),
    })?;
    may_produce(key)
}

fn may_produce(key: Arc<KeyRecord>) -> Result<Arc<KeyRecord>, Problem> {
    if key.has(Scope::Produce) {
        return Ok(key);
    }
    let detail = "the key that this is connected with lacks the scope `produce`";
    Err(Problem::new(Code::Forbidden, detail))
}

/// Who writes a stream through its socket. Asked anew while it is open, because keys come and go.
pub(crate) struct Producer {
    token: String,
    has_key: bool,
}

impl Producer {
    /// Tells whether who knows this stream's token may write it by this connection.
    ///
    /// # Errors
    /// As for writers.
    pub(crate) async fn of(
        state: &AppState,
        (token, stream): (&str, &Stream),
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Self, Problem> {
        let producer = Producer {
            token: token.to_owned(),
            has_key: !stream.key_id.is_empty(),
        };
        match producer.has_key {
            true => drop(producer.writer(state).await?),
            false => writes_are_open(state, headers, extensions, "a key that may produce").await?,
        }
        Ok(producer)
    }

    /// As whom it writes now.
    ///
    /// # Errors
    /// Once the key was revoked; without one, once there is one.
    pub(crate) async fn writer(&self, state: &AppState) -> Result<Writer, Problem> {
        if !self.has_key {
            refuse_without_key(state, "a key that may produce").await?;
            return Ok(Writer { key: None });
        }
        let key = state.keys.verify_token(&self.token).await.map_err(key_problem)?;
        Ok(Writer {
            key: Some(may_produce(key)?),
        })
    }
}
