//! Who asks, and what they may see and write. The rules are in docs/access.md.
//!
//! The only place that reads `Authorization`, `Origin`, `Host` and the forwarding headers for a decision.

mod asciinema;
mod credentials;
mod local;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap};

pub(crate) use self::asciinema::{Installation, Producer};
pub(crate) use self::credentials::Credentials;
use self::local::{foreign_origin, not_local_request, not_this_machine};
use crate::config::Visibility;
use crate::control::{KeyRecord, Scope};
use crate::keys::KeyError;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// The two ends of the connection that a request came over; in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionInfo {
    /// Who connected.
    pub peer: SocketAddr,
    /// What the listener is bound to, all interfaces for instance.
    pub listener: SocketAddr,
    /// True for requests of HTTP/1.0.
    pub is_http_10: bool,
}

/// Somebody who reads.
#[derive(Debug, Clone)]
pub struct Reader {
    sees_all: bool,
    key: Option<Arc<KeyRecord>>,
    default_visibility: Visibility,
}

impl Reader {
    /// Says whether this reader may see a session with this visibility (`None`: it never said) and this owner.
    pub fn may_read(&self, session_visibility: Option<&str>, owner: Option<&str>) -> bool {
        let visibility = session_visibility.unwrap_or(self.default_visibility.as_str());
        self.sees_all
            || visibility == Visibility::Public.as_str()
            || owner.is_some_and(|owner| self.key_id() == Some(owner))
    }
    /// Says whether everybody may see a session with this visibility, whoever asks.
    pub fn is_public(&self, session_visibility: Option<&str>) -> bool {
        let visibility = session_visibility.unwrap_or(self.default_visibility.as_str());
        visibility == Visibility::Public.as_str()
    }
    /// The same one as an admin, who has shown that by `admin`.
    pub(crate) fn of_admin(self) -> Self {
        Reader {
            sees_all: true,
            ..self
        }
    }
    /// Says whether this reader may see every session.
    pub fn sees_all(&self) -> bool {
        self.sees_all
    }
    /// The id of the reader's key, if there is one.
    pub fn key_id(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.id.as_str())
    }
    /// What a session is that never said who may see it.
    pub fn default_visibility(&self) -> Visibility {
        self.default_visibility
    }
}

/// Somebody who writes: a key that may produce, or nobody in particular before there is a key.
#[derive(Debug, Clone)]
pub struct Writer {
    key: Option<Arc<KeyRecord>>,
}

impl Writer {
    /// The key's id; empty before there is a key.
    pub fn key_id(&self) -> &str {
        self.key.as_ref().map_or("", |key| key.id.as_str())
    }
    /// The only agent that this writer may produce for.
    pub fn only_agent(&self) -> Option<&str> {
        self.key.as_ref().and_then(|key| key.agent_id.as_deref())
    }
    /// Says whether this writer may write sessions of others.
    pub fn is_admin(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.has(Scope::Admin))
    }
}

/// Somebody who watches and says something: a key that reads, or nobody in particular before there is a key.
#[derive(Debug, Clone)]
pub struct Viewer {
    key: Option<Arc<KeyRecord>>,
    peer: Option<IpAddr>,
}

impl Viewer {
    /// The key's id; empty before there is a key.
    pub fn key_id(&self) -> &str {
        self.key.as_ref().map_or("", |key| key.id.as_str())
    }
    /// Whose quota what they say is taken from: the key's, else the peer's.
    pub fn quota_name(&self) -> String {
        match (&self.key, self.peer) {
            (Some(key), _) => format!("key {}", key.id),
            (None, Some(peer)) => format!("peer {}", peer.to_canonical()),
            (None, None) => String::new(),
        }
    }
}

/// Tells who reads. Without a key that is everybody, who sees what is public; on a loopback listener this
/// machine sees everything.
pub async fn reader(
    state: &AppState,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Reader, Problem> {
    let default_visibility = state.config.default_visibility;
    if let Some(key) = presented_key(state, headers).await? {
        let sees_all = key.has(Scope::Read) && key.agent_id.is_none();
        return Ok(Reader {
            sees_all,
            key: Some(key),
            default_visibility,
        });
    }
    let sees_all = not_this_machine(state, headers, extensions).is_none();
    Ok(Reader {
        sees_all,
        key: None,
        default_visibility,
    })
}

/// Tells who writes.
///
/// # Errors
/// 403 `writes_closed` before there is a key, but for this machine; 401 without a key once there is one.
pub async fn writer(
    state: &AppState,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Writer, Problem> {
    if let Some(key) = presented_key(state, headers).await? {
        if !key.has(Scope::Produce) {
            return Err(Problem::new(
                Code::Forbidden,
                "this needs a key with the scope `produce`",
            ));
        }
        return Ok(Writer { key: Some(key) });
    }
    writes_are_open(state, headers, extensions, "a key that may produce").await?;
    Ok(Writer { key: None })
}

/// Tells who says something about a session. Whether they may see it is for `reads::visible_session` to say.
///
/// # Errors
/// As for writers; and `kind_not_allowed` for keys that only produce: what an agent's key says must never pass
/// for what a person said.
pub async fn viewer(
    state: &AppState,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Viewer, Problem> {
    let connection = extensions.get::<ConnectionInfo>();
    let peer = connection.map(|connection| connection.peer.ip());
    if headers.contains_key(AUTHORIZATION) {
        return viewer_of_key(state, headers, peer).await;
    }
    writes_are_open(state, headers, extensions, "a key that may read").await?;
    Ok(Viewer { key: None, peer })
}

async fn viewer_of_key(
    state: &AppState,
    headers: &HeaderMap,
    peer: Option<IpAddr>,
) -> Result<Viewer, Problem> {
    let key = presented_key(state, headers).await?;
    if key.as_ref().is_none_or(|key| !key.has(Scope::Read)) {
        return Err(Problem::new(
            Code::KindNotAllowed,
            "a key that only produces may not say what viewers say; this needs the scope `read`",
        ));
    }
    Ok(Viewer { key, peer })
}

/// Lets a write without a key through: only before there is one, and from this machine.
async fn writes_are_open(
    state: &AppState,
    headers: &HeaderMap,
    extensions: &Extensions,
    needed: &str,
) -> Result<(), Problem> {
    refuse_without_key(state, needed).await?;
    match not_allowed_without_key(state, headers, extensions) {
        None => Ok(()),
        Some(reason) => Err(writes_are_closed(&reason)),
    }
}

/// Once there is a key, nobody writes without one.
async fn refuse_without_key(state: &AppState, needed: &str) -> Result<(), Problem> {
    if state.keys.any().await.map_err(key_problem)? {
        return Err(Problem::new(
            Code::Unauthorized,
            format!("send `Authorization: Bearer` and {needed}"),
        ));
    }
    Ok(())
}

/// Why this connection may not write while there is no key.
fn not_allowed_without_key(state: &AppState, headers: &HeaderMap, extensions: &Extensions) -> Option<String> {
    let refusal = if state.config.open_writes {
        not_local_request(state, headers, extensions)
    } else {
        not_this_machine(state, headers, extensions)
    };
    refusal.map(|reason| reason.to_string())
}

fn writes_are_closed(reason: &str) -> Problem {
    Problem::new(
        Code::WritesClosed,
        format!(
            "until there is a key only this machine may write, and {reason}; make one with `kulti keys create`"
        ),
    )
}

/// Lets through who may make and revoke keys, and hide and erase: an admin, or this machine before there is a key.
/// `KULTI_OPEN_WRITES` does not open this: it is for who may write, not for who decides about it.
pub async fn admin(state: &AppState, headers: &HeaderMap, extensions: &Extensions) -> Result<(), Problem> {
    if let Some(key) = presented_key(state, headers).await? {
        if key.has(Scope::Admin) {
            return Ok(());
        }
        return Err(Problem::new(
            Code::Forbidden,
            "this needs a key with the scope `admin`",
        ));
    }
    if state.keys.any().await.map_err(key_problem)? {
        return Err(Problem::new(
            Code::Unauthorized,
            "send `Authorization: Bearer` and an admin's key",
        ));
    }
    match not_this_machine(state, headers, extensions) {
        None => Ok(()),
        Some(reason) => {
            let detail = format!("until there is a key only this machine may decide this, and {reason}");
            Err(Problem::new(Code::WritesClosed, detail))
        }
    }
}

/// Lets a socket through that a browser opens: pages of other origins only if they are allowed.
pub fn check_origin(state: &AppState, headers: &HeaderMap) -> Result<(), Problem> {
    match foreign_origin(state, headers) {
        None => Ok(()),
        Some(origin) => Err(Problem::new(
            Code::ForeignOrigin,
            format!(
                "pages of {origin} may not open sockets here; KULTI_ALLOWED_ORIGINS lists those that may"
            ),
        )),
    }
}

async fn presented_key(state: &AppState, headers: &HeaderMap) -> Result<Option<Arc<KeyRecord>>, Problem> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let presented = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()));
    let Some(presented) = presented else {
        return Err(Problem::new(
            Code::Unauthorized,
            "`Authorization` takes `Bearer` and a key",
        ));
    };
    state.keys.verify(presented).await.map(Some).map_err(key_problem)
}

fn key_problem(error: KeyError) -> Problem {
    match error {
        KeyError::Unknown => Problem::new(Code::Unauthorized, error.to_string()),
        KeyError::Unavailable => Problem::new(Code::DatabaseUnavailable, error.to_string()).retry_after(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(sees_all: bool, key: Option<&str>) -> Reader {
        let key = key.map(|id| {
            Arc::new(KeyRecord {
                id: id.to_owned(),
                name: String::new(),
                scopes: vec!["produce".to_owned()],
                agent_id: None,
                created_at: chrono::Utc::now(),
                revoked_at: None,
            })
        });
        Reader {
            sees_all,
            key,
            default_visibility: Visibility::Private,
        }
    }

    #[test]
    fn sessions_that_are_not_public_are_for_their_owner_and_those_who_read_everything() {
        for visibility in [None, Some("private"), Some("unlisted")] {
            assert!(!reader(false, None).may_read(visibility, None));
            assert!(!reader(false, None).may_read(visibility, Some("a")));
            assert!(!reader(false, Some("b")).may_read(visibility, Some("a")));
            assert!(reader(false, Some("a")).may_read(visibility, Some("a")));
            assert!(reader(true, None).may_read(visibility, Some("a")));
        }
        assert!(reader(false, None).may_read(Some("public"), Some("a")));
    }
}
