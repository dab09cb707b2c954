//! Cursors: opaque to clients, so that what is in them may change.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;

use super::parameters::invalid;
use crate::problem::Problem;
use crate::store::SessionsCursor;

/// Where a list of sessions goes on.
pub(crate) fn write_sessions(cursor: &SessionsCursor) -> String {
    let half = if cursor.open { 'o' } else { 'e' };
    encode(&format!(
        "s{half}{}.{}",
        cursor.received_at.timestamp_micros(),
        cursor.id
    ))
}

pub(crate) fn read_sessions(text: &str) -> Result<SessionsCursor, Problem> {
    let read = || {
        let plain = decode(text)?;
        let (open, rest) = match plain.get(..2)? {
            "so" => (true, &plain[2..]),
            "se" => (false, &plain[2..]),
            _ => return None,
        };
        let (micros, id) = rest.split_once('.')?;
        let received_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some(SessionsCursor {
            open,
            received_at,
            id: id.to_owned(),
        })
    };
    read().ok_or_else(not_ours)
}

/// Where a list of events goes on: after a position, or before one for a list that goes backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventsCursor {
    After(i64),
    Before(i64),
}

pub(crate) fn write_events(cursor: EventsCursor) -> String {
    match cursor {
        EventsCursor::After(position) => encode(&format!("ea{position}")),
        EventsCursor::Before(position) => encode(&format!("eb{position}")),
    }
}

pub(crate) fn read_events(text: &str) -> Result<EventsCursor, Problem> {
    let read = || {
        let plain = decode(text)?;
        let position = plain.get(2..)?.parse().ok()?;
        match &plain[..2] {
            "ea" => Some(EventsCursor::After(position)),
            "eb" => Some(EventsCursor::Before(position)),
            _ => None,
        }
    };
    read().ok_or_else(not_ours)
}

/// Where a list of moments goes on: after this one.
pub(crate) fn write_place(position: i64, id: &str) -> String {
    encode(&format!("p{position}.{id}"))
}

pub(crate) fn read_place(text: &str) -> Result<(i64, String), Problem> {
    let read = || {
        let plain = decode(text)?;
        let (position, id) = plain.strip_prefix('p')?.split_once('.')?;
        Some((position.parse().ok()?, id.to_owned()))
    };
    read().ok_or_else(not_ours)
}

fn encode(plain: &str) -> String {
    URL_SAFE_NO_PAD.encode(plain)
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn not_ours() -> Problem {
    invalid("cursor", "the `next` of an earlier answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_as_they_went_out() {
        let received_at = DateTime::from_timestamp_micros(1_700_000_000_123_456).expect("a moment");
        for open in [true, false] {
            let cursor = SessionsCursor {
                open,
                received_at,
                id: "a.b-c".to_owned(),
            };
            assert_eq!(read_sessions(&write_sessions(&cursor)).expect("ours"), cursor);
        }
        for cursor in [EventsCursor::After(0), EventsCursor::Before(i64::MAX)] {
            assert_eq!(read_events(&write_events(cursor)).expect("ours"), cursor);
        }
        assert_eq!(
            read_place(&write_place(7, "a.b")).expect("ours"),
            (7, "a.b".to_owned())
        );
    }

    #[test]
    fn what_is_not_a_cursor_is_refused() {
        for text in [
            "",
            "!",
            "a",
            "AAAA",
            &encode("ea"),
            &encode("eax"),
            &encode("zz1"),
            &encode("é1"),
            &encode("so1"),
        ] {
            assert!(read_sessions(text).is_err(), "{text}");
            assert!(read_events(text).is_err(), "{text}");
            assert!(read_place(text).is_err(), "{text}");
        }
    }
}
