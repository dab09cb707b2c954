//! Which events continue one another: a terminal's outputs, a message's deltas.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// An event's part of a text that several events make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The same for all that continue one another, within a session.
    pub stream: String,
    /// The member of the event's data that holds it: `text`, or `base64`.
    pub member: &'static str,
    /// What it says; of base64, decoded.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    base64: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    terminal: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
}

/// The kinds whose events may have a part in a longer text.
pub const KINDS_OF_PARTS: [&str; 2] = ["terminal.output", "message.delta"];

/// The part that an event of this kind, with this data (a JSON object), has in a longer text; `None` if it stands alone.
pub fn part_of(kind: &str, data: &str) -> Option<Part> {
    if !KINDS_OF_PARTS.contains(&kind) {
        return None;
    }
    let data: Data<'_> = serde_json::from_str(data).ok()?;
    let stream = match kind {
        "terminal.output" => format!("terminal {}", data.terminal.unwrap_or_default()),
        _ => format!(
            "message {} {}",
            data.channel.unwrap_or_default(),
            data.message.unwrap_or_default()
        ),
    };
    let (member, bytes) = match (data.text, data.base64) {
        (Some(text), _) => ("text", text.into_owned().into_bytes()),
        (None, Some(base64)) => ("base64", STANDARD.decode(base64.as_bytes()).ok()?),
        (None, None) => return None,
    };
    Some(Part {
        stream,
        member,
        bytes,
    })
}
