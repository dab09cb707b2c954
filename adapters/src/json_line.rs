//! One line as JSON, as forgivingly as it can be without guessing.

use std::borrow::Cow;

use serde_json::Value;

/// A line that was read.
#[derive(Debug)]
pub(crate) struct JsonLine {
    pub(crate) value: Value,
    /// The value is not exactly what the line says: broken characters were replaced.
    pub(crate) mended: bool,
}

/// Reads the line. Half surrogate pairs, which JavaScript writes where it cuts a text in the middle of a character,
/// and bytes that are not UTF-8 become U+FFFD; everything else that is not JSON is `None`.
pub(crate) fn parse(line: &[u8]) -> Option<JsonLine> {
    let text = String::from_utf8_lossy(line);
    let mended = matches!(text, Cow::Owned(_));
    let text = text.trim_start_matches('\u{feff}');
    match serde_json::from_str(text) {
        Ok(value) => Some(JsonLine { value, mended }),
        Err(_) => {
            let value = serde_json::from_str(&without_lone_surrogates(text)?).ok()?;
            Some(JsonLine { value, mended: true })
        }
    }
}

/// The text with escapes of half surrogate pairs replaced; `None` if there are none.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let (mut at, mut kept) = (0, 0);
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        match (surrogate(bytes, at), surrogate(bytes, at + 6)) {
            (None, _) => at += 2,
            (Some(Half::High), Some(Half::Low)) => at += 12,
            _ => {
                out.push_str(&text[kept..at]);
                out.push_str("\\ufffd");
                at += 6;
                kept = at;
            }
        }
        if at >= bytes.len() {
            break;
        }
    }
    if kept == 0 {
        return None;
    }
    out.push_str(&text[kept..]);
    Some(out)
}

enum Half {
    High,
    Low,
}

fn surrogate(bytes: &[u8], at: usize) -> Option<Half> {
    let [b'\\', b'u', b'd' | b'D', second, third, fourth] = bytes.get(at..at + 6)? else {
        return None;
    };
    if !third.is_ascii_hexdigit() || !fourth.is_ascii_hexdigit() {
        return None;
    }
    match second.to_ascii_lowercase() {
        b'8' | b'9' | b'a' | b'b' => Some(Half::High),
        b'c'..=b'f' => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_surrogate_pairs_are_replaced_and_whole_ones_stay() {
        let line = parse(br#"{"a":"x\ud83d","b":"\ud83d\ude00","c":"\\ud83d"}"#).expect("readable");
        assert!(line.mended);
        assert_eq!(line.value["a"], "x\u{fffd}");
        assert_eq!(line.value["b"], "\u{1f600}");
        assert_eq!(line.value["c"], "\\ud83d");
        assert!(!parse(br#"{"b":"\ud83d\ude00"}"#).expect("readable").mended);
    }

    #[test]
    fn bytes_that_are_not_utf8_and_byte_order_marks_do_not_cost_a_line() {
        assert_eq!(
            parse(b"{\"a\":\"\xff\"}").expect("readable").value["a"],
            "\u{fffd}"
        );
        assert!(parse("\u{feff}{}".as_bytes()).is_some());
        assert!(parse(b"{\"a\":").is_none());
        assert!(parse(br#"{"a":"\ud83d"#).is_none());
    }
}
