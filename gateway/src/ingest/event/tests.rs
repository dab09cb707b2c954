use super::*;

const ID: &str = "0197f0a0-0000-7000-8000-000000000001";

fn context() -> ItemContext<'static> {
    ItemContext {
        received: Timestamp(1_700_000_000_000_000),
        idempotency_key: None,
        only_agent: None,
    }
}

fn parse(text: &str) -> Result<ParsedEvent, Refusal> {
    parse_event(&Ok(text), 0, &context())
}

fn refused(text: &str) -> (Code, Option<String>) {
    let problem = parse(text).expect_err(text).problem;
    (problem.code, problem.field)
}

#[test]
fn what_may_be_left_out_gets_its_default() {
    let parsed =
        parse(r#"{"session":"s","agent":"a","kind":"thought","data":{"content":"hm"}}"#).expect("an event");
    let meta = &parsed.event.meta;
    assert_eq!(meta.time, context().received);
    assert_eq!(meta.source, Source::Agent);
    assert_eq!(meta.event_id.uuid().get_version_num(), 7);
    assert_eq!(
        (meta.producer.as_deref(), meta.generation, meta.seq, meta.cause),
        (None, None, None, None)
    );
    assert_eq!(parsed.warning, None);
}

#[test]
fn every_field_of_an_event_is_taken() {
    let text = format!(
        r#"{{"id":"{ID}","session":"s","agent":"a","time":"2026-01-31T12:00:00.5+01:00","kind":"thought",
            "data":{{"content":"\u0000"}},"cause":"{ID}","producer":"p","generation":2,"seq":3,"raw":"line"}}"#
    );
    let event = parse(&text).expect("an event").event;
    assert_eq!(event.meta.event_id.uuid().to_string(), ID);
    assert_eq!(event.meta.time.to_rfc3339(), "2026-01-31T11:00:00.500000Z");
    assert_eq!(event.meta.cause, Some(event.meta.event_id));
    assert_eq!(event.meta.producer.as_deref(), Some("p"));
    assert_eq!((event.meta.generation, event.meta.seq), (Some(2), Some(3)));
    assert_eq!(event.raw.as_deref(), Some("line"));
    assert_eq!(event.data.get(), r#"{"content":"\u0000"}"#);
}

#[test]
fn a_problem_names_its_field() {
    let with = |changed: &str| {
        let fields = [
            ("session", r#""s""#),
            ("agent", r#""a""#),
            ("kind", r#""thought""#),
            ("data", "{}"),
        ];
        let (name, _) = changed.split_once(':').expect("a field");
        let kept = fields
            .iter()
            .filter(|(field, _)| *field != name.trim_matches('"'));
        let text: Vec<String> = kept
            .map(|(field, value)| format!("\"{field}\":{value}"))
            .collect();
        format!("{{{},{changed}}}", text.join(","))
    };
    let table = [
        (r#""session":null"#, Code::MissingField, "session"),
        (r#""session":5"#, Code::InvalidField, "session"),
        (r#""session":"a b""#, Code::InvalidId, "session"),
        (r#""session":"a\u0000b""#, Code::InvalidId, "session"),
        (r#""session":"\ud800""#, Code::InvalidField, "session"),
        (r#""agent":null"#, Code::MissingField, "agent"),
        (r#""agent":"""#, Code::InvalidId, "agent"),
        (r#""agent":"a\u0000""#, Code::InvalidId, "agent"),
        (r#""kind":null"#, Code::MissingField, "kind"),
        (r#""kind":"a\u0000""#, Code::InvalidField, "kind"),
        (r#""kind":"chat""#, Code::KindNotAllowed, "kind"),
        (r#""kind":"chat.read""#, Code::KindNotAllowed, "kind"),
        (r#""kind":"session.erased""#, Code::KindNotAllowed, "kind"),
        (r#""kind":"unreadable""#, Code::KindNotAllowed, "kind"),
        (r#""data":null"#, Code::MissingField, "data"),
        (r#""data":"text""#, Code::InvalidField, "data"),
        (r#""id":"nonsense""#, Code::InvalidId, "id"),
        (
            r#""id":"9b2e4b0c-9d07-4f4e-8f3e-8d7f0f7a1c11""#,
            Code::InvalidId,
            "id",
        ),
        (r#""cause":"nonsense""#, Code::InvalidId, "cause"),
        (r#""time":"yesterday""#, Code::InvalidField, "time"),
        (r#""producer":"a\u0000""#, Code::InvalidField, "producer"),
        (r#""generation":-1"#, Code::InvalidField, "generation"),
        (r#""seq":1.5"#, Code::InvalidField, "seq"),
        (r#""raw":"a\u0000""#, Code::InvalidField, "raw"),
        (r#""seq":1,"seq":2"#, Code::InvalidField, "seq"),
    ];
    for (changed, code, field) in table {
        assert_eq!(
            refused(&with(changed)),
            (code, Some(field.to_owned())),
            "{changed}"
        );
    }
}

#[test]
fn what_is_not_an_object_is_not_an_event() {
    for text in ["5", "[]", "\"x\"", "{", "{} {}", "nonsense", ""] {
        assert_eq!(refused(text).0, Code::InvalidJson, "{text}");
    }
}

#[test]
fn an_event_above_a_mebibyte_is_too_large() {
    let text = format!(
        r#"{{"session":"s","agent":"a","kind":"thought","data":{{"content":"{}"}}}}"#,
        "x".repeat(1 << 20)
    );
    assert_eq!(refused(&text).0, Code::EventTooLarge);
}

#[test]
fn a_refusal_still_tells_the_id_that_was_given() {
    let refusal = parse(&format!(r#"{{"id":"{ID}","session":""}}"#)).expect_err("no session");
    assert_eq!(refusal.id.as_deref(), Some(ID));
}

#[test]
fn an_unknown_kind_is_kept_as_custom_with_a_warning() {
    let parsed =
        parse(r#"{"session":"s","agent":"a","kind":"dance.step","data":{"b":1.0,"a":[]}}"#).expect("kept");
    assert_eq!(parsed.event.kind.name(), "custom");
    assert_eq!(
        parsed.event.data.get(),
        r#"{"name":"dance.step","value":{"b":1.0,"a":[]}}"#
    );
    assert!(
        parsed
            .warning
            .is_some_and(|warning| warning.contains("dance.step"))
    );
}

#[test]
fn what_is_no_field_of_an_event_is_ignored_with_a_warning() {
    let text =
        r#"{"session":"s","agent":"a","kind":"thought","data":{"content":""},"position":7,"colour":"red"}"#;
    let warning = parse(text).expect("an event").warning.expect("a warning");
    assert!(
        warning.contains("position") && warning.contains("colour"),
        "{warning}"
    );
}

#[test]
fn ids_that_are_derived_are_the_same_for_the_same_request() {
    let context = ItemContext {
        idempotency_key: Some("k"),
        ..context()
    };
    let id = |index, session: &str| {
        let text =
            format!(r#"{{"session":"{session}","agent":"a","kind":"thought","data":{{"content":""}}}}"#);
        parse_event(&Ok(&text), index, &context)
            .expect("an event")
            .event
            .meta
            .event_id
    };
    assert_eq!(id(0, "s"), id(0, "s"));
    assert_eq!(id(0, "s").uuid().get_version_num(), 8);
    assert_ne!(id(0, "s"), id(1, "s"));
    assert_ne!(id(0, "s"), id(0, "t"));
}

#[test]
fn a_key_for_one_agent_writes_for_no_other() {
    let context = ItemContext {
        only_agent: Some("b"),
        ..context()
    };
    let text = r#"{"session":"s","agent":"a","kind":"thought","data":{"content":""}}"#;
    let problem = parse_event(&Ok(text), 0, &context)
        .expect_err("another agent")
        .problem;
    assert_eq!(problem.code, Code::AgentNotAllowed);
}
