//! Makes an event of one item's text, or says what is wrong with it and where.

mod fields;

use std::borrow::Cow;

use kulti_schemas::{AgentId, Event, EventId, Kind, Meta, SessionId, Source, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::fields::{
    Fields, FieldsVisitor, parsed_id, parsed_producer, parsed_raw, parsed_time, required, string,
    whole_number,
};
use crate::masking::mask_answer;
use crate::problem::{Code, Problem};

/// The JSON text of one event.
pub(crate) const MAX_EVENT_BYTES: usize = 1024 * 1024;
const MAX_KIND_CHARACTERS: usize = 128;

/// What viewers, moderators and Kulti itself say; `chat.` stands for everything that begins so.
const NOT_FOR_PRODUCERS: [&str; 8] = [
    "chat",
    "clip",
    "reaction",
    "moderation",
    "approval.resolved",
    "redaction",
    "session.erased",
    "unreadable",
];

/// What the items of one request have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ItemContext<'a> {
    pub(crate) received: Timestamp,
    pub(crate) idempotency_key: Option<&'a str>,
    /// The writer may produce for this agent alone.
    pub(crate) only_agent: Option<&'a str>,
}

/// An event that is complete but not yet checked against its kind's schema.
#[derive(Debug, Clone)]
pub(crate) struct ParsedEvent {
    pub(crate) event: Event,
    pub(crate) warning: Option<String>,
    /// Length of its JSON text.
    pub(crate) bytes: usize,
}

/// Why an item is not an event, and its id if that could be read.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) id: Option<String>,
    pub(crate) problem: Problem,
}

/// Makes an event of the item at `index` of its request.
pub(crate) fn parse_event(
    text: &Result<&str, std::str::Utf8Error>,
    index: usize,
    context: &ItemContext<'_>,
) -> Result<ParsedEvent, Refusal> {
    let refuse = |problem| Refusal { id: None, problem };
    let text =
        text.map_err(|error| refuse(Problem::new(Code::InvalidJson, format!("not UTF-8: {error}"))))?;
    if text.len() > MAX_EVENT_BYTES {
        let detail = format!(
            "an event may have at most {MAX_EVENT_BYTES} bytes; this one has {}",
            text.len()
        );
        return Err(refuse(Problem::new(Code::EventTooLarge, detail)));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let fields = serde::Deserializer::deserialize_map(&mut deserializer, FieldsVisitor)
        .and_then(|fields| deserializer.end().map(|()| fields))
        .map_err(|error| {
            refuse(Problem::new(
                Code::InvalidJson,
                format!("not a JSON object: {error}"),
            ))
        })?;

    let given_id = fields.id.and_then(|id| string("id", id).ok());
    build_event(&fields, index, context)
        .map(|(event, warning)| ParsedEvent {
            event,
            warning,
            bytes: text.len(),
        })
        .map_err(|problem| Refusal {
            id: given_id.map(|id| mask_answer(id.into_owned())),
            problem,
        })
}

fn build_event(
    fields: &Fields<'_>,
    index: usize,
    context: &ItemContext<'_>,
) -> Result<(Event, Option<String>), Problem> {
    if let Some(name) = fields.repeated {
        return Err(Problem::field(Code::InvalidField, name, "is there twice"));
    }
    let given_id = fields
        .id
        .map(|id| parsed_id("id", id, EventId::parse))
        .transpose()?;
    let session_id = parsed_id("session", required("session", fields.session)?, SessionId::parse)?;
    let agent_id = parsed_id("agent", required("agent", fields.agent)?, AgentId::parse)?;
    if context.only_agent.is_some_and(|only| only != agent_id.as_str()) {
        return Err(Problem::field(
            Code::AgentNotAllowed,
            "agent",
            "this key may produce for its own agent only",
        ));
    }
    let kind_name = string("kind", required("kind", fields.kind)?)?;
    check_kind(&kind_name, fields.data)?;
    let data = required("data", fields.data)?;
    if !data.get().starts_with('{') {
        return Err(Problem::field(
            Code::InvalidField,
            "data",
            "must be a JSON object",
        ));
    }
    let meta = Meta {
        event_id: given_id.unwrap_or_else(|| new_event_id(context, index, &session_id)),
        session_id,
        agent_id,
        time: fields
            .time
            .map(parsed_time)
            .transpose()?
            .unwrap_or(context.received),
        received: context.received,
        source: Source::Agent,
        producer: fields.producer.map(parsed_producer).transpose()?,
        generation: fields
            .generation
            .map(|value| whole_number("generation", value))
            .transpose()?,
        seq: fields.seq.map(|value| whole_number("seq", value)).transpose()?,
        cause: fields
            .cause
            .map(|cause| parsed_id("cause", cause, EventId::parse))
            .transpose()?,
        attributes: Default::default(),
    };
    let raw = fields.raw.map(parsed_raw).transpose()?;
    let mut warnings = Vec::new();
    if !fields.ignored.is_empty() {
        warnings.push(format!(
            "ignored, not fields of an event: {}",
            shortened(&fields.ignored)
        ));
    }
    let (kind, data) = match Kind::known(&kind_name) {
        Some(kind) => (kind, data.to_owned()),
        None => {
            warnings.push(format!("kind {kind_name} is not known here and kept as custom"));
            custom(&kind_name, data)?
        }
    };
    let event = Event {
        meta,
        kind,
        data,
        raw,
        record: None,
    };
    Ok((
        event,
        (!warnings.is_empty()).then(|| mask_answer(warnings.join("; "))),
    ))
}

/// A derived id if the request has an `Idempotency-Key`, so that the same request sent again is the same events.
pub(crate) fn new_event_id(context: &ItemContext<'_>, index: usize, session: &SessionId) -> EventId {
    match context.idempotency_key {
        Some(key) => EventId::derive(&[
            b"idempotency-key",
            key.as_bytes(),
            &(index as u64).to_be_bytes(),
            session.as_str().as_bytes(),
        ]),
        None => EventId::generate(),
    }
}

fn check_kind(name: &str, data: Option<&RawValue>) -> Result<(), Problem> {
    if name.is_empty() || name.chars().count() > MAX_KIND_CHARACTERS || name.chars().any(char::is_control) {
        let detail = format!("must be 1 to {MAX_KIND_CHARACTERS} characters without control characters");
        return Err(Problem::field(Code::InvalidField, "kind", detail));
    }
    let is_answer = name == "approval.resolved" && data.is_some_and(is_answered_at_terminal);
    if (NOT_FOR_PRODUCERS.contains(&name) && !is_answer) || name.starts_with("chat.") {
        let detail = format!("{name} does not come from producers");
        return Err(Problem::field(Code::KindNotAllowed, "kind", detail));
    }
    Ok(())
}

/// Whoever sits at the agent's own terminal answers there, and only its producer knows; a viewer's answer is theirs to
/// give.
fn is_answered_at_terminal(data: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        by: Cow<'a, str>,
    }
    serde_json::from_str::<Answer<'_>>(data.get()).is_ok_and(|answer| answer.by == "terminal")
}

/// A kind that only a newer build knows.
fn custom(name: &str, value: &RawValue) -> Result<(Kind, Box<RawValue>), Problem> {
    let internal = || Problem::new(Code::Internal, "an event could not be kept as custom");
    let kind = Kind::known("custom").ok_or_else(internal)?;
    let text = format!(
        "{{\"name\":{},\"value\":{}}}",
        serde_json::Value::from(name),
        value.get()
    );
    Ok((kind, RawValue::from_string(text).map_err(|_| internal())?))
}

/// The first few names: a warning is no place for a megabyte of them.
fn shortened(names: &[String]) -> String {
    let mut text: Vec<String> = names
        .iter()
        .take(5)
        .map(|name| mask_answer(name.clone()).chars().take(64).collect())
        .collect();
    if names.len() > text.len() {
        text.push(format!("and {} more", names.len() - text.len()));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests;
