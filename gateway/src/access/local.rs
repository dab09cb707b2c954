//! Whether a request comes from this machine, and from a page of ours: what the connection and the headers say.

use std::net::IpAddr;

use axum::http::header::{FORWARDED, HOST, ORIGIN, VIA};
use axum::http::{Extensions, HeaderMap};

use super::ConnectionInfo;
use crate::state::AppState;

/// Why a request does not come from this machine through a loopback listener; `None` if it does.
pub(super) fn not_this_machine(
    state: &AppState,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Option<String> {
    let Some(connection) = extensions.get::<ConnectionInfo>() else {
        return Some("this request's connection is not known".to_owned());
    };
    if !is_loopback(connection.listener.ip()) {
        return Some(format!("this server listens on {}", connection.listener));
    }
    if !is_loopback(connection.peer.ip()) {
        return Some("this request comes from another machine".to_owned());
    }
    let elsewhere = state
        .config
        .public_url
        .as_deref()
        .map(authority_of)
        .filter(|host| !is_local_host(host));
    if let Some(host) = elsewhere {
        return Some(format!(
            "KULTI_PUBLIC_URL says that people reach this server as {host}, so through a proxy"
        ));
    }
    not_local_request(state, headers, extensions)
}

/// What in the headers says that a request was made elsewhere or passed on; `None` if nothing does.
pub(super) fn not_local_request(
    state: &AppState,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Option<String> {
    // A proxy with its defaults may send nothing of the above and a local Host; but then it speaks HTTP/1.0, which
    // no client of today does.
    if extensions
        .get::<ConnectionInfo>()
        .is_some_and(|connection| connection.is_http_10)
    {
        return Some("it came by HTTP/1.0, as proxies pass requests on".to_owned());
    }
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
pub(super) fn foreign_origin(state: &AppState, headers: &HeaderMap) -> Option<String> {
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

/// `host:port` of a URL.
fn authority_of(url: &str) -> &str {
    let origin = origin_of(url);
    origin
        .split_once("://")
        .map_or(origin, |(_, authority)| authority)
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
}
