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
            let mut out = sse_head(kind, id, json.len() + SSE_END.len());
            out.extend_from_slice(json);
            out.extend_from_slice(SSE_END);
            out.into()
        }
    }
}

const SSE_END: &[u8] = b"\n\n";

/// A server-sent event up to its data, with room for that.
fn sse_head(kind: FrameType, id: Option<i64>, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(room + 64);
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    out.extend_from_slice(format!("event: {}\ndata: ", kind.as_str()).as_bytes());
    out
}

/// A whole, unmasked WebSocket frame (RFC 6455 §5.2).
pub(crate) fn websocket_frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut out = websocket_head(opcode, payload.len(), payload.len());
    out.extend_from_slice(payload);
    out.into()
}

/// What such a frame begins with if its payload has this length, with room for as much as is told.
fn websocket_head(opcode: u8, length: usize, room: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(room + 10);
    out.push(0x80 | opcode);
    match length {
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
    out
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
        events: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Bytes {
        let length: usize = events.clone().map(|event| event.len() + 1).sum();
        let length = length.saturating_sub(1);
        let begin = self.events_begin(sub, range);
        let mut out = events_head(format, last, &begin, length, length);
        for (index, event) in events.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(event);
        }
        out.extend_from_slice(events_end(format));
        out.into()
    }

    /// The same around events that are joined already: the frame in pieces, one behind the other.
    pub(crate) fn joined_events(
        &self,
        format: Format,
        sub: Option<&str>,
        range: Option<(i64, i64)>,
        last: i64,
        joined: Vec<Bytes>,
    ) -> Vec<Bytes> {
        let length = joined.iter().map(Bytes::len).sum();
        let begin = self.events_begin(sub, range);
        let mut pieces = Vec::with_capacity(joined.len() + 2);
        pieces.push(events_head(format, last, &begin, length, 0).into());
        pieces.extend(joined);
        pieces.push(Bytes::from_static(events_end(format)));
        pieces
    }

    /// The JSON object up to its events.
    fn events_begin(&self, sub: Option<&str>, range: Option<(i64, i64)>) -> String {
        let mut json = format!(r#"{{"type":"events","session":{}"#, self.session);
        if let Some(sub) = sub {
            json.push_str(",\"sub\":");
            json.push_str(&Value::from(sub).to_string());
        }
        if let Some((from, to)) = range {
            json.push_str(&format!(",\"from\":{from},\"to\":{to}"));
        }
        json.push_str(",\"events\":[");
        json
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

/// An `events` frame up to its events, of so many bytes, with room for as much as is told.
fn events_head(format: Format, last: i64, begin: &str, length: usize, room: usize) -> Vec<u8> {
    let end = events_end(format).len();
    let room = begin.len() + room + end;
    let mut out = match format {
        Format::WebSocket => websocket_head(0x1, begin.len() + length + end, room),
        Format::Sse => sse_head(FrameType::Events, Some(last), room),
    };
    out.extend_from_slice(begin.as_bytes());
    out
}

/// What comes behind the events.
fn events_end(format: Format) -> &'static [u8] {
    match format {
        Format::WebSocket => b"]}",
        Format::Sse => b"]}\n\n",
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

    #[test]
    fn a_frame_in_pieces_is_the_same_frame() {
        let frames = SessionFrames::new(&SessionId::parse("s1").unwrap());
        let events: Vec<String> = (1..=900)
            .map(|position| format!(r#"{{"position":{position}}}"#))
            .collect();
        for (format, count) in [
            (Format::WebSocket, 1),
            (Format::WebSocket, 900),
            (Format::Sse, 900),
        ] {
            let events = &events[..count];
            let whole = frames.events(
                format,
                Some("a"),
                Some((1, 900)),
                900,
                events.iter().map(String::as_bytes),
            );
            let joined = vec![Bytes::from(events.join(","))];
            let pieces = frames.joined_events(format, Some("a"), Some((1, 900)), 900, joined);
            assert_eq!(pieces.concat(), whole);
        }
    }
}
