//! Splits a body into the texts of its items, without looking into them: what is wrong with one of them is
//! found out later, for that one alone.

use axum::http::HeaderValue;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::media_type;
use crate::problem::{Code, Problem};

/// More are refused as a whole: each has a result in the answer.
pub(crate) const MAX_ITEMS: usize = 10_000;

const TOO_MANY: &str = "too many items";

/// How the items are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// An object or an array of them.
    Json,
    /// One object a line.
    Ndjson,
}

impl Format {
    pub(crate) fn of(content_type: Option<&HeaderValue>) -> Result<Self, Problem> {
        match media_type(content_type).as_deref() {
            Some("application/json") => Ok(Format::Json),
            Some("application/x-ndjson" | "application/ndjson") => Ok(Format::Ndjson),
            _ => Err(Problem::new(
                Code::UnsupportedMediaType,
                "send `Content-Type: application/json` or `application/x-ndjson`",
            )),
        }
    }
}

/// The texts of the items. One that is not UTF-8 is an `Err`, which only NDJSON can hold.
#[derive(Debug)]
pub(crate) struct Items<'a> {
    pub(crate) texts: Vec<Result<&'a str, std::str::Utf8Error>>,
    /// The body was one event, not a list of them.
    pub(crate) is_single: bool,
}

/// # Errors
/// If the body is unreadable as a whole.
pub(crate) fn split_items(body: &[u8], format: Format) -> Result<Items<'_>, Problem> {
    match format {
        Format::Ndjson => split_lines(body),
        Format::Json => match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'[') => split_array(body),
            Some(_) => {
                let item: &RawValue = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
                Ok(Items {
                    texts: vec![Ok(item.get())],
                    is_single: true,
                })
            }
            None => Err(Problem::new(Code::InvalidJson, "the body is empty")),
        },
    }
}

fn split_lines(body: &[u8]) -> Result<Items<'_>, Problem> {
    let mut texts = Vec::new();
    for line in body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.is_empty() {
            continue;
        }
        if texts.len() == MAX_ITEMS {
            return Err(too_many());
        }
        texts.push(std::str::from_utf8(line));
    }
    Ok(Items {
        texts,
        is_single: false,
    })
}

fn split_array(body: &[u8]) -> Result<Items<'_>, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let texts = deserializer
        .deserialize_seq(ItemsVisitor)
        .and_then(|texts| deserializer.end().map(|()| texts))
        .map_err(|error| {
            if error.to_string().starts_with(TOO_MANY) {
                too_many()
            } else {
                unreadable(&error)
            }
        })?;
    Ok(Items {
        texts,
        is_single: false,
    })
}

/// Stops at the limit, so that a body full of commas takes no more memory than one full of events.
struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Vec<Result<&'de str, std::str::Utf8Error>>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(item) = sequence.next_element::<&RawValue>()? {
            if texts.len() == MAX_ITEMS {
                return Err(A::Error::custom(TOO_MANY));
            }
            texts.push(Ok(item.get()));
        }
        Ok(texts)
    }
}

fn unreadable(error: &serde_json::Error) -> Problem {
    Problem::new(Code::InvalidJson, format!("the body is not JSON: {error}"))
}

fn too_many() -> Problem {
    Problem::new(
        Code::TooManyEvents,
        format!("send at most {MAX_ITEMS} events in one request"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(body: &str, format: Format) -> Vec<String> {
        let items = split_items(body.as_bytes(), format).expect("readable");
        items
            .texts
            .into_iter()
            .map(|text| text.expect("UTF-8").to_owned())
            .collect()
    }

    #[test]
    fn objects_arrays_and_lines_are_split() {
        assert_eq!(texts(" {\"a\":1} ", Format::Json), ["{\"a\":1}"]);
        assert_eq!(
            texts("[{\"a\":1}, 2,\n\"x\"]", Format::Json),
            ["{\"a\":1}", "2", "\"x\""]
        );
        assert_eq!(
            texts("{\"a\":1}\r\n\n nonsense \n", Format::Ndjson),
            ["{\"a\":1}", "nonsense"]
        );
        assert!(texts("[]", Format::Json).is_empty());
    }

    #[test]
    fn an_item_that_is_nested_too_deeply_or_holds_lone_surrogates_does_not_spoil_its_neighbours() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!("[{{}},{deep},\"\\ud800\",{{}}]");
        assert_eq!(texts(&body, Format::Json).len(), 4);
    }

    #[test]
    fn a_line_that_is_not_utf8_does_not_spoil_its_neighbours() {
        let items = split_items(b"{}\n\xff\n{}", Format::Ndjson).expect("readable");
        assert_eq!(
            items.texts.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true]
        );
    }

    #[test]
    fn what_is_unreadable_as_a_whole_is_refused_as_a_whole() {
        for body in ["", "  ", "{", "[{}", "[{}] x", "{} {}", "[1,]"] {
            let problem = split_items(body.as_bytes(), Format::Json).expect_err(body);
            assert_eq!(problem.code, Code::InvalidJson, "{body}");
        }
    }

    #[test]
    fn more_items_than_are_taken_at_once_are_refused() {
        let array = format!("[{}1]", "1,".repeat(MAX_ITEMS));
        let lines = "1\n".repeat(MAX_ITEMS + 1);
        for (body, format) in [(array, Format::Json), (lines, Format::Ndjson)] {
            let problem = split_items(body.as_bytes(), format).expect_err("too many");
            assert_eq!(problem.code, Code::TooManyEvents);
        }
    }
}
