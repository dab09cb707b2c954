//! Entity tags (RFC 9110 §8.8.3, §13.1.2).

use axum::http::header::IF_NONE_MATCH;
use axum::http::{HeaderMap, HeaderValue};

/// True if the client has what this tag names. By weak comparison: proxies that compress turn a strong tag into a weak
/// one.
pub(crate) fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let etag = without_weakness(etag.as_bytes());
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .flat_map(|list| list.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|candidate| candidate == b"*" || without_weakness(candidate) == etag)
}

fn without_weakness(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_a_list_and_whether_weak_or_strong() {
        let is_known = |given: &'static str, etag: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(given));
            is_known(&headers, &HeaderValue::from_static(etag))
        };
        for given in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", " \"a\" ,\"b\"", "*"] {
            assert!(is_known(given, "\"a\"") && is_known(given, "W/\"a\""), "{given}");
        }
        for given in ["", "a", "\"ab\"", "\"b\", \"c\""] {
            assert!(
                !is_known(given, "\"a\"") && !is_known(given, "W/\"a\""),
                "{given}"
            );
        }
    }
}
