use super::*;

fn event() -> PositionedEvent {
    PositionedEvent {
        position: 7,
        clock: Timestamp(0),
        event: Event {
            meta: Meta {
                event_id: EventId::parse("01936b2e-8d3c-7cc0-b1a2-0123456789ab").unwrap(),
                session_id: SessionId::parse("s-1").unwrap(),
                agent_id: AgentId::parse("Nex \"2\"").unwrap(),
                time: Timestamp::parse("2026-01-02T03:04:05Z").unwrap(),
                received: Timestamp::parse("2026-01-02T03:04:05.25Z").unwrap(),
                source: Source::Agent,
                producer: None,
                generation: None,
                seq: None,
                cause: None,
                attributes: BTreeMap::from([("not".into(), "shown".into())]),
            },
            kind: Kind::known("thought").unwrap(),
            data: RawValue::from_string(r#"{"content":"é\u0000"}"#.into()).unwrap(),
            raw: None,
            record: None,
        },
    }
}

fn json(event: &PositionedEvent) -> String {
    let mut out = b"before".to_vec();
    event.write_json(&mut out);
    String::from_utf8(out)
        .unwrap()
        .strip_prefix("before")
        .unwrap()
        .to_owned()
}

#[test]
fn an_event_is_rendered_exactly_so() {
    assert_eq!(
        json(&event()),
        concat!(
            r#"{"position":7,"id":"01936b2e-8d3c-7cc0-b1a2-0123456789ab","session":"s-1","agent":"Nex \"2\"","#,
            r#""time":"2026-01-02T03:04:05.000000Z","received":"2026-01-02T03:04:05.250000Z","#,
            r#""source":"agent","kind":"thought","data":{"content":"é\u0000"}}"#
        )
    );
}

#[test]
fn what_is_there_optionally_comes_last() {
    let mut full = event();
    full.event.meta.cause = Some(EventId::parse("01936b2e-8d3c-8cc0-b1a2-0123456789ab").unwrap());
    full.event.meta.producer = Some("cli\n".into());
    full.event.meta.generation = Some(3);
    full.event.meta.seq = Some(-1);
    full.event.raw = Some("{\"type\":\"x\"}".into());
    full.event.kind = Kind::Unknown("unknown.4b00ff01".into());
    full.event.meta.source = Source::System;
    assert!(json(&full).ends_with(concat!(
        r#""source":"system","kind":"unknown.4b00ff01","data":{"content":"é\u0000"},"#,
        r#""cause":"01936b2e-8d3c-8cc0-b1a2-0123456789ab","producer":"cli\n","generation":3,"seq":-1,"#,
        r#""raw":"{\"type\":\"x\"}"}"#
    )));
    serde_json::from_str::<serde_json::Value>(&json(&full)).unwrap();
}

#[test]
fn an_event_is_one_line_whatever_the_data_looks_like() {
    let mut spread = event();
    spread.event.data = RawValue::from_string("{\r\n \"content\": \"a\\n\"\n}".into()).unwrap();
    assert!(!json(&spread).contains(['\n', '\r']));
    assert!(json(&spread).contains(r#"{   "content": "a\n" }"#));
}

#[test]
fn sources_have_names() {
    for source in [Source::Agent, Source::Viewer, Source::System] {
        assert_eq!(Source::parse(source.as_str()), Some(source));
    }
    assert_eq!(Source::parse("Agent"), None);
}
