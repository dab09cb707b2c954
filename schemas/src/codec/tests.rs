use std::collections::BTreeMap;

use super::*;
use crate::{AgentId, EventId, SessionId, Source, Timestamp, validate_data};

mod foreign;
mod round_trip;

fn meta() -> Meta {
    Meta {
        event_id: EventId::parse("01936b2e-8d3c-7cc0-b1a2-0123456789ab").unwrap(),
        session_id: SessionId::parse("s-1").unwrap(),
        agent_id: AgentId::parse("nex").unwrap(),
        time: Timestamp::parse("2026-01-02T03:04:05Z").unwrap(),
        received: Timestamp::parse("2026-01-02T03:04:06Z").unwrap(),
        source: Source::Agent,
        producer: None,
        generation: None,
        seq: None,
        cause: None,
        attributes: BTreeMap::new(),
    }
}

fn event(kind: &str, data: &str) -> Event {
    Event {
        meta: meta(),
        kind: Kind::known(kind).unwrap(),
        data: RawValue::from_string(data.to_owned()).unwrap(),
        raw: None,
        record: None,
    }
}

fn encode(event: &Event) -> Bytes {
    Bytes::from(encode_record(event).unwrap())
}

fn decode(record: &Bytes) -> Event {
    decode_record(Some(b"s-1"), Some(record)).unwrap()
}

/// The path of the field that is refused, and why.
fn refusal(kind: &str, data: &str) -> (String, String) {
    let event = event(kind, data);
    let EncodeError::Data(error) = encode_record(&event).unwrap_err() else {
        panic!("{kind} {data}")
    };
    assert_eq!(validate_data(&event.kind, &event.data), Err(error.clone()));
    (error.field, error.detail)
}

#[test]
fn a_record_is_framed_with_the_constant_id() {
    let record = encode(&event("terminal.output", r#"{"text":"x"}"#));
    assert_eq!(record[..5], [0, 0x4B, 0, 11, 1]);
}

#[test]
fn bad_data_is_refused_with_the_field_and_what_would_be_right() {
    for (kind, data, field, detail) in [
        ("thought", "[]", "data", "expected an object, found an array"),
        ("thought", "{}", "data.content", "is required: expected a string"),
        (
            "thought",
            r#"{"content":5}"#,
            "data.content",
            "expected a string, found 5",
        ),
        (
            "thought",
            r#"{"content":null}"#,
            "data.content",
            "expected a string, found null",
        ),
        (
            "thought",
            r#"{"content":"a","content":"a"}"#,
            "data.content",
            "is there twice",
        ),
        (
            "thought",
            r#"{"content":"a","x":1,"y":2,"x":1}"#,
            "data.x",
            "is there twice",
        ),
        (
            "thought",
            r#"{"content":"a","metadata":1,"metadata":null}"#,
            "data.metadata",
            "is there twice",
        ),
        (
            "thought",
            r#"{"content":"a","type":"musing"}"#,
            "data.type",
            "expected one of general, reasoning, decision, observation, prompt, tool, context, evaluation",
        ),
        (
            "terminal.output",
            "{}",
            "data",
            "exactly one of text, base64 is required",
        ),
        (
            "terminal.output",
            r#"{"text":"","base64":""}"#,
            "data",
            "exactly one of text, base64 is required",
        ),
        (
            "terminal.output",
            r#"{"text":null,"stream":"tty","base64":"AA=="}"#,
            "data.stream",
            "expected one of stdout, stderr, pty",
        ),
        (
            "terminal.exited",
            r#"{"code":1.5}"#,
            "data.code",
            "expected a whole number within 64 bits, found 1.5",
        ),
        (
            "terminal.exited",
            r#"{"code":"0"}"#,
            "data.code",
            "expected a whole number within 64 bits, found a string",
        ),
        (
            "usage",
            r#"{"model":"m","cost_usd":1e400}"#,
            "data.cost_usd",
            "expected a number within the range of a double, found 1e400",
        ),
        (
            "usage",
            r#"{"model":"m","cumulative":"yes"}"#,
            "data.cumulative",
            "expected a boolean, found a string",
        ),
        (
            "session.started",
            r#"{"tags":"a"}"#,
            "data.tags",
            "expected an array of strings, found a string",
        ),
        (
            "session.started",
            r#"{"tags":["a",1]}"#,
            "data.tags[1]",
            "expected a string, found a number",
        ),
        (
            "session.started",
            r#"{"forked_from":{"session":"s"}}"#,
            "data.forked_from.event",
            "is required",
        ),
        (
            "session.started",
            r#"{"forked_from":{"session":"a b","event":"x"}}"#,
            "data.forked_from.event",
            "an event id is a UUID in its hyphenated form",
        ),
        (
            "progress",
            r#"{"plan":[{"text":"a","state":"done"},{"text":"b"}]}"#,
            "data.plan[1].state",
            "is required",
        ),
        (
            "redaction",
            r#"{"events":null}"#,
            "data.events",
            "expected an array, found null",
        ),
        (
            "redaction",
            r#"{"events":[{"event":"x"}]}"#,
            "data.events[0].event",
            "an event id is a UUID in its hyphenated form",
        ),
        (
            "chat",
            r#"{"text":"hi","at":"7"}"#,
            "data.at",
            "an event id is a UUID in its hyphenated form",
        ),
        (
            "moderation",
            r#"{"action":"ban","target":"x","until":"soon"}"#,
            "data.until",
            "expected a time as in RFC 3339",
        ),
    ] {
        assert_eq!(
            refusal(kind, data),
            (field.to_owned(), detail.to_owned()),
            "{kind} {data}"
        );
    }
    assert_eq!(refusal("terminal.output", r#"{"base64":"AA"}"#).0, "data.base64");
    assert_eq!(refusal("thought", r#"{"content":"\ud800"}"#).0, "data.content");
    assert_eq!(
        refusal("thought", r#"{"content":"a","x":["\ud800"]}"#).0,
        "data.x"
    );
    assert_eq!(refusal("thought", r#"{"content":"a","\ud800":1}"#).0, "data");
    assert_eq!(refusal("thought", r#"{"content":"a","x\u0000":1}"#).0, "data");
    let deep = format!(r#"{{"content":"a","x":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    assert_eq!(
        refusal("thought", &deep),
        ("data.x".into(), "nested too deep: at most 64 levels".into())
    );
    let deep = format!(
        r#"{{"content":"a","metadata":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(refusal("thought", &deep).0, "data.metadata");
}

#[test]
fn what_no_reader_could_store_is_refused_before_it_is_written() {
    let field = |change: &dyn Fn(&mut Event)| {
        let mut event = event("thought", r#"{"content":""}"#);
        change(&mut event);
        match encode_record(&event) {
            Err(EncodeError::Data(error)) => error.field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(field(&|e| e.raw = Some("a\0b".into())), "raw");
    assert_eq!(field(&|e| e.meta.producer = Some("\0".into())), "producer");
    assert_eq!(field(&|e| e.meta.time = Timestamp(i64::MAX)), "time");
}

#[test]
fn only_known_kinds_are_written() {
    for kind in [Kind::Unknown("handoff".into()), Kind::Unreadable] {
        let mut unwritable = event("thought", r#"{"content":""}"#);
        unwritable.kind = kind.clone();
        assert_eq!(
            encode_record(&unwritable),
            Err(EncodeError::Kind(kind.name().into()))
        );
        assert_eq!(validate_data(&kind, &unwritable.data).unwrap_err().field, "kind");
    }
}

#[test]
fn kinds_that_producing_keys_may_not_send_are_the_contracts() {
    let viewer_only: Vec<String> = Kind::all()
        .filter(Kind::is_viewer_only)
        .map(|kind| kind.to_string())
        .collect();
    assert_eq!(
        viewer_only,
        [
            "session.erased",
            "chat",
            "clip",
            "reaction",
            "chat.delivered",
            "chat.read",
            "moderation",
            "approval.resolved",
            "redaction"
        ]
    );
    assert_eq!(Kind::all().count(), 32);
}
