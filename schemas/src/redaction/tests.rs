use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).unwrap()
}

fn masked(kind: &'static str, data: &Value, masks: &[Value]) -> Value {
    let masks: Vec<Mask> = masks
        .iter()
        .map(|mask| serde_json::from_value(mask.clone()).unwrap())
        .collect();
    let data = mask_data(&Kind::Known(kind), &raw(data), &masks);
    serde_json::from_str(data.get()).unwrap()
}

#[test]
fn a_span_hides_characters_and_leaves_the_rest_as_it_was() {
    let data = json!({"text": "key=hünter2\nok", "n": 1.0});
    let spans = json!({"field": "/text", "spans": [[4, 11]]});
    assert_eq!(
        masked("terminal.output", &data, &[spans]),
        json!({"text": "key=███████\nok", "n": 1.0})
    );
    let over_the_line = json!({"field": "text", "spans": [[9, 99]]});
    assert_eq!(
        masked("terminal.output", &data, &[over_the_line]),
        json!({"text": "key=hünte██\n██", "n": 1.0})
    );
}

#[test]
fn bytes_are_counted_where_the_field_is_base64() {
    // "pass: hü\n"
    let data = json!({"base64": "cGFzczogaMO8Cg=="});
    let spans = json!({"field": "/base64", "spans": [[6, 9]]});
    // "pass: ***\n"
    assert_eq!(
        masked("terminal.output", &data, &[spans]),
        json!({"base64": "cGFzczogKioqCg=="})
    );
    assert_eq!(
        masked("terminal.output", &data, &[json!({"field": "/base64"})]),
        json!({"base64": "W3JlZGFjdGVkXQ=="})
    );
}

#[test]
fn a_pointer_leads_into_nested_data() {
    let data = json!({"call": "c", "name": "sh", "input": {"a/b": ["x", "secret"], "n": 7}});
    let into = json!({"field": "/input/a~1b/1"});
    let expected = json!({"call": "c", "name": "sh", "input": {"a/b": ["x", "[redacted]"], "n": 7}});
    assert_eq!(masked("tool.started", &data, &[into]), expected);
    let number = json!({"field": "/input/n", "spans": [[0, 1]]});
    assert_eq!(masked("tool.started", &data, &[number])["input"]["n"], 0);
    let nowhere = json!({"field": "/input/none/1"});
    assert_eq!(masked("tool.started", &data, &[nowhere]), data);
}

#[test]
fn a_whole_event_keeps_only_what_tells_nothing() {
    let data = json!({"task": "t", "visibility": "private", "tags": ["a"], "mine": "x"});
    assert_eq!(
        masked("session.started", &data, &[json!({})]),
        json!({"task": "[redacted]", "visibility": "private", "tags": ["[redacted]"]})
    );
    let data = json!({"cols": 80, "rows": 24, "terminal": "main"});
    assert_eq!(
        masked("terminal.resized", &data, &[json!({})]),
        json!({"cols": 80, "rows": 24, "terminal": "[redacted]"})
    );
    let unknown = mask_data(
        &Kind::Unknown("later".into()),
        &raw(&json!({"base64": "AAAA", "schema": 7})),
        &[Mask::of_field("/x", None)],
    );
    assert_eq!(unknown.get(), r#"{"base64":"W3JlZGFjdGVkXQ==","schema":7}"#);
}

#[test]
fn what_cannot_be_understood_hides_more() {
    let data = json!({"content": "secret"});
    for mask in [
        json!({"field": 7}),
        json!({"spans": [[0, 1]]}),
        json!({"field": "/content", "spans": "x"}),
        json!({"field": "/content", "spans": []}),
        json!({"field": "/content", "spans": [[3, 1]]}),
        json!({"field": "/content", "spans": [[-1, 1]]}),
    ] {
        assert_eq!(
            masked("thought", &data, std::slice::from_ref(&mask)),
            json!({"content": "[redacted]"}),
            "{mask}"
        );
    }
}

#[test]
fn what_a_redaction_hides_cannot_be_hidden_but_its_reason_can() {
    let events = json!([{"event": "01a1fb99-70d8-7778-bc66-4c9df322dc39"}]);
    let data = json!({"events": events, "reason": "leaked hunter2"});
    let expected = json!({"events": events, "reason": "[redacted]"});
    assert_eq!(masked("redaction", &data, &[json!({})]), expected);
    assert_eq!(masked("redaction", &data, &[json!({"field": "/events"})]), data);
}

#[test]
fn a_redaction_names_events_and_what_is_no_event_names_none() {
    let id = "01a1fb99-70d8-7778-bc66-4c9df322dc39";
    let data = raw(
        &json!({"events": [{"event": id, "field": "/text", "spans": [[1, 2]]}, {"event": "x"}, 7,
        {"event": id, "field": null, "spans": null}]}),
    );
    let targets = redaction_targets(&data);
    let id = EventId::parse(id).unwrap();
    assert_eq!(
        targets,
        [
            (id, Mask::of_field("/text", Some(vec![(1, 2)]))),
            (id, Mask::whole_event())
        ]
    );
    assert!(redaction_targets(&raw(&json!({"events": 1}))).is_empty());
}

#[test]
fn a_rendered_event_is_masked_as_its_row_is() {
    let json = br#"{"position":3,"id":"x","kind":"thought","data":{"content":"a secret","n":1.50},"raw":"a secret"}"#;
    let mask = Mask::of_field("/content", Some(vec![(2, 8)]));
    assert_eq!(
        String::from_utf8(mask_rendered(json, &[mask])).unwrap(),
        r#"{"position":3,"id":"x","kind":"thought","data":{"content":"a ██████","n":1.50}}"#
    );
}

fn masks() -> impl Strategy<Value = Vec<Value>> {
    let span = (0u64..12, 1u64..6).prop_map(|(start, length)| json!([start, start + length]));
    let field = prop::sample::select(vec![
        "/text",
        "/stream",
        "/input",
        "/input/a",
        "/input/a/0",
        "/input/redacted",
        "/n",
        "/base64",
        "/level",
    ]);
    let mask = (
        prop::option::of(field),
        prop::option::of(prop::collection::vec(span, 0..3)),
    )
        .prop_map(|(field, spans)| json!({"field": field, "spans": spans}));
    prop::collection::vec(mask, 0..5)
}

fn data() -> impl Strategy<Value = Value> {
    ("[a-zé\n\"\\\\]{0,12}", "[a-z\n]{0,9}", 0..9i64, any::<bool>()).prop_map(|(text, other, n, list)| {
        use base64::Engine;
        let base64 = base64::engine::general_purpose::STANDARD.encode(&other);
        let nested = if list { json!([other, n]) } else { json!({"x": other}) };
        json!({"text": text, "stream": "pty", "level": "info", "n": n, "base64": base64, "input": {"a": nested}})
    })
}

proptest! {
    #[test]
    fn masks_give_the_same_in_any_order_and_any_number_of_times(data in data(), masks in masks()) {
        let forwards = masked("terminal.output", &data, &masks);
        let backwards: Vec<Value> = masks.iter().rev().cloned().collect();
        prop_assert_eq!(&masked("terminal.output", &data, &backwards), &forwards);
        prop_assert_eq!(&masked("terminal.output", &forwards, &masks), &forwards);
    }

    #[test]
    fn a_masked_span_is_gone_and_the_text_as_long_as_before(text in "[a-d\n]{0,30}", start in 0u64..20, length in 1u64..10) {
        let spans = json!({"field": "/content", "spans": [[start, start + length]]});
        let masked = masked("thought", &json!({"content": text}), &[spans]);
        let masked = masked["content"].as_str().unwrap();
        prop_assert_eq!(masked.chars().count(), text.chars().count());
        for (index, (was, is)) in text.chars().zip(masked.chars()).enumerate() {
            let hidden = (start..start + length).contains(&(index as u64)) && was != '\n';
            prop_assert_eq!(is, if hidden { '█' } else { was });
        }
    }
}
