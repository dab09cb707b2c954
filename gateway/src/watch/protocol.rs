//! What clients say on the watch socket.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kulti_schemas::{EventId, SessionId};
use serde::Deserialize;
use serde_json::Value;

use crate::live::{Filter, Format, From, Pace, SubscriptionRequest};

/// A client's message that could not be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct BadMessage {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
    pub(crate) sub: Option<String>,
}

fn bad(code: &'static str, detail: impl Into<String>) -> BadMessage {
    BadMessage {
        code,
        detail: detail.into(),
        sub: None,
    }
}

/// A client's message.
#[derive(Debug)]
pub(crate) enum ClientMessage {
    Subscribe(SubscriptionRequest),
    /// By `sub`, or by session.
    Unsubscribe {
        sub: Option<String>,
        session: Option<String>,
    },
    Ping {
        /// Given back in the pong.
        id: Option<Value>,
    },
}

#[derive(Debug, Deserialize)]
struct Message {
    op: String,
    sub: Option<String>,
    session: Option<String>,
    agent: Option<String>,
    #[serde(default)]
    from: Option<Value>,
    #[serde(default)]
    speed: Option<Value>,
    idle_cap_ms: Option<u64>,
    kinds: Option<Vec<String>>,
    id: Option<Value>,
}

/// Reads a client's message.
pub(crate) fn parse(text: &str) -> Result<ClientMessage, BadMessage> {
    let message: Message =
        serde_json::from_str(text).map_err(|error| bad("bad_message", error.to_string()))?;
    let sub = message.sub.clone();
    interpret(message).map_err(|problem| BadMessage { sub, ..problem })
}

fn interpret(message: Message) -> Result<ClientMessage, BadMessage> {
    match message.op.as_str() {
        "subscribe" => {
            if message.agent.is_some() {
                return Err(bad(
                    "not_supported",
                    "`agent`: following an agent is not supported yet; name a session",
                ));
            }
            let session = message
                .session
                .ok_or_else(|| bad("bad_message", "`session` is missing"))?;
            let session = SessionId::parse(&session)
                .map_err(|error| bad("bad_message", format!("session: {error}")))?;
            Ok(ClientMessage::Subscribe(SubscriptionRequest {
                sub: message.sub,
                session,
                from: message.from.map_or(Ok(From::Start), |from| parse_from(&from))?,
                pace: message.speed.map_or(Ok(Pace::Max), |speed| parse_pace(&speed))?,
                idle_cap: message.idle_cap_ms.map(Duration::from_millis),
                filter: message.kinds.map_or(Filter::All, filter),
                format: Format::WebSocket,
            }))
        }
        "unsubscribe" => Ok(ClientMessage::Unsubscribe {
            sub: message.sub,
            session: message.session,
        }),
        "ping" => Ok(ClientMessage::Ping { id: message.id }),
        "seek" | "pause" | "play" | "speed" | "filter" | "chat" | "mark" => Err(bad(
            "not_supported",
            format!("`{}` is not supported yet", message.op),
        )),
        other => Err(bad(
            "bad_message",
            format!("op: `{other}` is none of subscribe, unsubscribe, ping"),
        )),
    }
}

fn filter(kinds: Vec<String>) -> Filter {
    Filter::Kinds(Arc::new(kinds.into_iter().collect::<BTreeSet<_>>()))
}

/// `"live"`, `"start"` or `{"position": p, "id"?: id of the event there}`.
pub(crate) fn parse_from(value: &Value) -> Result<From, BadMessage> {
    match value {
        Value::String(text) if text == "live" => Ok(From::Live),
        Value::String(text) if text == "start" => Ok(From::Start),
        Value::Object(object) if object.contains_key("position") => {
            let position = object["position"].as_i64().filter(|position| *position >= 0);
            let position =
                position.ok_or_else(|| bad("bad_message", "from.position is a number from 0 on"))?;
            let id = match object.get("id") {
                None | Some(Value::Null) => None,
                Some(id) => {
                    let id = id.as_str().unwrap_or_default();
                    Some(
                        EventId::parse(id)
                            .map_err(|error| bad("bad_message", format!("from.id: {error}")))?,
                    )
                }
            };
            Ok(From::Position(position, id))
        }
        Value::Object(object)
            if ["time", "marker", "event"]
                .iter()
                .any(|key| object.contains_key(*key)) =>
        {
            Err(bad(
                "not_supported",
                "from: time, marker and event are not supported yet",
            ))
        }
        _ => Err(bad(
            "bad_message",
            "from is \"live\", \"start\" or {\"position\": p}",
        )),
    }
}

/// A number, or `"max"`.
pub(crate) fn parse_pace(value: &Value) -> Result<Pace, BadMessage> {
    match value {
        Value::String(text) if text == "max" => Ok(Pace::Max),
        Value::Number(number) => match number.as_f64() {
            Some(speed) if (0.1..=64.0).contains(&speed) => Ok(Pace::Speed(speed)),
            _ => Err(bad("bad_message", "speed is a number from 0.1 to 64, or \"max\"")),
        },
        Value::Object(_) => Err(bad("not_supported", "speed: a deadline is not supported yet")),
        _ => Err(bad("bad_message", "speed is a number from 0.1 to 64, or \"max\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(text: &str) -> SubscriptionRequest {
        match parse(text) {
            Ok(ClientMessage::Subscribe(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_subscription_has_sensible_defaults() {
        let request = subscription(r#"{"op":"subscribe","session":"s1"}"#);
        assert_eq!(
            (request.from, request.pace, request.filter),
            (From::Start, Pace::Max, Filter::All)
        );
        let request = subscription(
            r#"{"op":"subscribe","sub":"a","session":"s1","from":{"position":7},"speed":1,"idle_cap_ms":2000,"kinds":["thought"]}"#,
        );
        assert_eq!(
            (request.from, request.pace),
            (From::Position(7, None), Pace::Speed(1.0))
        );
        assert!(request.filter.matches("thought") && request.filter.matches("session.ended"));
        assert!(!request.filter.matches("usage"));
    }

    #[test]
    fn what_cannot_be_followed_says_why_and_for_which_subscription() {
        let cases = [
            (r#"{"#, "bad_message"),
            (r#"{"op":"dance"}"#, "bad_message"),
            (r#"{"op":"subscribe"}"#, "bad_message"),
            (r#"{"op":"subscribe","session":"a/b"}"#, "bad_message"),
            (
                r#"{"op":"subscribe","session":"s","from":{"position":-1}}"#,
                "bad_message",
            ),
            (r#"{"op":"subscribe","session":"s","speed":0}"#, "bad_message"),
            (
                r#"{"op":"subscribe","session":"s","speed":{"deadline_s":90}}"#,
                "not_supported",
            ),
            (r#"{"op":"seek","sub":"a"}"#, "not_supported"),
        ];
        for (text, code) in cases {
            assert_eq!(parse(text).unwrap_err().code, code, "{text}");
        }
        assert_eq!(
            parse(r#"{"op":"seek","sub":"a"}"#).unwrap_err().sub.as_deref(),
            Some("a")
        );
    }
}
