//! Server frames: JSON objects, framed once as WebSocket text frames or SSE messages and then shared.

use bytes::Bytes;
use kulti_schemas::SessionId;
use kulti_session::Keyframe;
use serde_json::{Value, json};

/// How a viewer is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A WebSocket text frame. Servers do not mask, so the bytes are the same for everybody.
    WebSocket,
    /// A server-sent event.
    Sse,
}

macro_rules! frame_types {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal;)+) => {
        /// What a frame's `type` may be.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum FrameType {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl FrameType {
            /// All of them, for the documentation.
            #[cfg(test)]
            pub(crate) const ALL: &'static [FrameType] = &[$(FrameType::$variant),+];

            /// As clients see it.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(FrameType::$variant => $name),+ }
            }
        }
    };
}

frame_types! {
    /// The first one on a socket.
    Hello = "hello";
    /// Answers a ping.
    Pong = "pong";
    /// What a viewer said is in the log.
    Accepted = "accepted";
    /// The whole state as of a position.
    State = "state";
    /// Events, in order.
    Events = "events";
    /// A closed segment in place of its events.
    Segment = "segment";
    /// From here on live.
    CaughtUp = "caught_up";
    /// Where playback is; answers what was changed about it.
    Clock = "clock";
    /// Positions that cannot be had.
    Gap = "gap";
    /// How many watch.
    Viewers = "viewers";
    /// The session has ended.
    Ended = "ended";
    /// Which session of an agent is watched from now on.
    Following = "following";
    /// Something cannot be done.
    Error = "error";
}

/// Frames one JSON object. `id` is the position that an SSE client resumes from.
pub(crate) fn frame(format: Format, kind: FrameType, id: Option<i64>, json: &[u8]) -> Bytes {
    match format {
        Format::WebSocket => websocket_frame(0x1, json),
        Format::Sse => {
            let mut out = Vec::with_capacity(json.len() + 64);
            if let Some(id) = id {
                out.extend_from_slice(format!("id: {id}\n").as_bytes());
            }
            out.extend_from_slice(format!("event: {}\ndata: ", kind.as_str()).as_bytes());
            out.extend_from_slice(json);
            out.extend_from_slice(b"\n\n");
            out.into()
        }
    }
}

/// A whole, unmasked WebSocket frame (RFC 6455 §5.2).
pub(crate) fn websocket_frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(payload.len() + 10);
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out.into()
}

/// Writes `events` frames and the small ones for one session.
#[derive(Debug, Clone)]
pub(crate) struct SessionFrames {
    /// The session's id as a JSON string.
    session: Box<str>,
    id: Box<str>,
}

impl SessionFrames {
    pub(crate) fn new(session: &SessionId) -> Self {
        SessionFrames {
            session: Value::from(session.as_str()).to_string().into(),
            id: session.as_str().into(),
        }
    }

    /// `events`: rendered events in order. `sub` for frames that are meant for one subscription only; `range` where
    /// a filter may have left some out.
    pub(crate) fn events<'a>(
        &self,
        format: Format,
        sub: Option<&str>,
        range: Option<(i64, i64)>,
        last: i64,
        events: impl Iterator<Item = &'a [u8]>,
    ) -> Bytes {
        let mut json = Vec::with_capacity(4096);
        json.extend_from_slice(b"{\"type\":\"events\",\"session\":");
        json.extend_from_slice(self.session.as_bytes());
        if let Some(sub) = sub {
            json.extend_from_slice(b",\"sub\":");
            json.extend_from_slice(Value::from(sub).to_string().as_bytes());
        }
        if let Some((from, to)) = range {
            json.extend_from_slice(format!(",\"from\":{from},\"to\":{to}").as_bytes());
        }
        json.extend_from_slice(b",\"events\":[");
        for (index, event) in events.enumerate() {
            if index > 0 {
                json.push(b',');
            }
            json.extend_from_slice(event);
        }
        json.extend_from_slice(b"]}");
        frame(format, FrameType::Events, Some(last), &json)
    }

    /// Any other frame: `fields` beside type, session and sub.
    pub(crate) fn other(&self, format: Format, kind: FrameType, sub: Option<&str>, fields: Value) -> Bytes {
        let mut object = json!({"type": kind.as_str(), "session": &*self.id});
        if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
            if let Some(sub) = sub {
                object.insert("sub".into(), sub.into());
            }
            object.extend(fields);
        }
        frame(format, kind, None, object.to_string().as_bytes())
    }
}

/// `state`: a keyframe, which names its session itself. `answers` is the `id` of the message that asked for it.
pub(crate) fn state_frame(
    format: Format,
    sub: Option<&str>,
    answers: Option<&Value>,
    keyframe: &Keyframe,
) -> Bytes {
    let keyframe_json = keyframe.to_json();
    let mut json = Vec::with_capacity(keyframe_json.len() + 256);
    json.extend_from_slice(b"{\"type\":\"state\",");
    for (name, value) in [("sub", sub.map(Value::from)), ("id", answers.cloned())] {
        if let Some(value) = value {
            json.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
        }
    }
    json.extend_from_slice(&keyframe_json.as_bytes()[1..]);
    frame(format, FrameType::State, Some(keyframe.now.position), &json)
}

/// A frame that belongs to no session: `hello`, `pong`, `error`.
pub(crate) fn plain(format: Format, kind: FrameType, fields: Value) -> Bytes {
    let mut object = json!({"type": kind.as_str()});
    if let (Value::Object(object), Value::Object(fields)) = (&mut object, fields) {
        object.extend(fields);
    }
    frame(format, kind, None, object.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_type_is_documented() {
        let page = include_str!("../../../docs/protocol.md");
        for kind in FrameType::ALL {
            assert!(page.contains(&format!("| `{}` |", kind.as_str())), "{kind:?}");
        }
    }

    #[test]
    fn websocket_lengths_take_the_shortest_form() {
        for (length, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            assert_eq!(websocket_frame(1, &vec![b'x'; length]).len(), length + header);
        }
    }

    #[test]
    fn an_sse_message_carries_position_type_and_one_line_of_data() {
        let frames = SessionFrames::new(&SessionId::parse("s1").unwrap());
        let events = [br#"{"position":7}"#.as_slice(), br#"{"position":8}"#];
        let bytes = frames.events(Format::Sse, None, None, 8, events.into_iter());
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            "id: 8\nevent: events\ndata: {\"type\":\"events\",\"session\":\"s1\",\"events\":[{\"position\":7},{\"position\":8}]}\n\n"
        );
    }
}
