//! What a `redaction` event hides of the events that it names: the same for rows, live frames and replays.
//!
//! A mask never changes how long a text is, so spans that were found before another redaction still fit after it.
//! Masks can be applied in any order, any number of times, before or after their event was written down, and
//! give the same. In doubt more is hidden rather than less.

mod mask;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json_text::Members;
use crate::{Event, EventId, Kind};

pub use mask::MARKER;

/// Spans of one text at the most; more hide all of it.
const MAX_SPANS: usize = 100_000;

/// What of one event is hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "MaskText")]
pub struct Mask {
    /// A JSON pointer into `data`; all of the event without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// `[start, end)` in characters of the field's text, in bytes where the field is base64; all of it without.
    #[serde(skip_serializing_if = "Option::is_none")]
    spans: Option<Vec<(u64, u64)>>,
}

/// A mask as a redaction's data has it: what cannot be understood hides more.
#[derive(Deserialize)]
struct MaskText {
    #[serde(default)]
    field: Option<serde_json::Value>,
    #[serde(default)]
    spans: Option<serde_json::Value>,
}

impl From<MaskText> for Mask {
    fn from(text: MaskText) -> Self {
        let field = match text.field {
            Some(serde_json::Value::String(field)) if !field.is_empty() => field,
            _ => return Mask::whole_event(),
        };
        let field = match field.starts_with('/') {
            true => field,
            false => format!("/{}", escape_pointer_token(&field)),
        };
        let spans = text.spans.and_then(|spans| {
            let spans: Vec<(u64, u64)> = serde_json::from_value(spans).ok()?;
            let sound = spans.iter().all(|(start, end)| start < end);
            (sound && !spans.is_empty() && spans.len() <= MAX_SPANS).then_some(spans)
        });
        Mask {
            field: Some(field),
            spans,
        }
    }
}

impl Mask {
    /// Hides everything that the event says.
    pub fn whole_event() -> Self {
        Mask {
            field: None,
            spans: None,
        }
    }

    /// Hides a field, given as a JSON pointer into `data`; without spans all of it.
    pub fn of_field(pointer: &str, spans: Option<Vec<(u64, u64)>>) -> Self {
        Mask {
            field: Some(pointer.to_owned()),
            spans,
        }
    }
}

/// A member's name as a part of a JSON pointer (RFC 6901).
pub fn escape_pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The events that a redaction names, in its order, each with what of it is hidden.
pub fn redaction_targets(data: &RawValue) -> Vec<(EventId, Mask)> {
    let Ok(Members(members)) = serde_json::from_str(data.get()) else {
        return Vec::new();
    };
    let Some((_, events)) = members.into_iter().find(|(name, _)| name == "events") else {
        return Vec::new();
    };
    let elements: Vec<&RawValue> = serde_json::from_str(events.get()).unwrap_or_default();
    elements
        .into_iter()
        .filter_map(|element| {
            #[derive(Deserialize)]
            struct Target {
                event: String,
            }
            let Target { event } = serde_json::from_str(element.get()).ok()?;
            let mask = serde_json::from_str(element.get()).unwrap_or_else(|_| Mask::whole_event());
            Some((EventId::parse(&event).ok()?, mask))
        })
        .collect()
}

/// What is hidden of which events of one session.
#[derive(Debug, Clone, Default)]
pub struct Redactions(HashMap<EventId, Vec<Mask>>);

impl Redactions {
    /// Adds what this event hides, if it is a redaction. Returns the events that it names.
    pub fn note(&mut self, event: &Event) -> Vec<EventId> {
        if event.kind != Kind::Known("redaction") {
            return Vec::new();
        }
        let targets = redaction_targets(&event.data);
        let ids = targets.iter().map(|(id, _)| *id).collect();
        for (id, mask) in targets {
            self.add(id, mask);
        }
        ids
    }

    /// Adds a mask of an event.
    pub fn add(&mut self, id: EventId, mask: Mask) {
        let masks = self.0.entry(id).or_default();
        if !masks.contains(&mask) {
            masks.push(mask);
        }
    }

    /// What is hidden of this event; empty for most.
    pub fn of(&self, id: EventId) -> &[Mask] {
        self.0.get(&id).map_or(&[], Vec::as_slice)
    }

    /// True while nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every event that something is hidden of, with its masks.
    pub fn iter(&self) -> impl Iterator<Item = (EventId, &[Mask])> {
        self.0.iter().map(|(id, masks)| (*id, masks.as_slice()))
    }

    /// Takes out what is hidden of this event.
    pub fn remove(&mut self, id: EventId) -> Vec<Mask> {
        self.0.remove(&id).unwrap_or_default()
    }

    /// Hides in this event what is hidden of it.
    pub fn apply(&self, event: &mut Event) {
        event.mask(self.of(event.meta.event_id));
    }
}

impl Event {
    /// Hides parts of it. The line that an adapter read, the record's bytes and the attributes go as a whole.
    pub fn mask(&mut self, masks: &[Mask]) {
        if masks.is_empty() {
            return;
        }
        self.data = mask_data(&self.kind, &self.data, masks);
        self.raw = None;
        self.record = None;
        self.meta.attributes.clear();
    }
}

/// `data` with parts of it hidden.
pub fn mask_data(kind: &Kind, data: &RawValue, masks: &[Mask]) -> Box<RawValue> {
    let mut data = data.to_owned();
    for mask in masks {
        let masked = match &mask.field {
            Some(field) if mask::has_fields(kind) => {
                mask::field(kind, data.get(), field, mask.spans.as_deref())
            }
            _ => mask::event(kind, data.get()),
        };
        if let Some(masked) = masked {
            data = RawValue::from_string(masked).unwrap_or_else(|_| mask::everything());
        }
    }
    data
}

/// An event as readers get it, with parts of it hidden.
pub fn mask_rendered(json: &[u8], masks: &[Mask]) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Rendered<'a> {
        kind: String,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let parsed: Result<(Rendered<'_>, Members<'_>), _> =
        serde_json::from_slice(json).and_then(|rendered| Ok((rendered, serde_json::from_slice(json)?)));
    let Ok((rendered, Members(members))) = parsed else {
        return b"{}".to_vec();
    };
    let kind = match Kind::known(&rendered.kind) {
        Some(kind) => kind,
        None if rendered.kind == Kind::Unreadable.name() => Kind::Unreadable,
        None => Kind::Unknown(rendered.kind),
    };
    let data = mask_data(&kind, rendered.data, masks);
    let members = members
        .iter()
        .filter(|(name, _)| name != "raw")
        .map(|(name, value)| {
            let value = if name == "data" { &*data } else { *value };
            (name.as_ref(), value.get())
        });
    mask::object(members).into_bytes()
}

#[cfg(test)]
mod tests;
