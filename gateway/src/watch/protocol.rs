//! What clients say on the watch socket.

mod values;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kulti_schemas::{AgentId, EventId, SessionId};
use serde::Deserialize;
use serde_json::Value;

pub(crate) use self::values::{parse_from, parse_pace};
use super::following::FollowRequest;
use crate::live::{Change, Filter, Format, From, Pace, Settings, SubscriptionRequest};
use crate::viewers::Remark;

/// A client's message that could not be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct BadMessage {
    pub(crate) detail: String,
    pub(crate) sub: Option<String>,
    pub(crate) id: Option<Value>,
}

impl BadMessage {
    /// Its code.
    pub(crate) const CODE: &'static str = "bad_message";
}

fn bad(detail: impl Into<String>) -> BadMessage {
    BadMessage {
        detail: detail.into(),
        sub: None,
        id: None,
    }
}

/// Which of a socket's subscriptions is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Which {
    pub(crate) sub: Option<String>,
    pub(crate) session: Option<String>,
}

/// A client's message.
#[derive(Debug)]
pub(crate) enum ClientMessage {
    Subscribe(SubscriptionRequest),
    /// Subscribe to an agent's sessions.
    Follow(FollowRequest),
    Unsubscribe(Which),
    Change {
        which: Which,
        change: Change,
        /// Given back in the answer.
        id: Option<Value>,
    },
    /// Something for the log.
    Remark {
        which: Which,
        remark: Remark,
        /// The event's.
        id: Option<EventId>,
    },
    Ping {
        /// Given back in the pong.
        id: Option<Value>,
    },
}

macro_rules! ops {
    ($($variant:ident = $name:literal;)+) => {
        /// What a client may ask for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub(super) enum Op {
            $(#[serde(rename = $name)] $variant,)+
        }

        #[cfg(test)]
        impl Op {
            /// All of them, for the documentation.
            pub(super) const ALL: &'static [Op] = &[$(Op::$variant),+];

            /// As clients say it.
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Op::$variant => $name),+ }
            }
        }
    };
}

ops! {
    Subscribe = "subscribe";
    Unsubscribe = "unsubscribe";
    Seek = "seek";
    Pause = "pause";
    Play = "play";
    Speed = "speed";
    Filter = "filter";
    Chat = "chat";
    Mark = "mark";
    Ping = "ping";
}

#[derive(Debug, Deserialize)]
struct Message {
    op: Op,
    sub: Option<String>,
    session: Option<String>,
    agent: Option<String>,
    from: Option<Value>,
    to: Option<Value>,
    state: Option<bool>,
    paused: Option<bool>,
    segments: Option<bool>,
    speed: Option<Value>,
    idle_cap_ms: Option<u64>,
    kinds: Option<Vec<String>>,
    id: Option<Value>,
    text: Option<String>,
    name: Option<String>,
    label: Option<String>,
    level: Option<Value>,
    at: Option<String>,
    reply_to: Option<String>,
}

/// What can be told of a message that is not in its form.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    sub: Option<String>,
    id: Option<Value>,
}

/// Reads a client's message.
pub(crate) fn parse(text: &str) -> Result<ClientMessage, BadMessage> {
    let message = serde_json::from_str::<Message>(text).map_err(|error| bad(error.to_string()));
    message.and_then(interpret).map_err(|problem| {
        let Names { sub, id } = serde_json::from_str(text).unwrap_or_default();
        BadMessage { sub, id, ..problem }
    })
}

fn interpret(message: Message) -> Result<ClientMessage, BadMessage> {
    let id = message.id.clone();
    let change = |message: &Message, change| ClientMessage::Change {
        which: which(message),
        change,
        id: message.id.clone(),
    };
    Ok(match message.op {
        Op::Subscribe => subscribe(message)?,
        Op::Unsubscribe => ClientMessage::Unsubscribe(which(&message)),
        Op::Seek => {
            let to = message.to.as_ref().ok_or_else(|| bad("`to` is missing"))?;
            let to = parse_from("to", to)?;
            let state = message.state.unwrap_or(true);
            change(&message, Change::Seek { to, state })
        }
        Op::Pause => change(&message, Change::Pause),
        Op::Play => change(&message, Change::Play),
        Op::Speed => {
            let speed = message.speed.as_ref();
            let pace = parse_pace(speed.ok_or_else(|| bad("`speed` is missing"))?)?;
            let idle_cap = message.idle_cap_ms.map(Duration::from_millis);
            change(&message, Change::Pace { pace, idle_cap })
        }
        Op::Filter => {
            let filter = filter(message.kinds.clone());
            change(&message, Change::Filter(filter))
        }
        Op::Chat | Op::Mark => ClientMessage::Remark {
            which: which(&message),
            id: event_id(
                "id",
                message.id.as_ref().map(|id| id.as_str().unwrap_or_default()),
            )?,
            remark: remark(message)?,
        },
        Op::Ping => ClientMessage::Ping { id },
    })
}

fn which(message: &Message) -> Which {
    Which {
        sub: message.sub.clone(),
        session: message.session.clone(),
    }
}

fn subscribe(message: Message) -> Result<ClientMessage, BadMessage> {
    let (from, speed) = (message.from.as_ref(), message.speed.as_ref());
    let from = from.map(|from| parse_from("from", from)).transpose()?;
    let settings = Settings {
        pace: speed.map_or(Ok(Pace::Max), parse_pace)?,
        idle_cap: message.idle_cap_ms.map(Duration::from_millis),
        filter: filter(message.kinds),
        paused: message.paused.unwrap_or(false),
        segments: message.segments.unwrap_or(false),
    };
    let state = message.state.unwrap_or(false);
    match (message.session, message.agent) {
        (Some(session), None) => Ok(ClientMessage::Subscribe(SubscriptionRequest {
            sub: message.sub,
            session: SessionId::parse(&session).map_err(|error| bad(format!("session: {error}")))?,
            from: from.unwrap_or(From::Start),
            state,
            settings,
            format: Format::WebSocket,
        })),
        (None, Some(agent)) => Ok(ClientMessage::Follow(FollowRequest {
            sub: message.sub,
            agent: AgentId::parse(&agent).map_err(|error| bad(format!("agent: {error}")))?,
            from: from.unwrap_or(From::Live),
            state,
            settings,
            format: Format::WebSocket,
        })),
        (None, None) => Err(bad("`session` is missing, or `agent`")),
        (Some(_), Some(_)) => Err(bad("either `session` or `agent`")),
    }
}

fn remark(message: Message) -> Result<Remark, BadMessage> {
    let at = event_id("at", message.at.as_deref())?;
    Ok(if message.op == Op::Chat {
        Remark::Chat {
            text: message.text.ok_or_else(|| bad("`text` is missing"))?,
            name: message.name,
            at,
            reply_to: event_id("reply_to", message.reply_to.as_deref())?,
        }
    } else {
        Remark::Marker {
            label: message.label.ok_or_else(|| bad("`label` is missing"))?,
            level: message.level,
            at,
        }
    })
}

fn event_id(name: &str, text: Option<&str>) -> Result<Option<EventId>, BadMessage> {
    let parse = |text| EventId::parse(text).map_err(|error| bad(format!("{name}: {error}")));
    text.map(parse).transpose()
}

/// What hides other kinds.
pub(crate) fn filter(kinds: Option<Vec<String>>) -> Filter {
    kinds.map_or(Filter::All, |kinds| {
        Filter::Kinds(Arc::new(kinds.into_iter().collect::<BTreeSet<_>>()))
    })
}

#[cfg(test)]
mod tests;
