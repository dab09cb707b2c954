//! Who asks, and what they may see and write. The rules are in docs/access.md.
//!
//! The only place that reads `Authorization`, `Origin`, `Host` and the forwarding headers for a decision.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN, VIA};
use axum::http::{Extensions, HeaderMap};

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
    if state.keys.any().await.map_err(key_problem)? {
        return Err(Problem::new(
            Code::Unauthorized,
            "send `Authorization: Bearer` and a key that may produce",
        ));
    }
    let refusal = if state.config.open_writes {
        not_local_request(state, headers)
    } else {
        not_this_machine(state, headers, extensions)
    };
    match refusal {
        None => Ok(Writer { key: None }),
        Some(reason) => Err(Problem::new(
            Code::WritesClosed,
            format!(
                "until there is a key only this machine may write, and {reason}; make one with `kulti keys create`"
            ),
        )),
    }
}

/// Lets through who may make and revoke keys: an admin, or this machine before there is a key.
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
            let detail = format!("until there is a key only this machine may make one, and {reason}");
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

/// Why a request does not come from this machine through a loopback listener; `None` if it does.
fn not_this_machine(state: &AppState, headers: &HeaderMap, extensions: &Extensions) -> Option<String> {
    let Some(connection) = extensions.get::<ConnectionInfo>() else {
        return Some("this request's connection is not known".to_owned());
    };
    if !is_loopback(connection.listener.ip()) {
        return Some(format!("this server listens on {}", connection.listener));
    }
    if !is_loopback(connection.peer.ip()) {
        return Some("this request comes from another machine".to_owned());
    }
    not_local_request(state, headers)
}

/// What in the headers says that a request was made elsewhere or passed on; `None` if nothing does.
fn not_local_request(state: &AppState, headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts
        .next()
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if hosts.next().is_some() || !is_local_host(host) {
        return Some("its Host is not localhost, 127.0.0.1 or [::1]".to_owned());
    }
    let forwarded = headers.keys().find(|name| {
        *name == FORWARDED
            || *name == VIA
            || name.as_str().starts_with("x-forwarded-")
            || *name == "x-real-ip"
    });
    if let Some(name) = forwarded {
        return Some(format!("its header {name} says that a proxy passed it on"));
    }
    foreign_origin(state, headers).map(|origin| format!("it was made by a page of {origin}"))
}

/// The `Origin`, unless there is none or it is ours.
fn foreign_origin(state: &AppState, headers: &HeaderMap) -> Option<String> {
    let host = headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_ours = |origin: &str| {
        let origin = origin.trim_end_matches('/');
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        let same = |listed: &str| listed.trim_end_matches('/').eq_ignore_ascii_case(origin);
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
            || state
                .config
                .public_url
                .as_deref()
                .is_some_and(|url| same(origin_of(url)))
            || state.config.allowed_origins.iter().any(|listed| same(listed))
    };
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.find_map(|value| match value.to_str() {
        Ok(origin) if is_ours(origin) => None,
        Ok(origin) => Some(origin.to_owned()),
        Err(_) => Some("an unreadable origin".to_owned()),
    })
}

/// `https://host:port` of a URL with a path.
fn origin_of(url: &str) -> &str {
    let authority_start = url.find("://").map_or(0, |index| index + 3);
    match url[authority_start..].find('/') {
        Some(index) => &url[..authority_start + index],
        None => url,
    }
}

fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) if port.is_empty() || is_port(port) => return name == "::1",
            _ => return false,
        },
        None => match host.find(':') {
            Some(index) if is_port(&host[index..]) => &host[..index],
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1"
}

/// A colon and digits.
fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_names_of_this_machine_are_local_hosts() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_local_host(host), "{host}");
        }
        let foreign = [
            "",
            "kulti.example",
            "localhost.example",
            "127.0.0.1.example",
            "localhost:",
            "localhost:80:80",
            "[::1",
            "[::1]x",
            "[::2]",
            "127.0.0.2",
            "::1",
            "localhost@evil.example",
        ];
        for host in foreign {
            assert!(!is_local_host(host), "{host}");
        }
    }

    #[test]
    fn the_origin_of_a_url_has_no_path() {
        assert_eq!(origin_of("https://kulti.example/live/"), "https://kulti.example");
        assert_eq!(
            origin_of("https://kulti.example:8443"),
            "https://kulti.example:8443"
        );
    }

    #[test]
    fn loopback_includes_ipv4_in_ipv6() {
        assert!(is_loopback("::ffff:127.0.0.1".parse().expect("an address")));
        assert!(!is_loopback("::ffff:10.0.0.1".parse().expect("an address")));
        assert!(!is_loopback("0.0.0.0".parse().expect("an address")));
    }

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
