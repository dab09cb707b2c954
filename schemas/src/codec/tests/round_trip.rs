//! data -> record -> data is the same JSON value, to the spelling of its numbers.

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::json_text::Members;
use crate::plan::{Field, Form, Holds};

/// Keys sorted, white space gone, strings spelled one way; numbers as they are spelled.
fn canonical(json: &str) -> String {
    let json = json.trim();
    match json.as_bytes()[0] {
        b'{' => {
            let Members(members) = serde_json::from_str(json).unwrap();
            let mut members: Vec<String> = members
                .iter()
                .map(|(name, value)| {
                    format!(
                        "{}:{}",
                        serde_json::to_string(name).unwrap(),
                        canonical(value.get())
                    )
                })
                .collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).unwrap();
            let elements: Vec<String> = elements.iter().map(|element| canonical(element.get())).collect();
            format!("[{}]", elements.join(","))
        }
        b'"' => serde_json::to_string(&serde_json::from_str::<String>(json).unwrap()).unwrap(),
        _ => json.to_owned(),
    }
}

fn assert_round_trip(event: &Event) {
    let decoded = decode(&encode(event));
    assert_eq!(decoded.meta, event.meta);
    assert_eq!(decoded.kind, event.kind);
    assert_eq!(decoded.raw, event.raw);
    assert_eq!(decoded.record, None);
    assert_eq!(
        canonical(decoded.data.get()),
        canonical(event.data.get()),
        "{}",
        event.kind
    );
    assert!(!decoded.data.get().contains(['\n', '\r']));
    // And what was read is written again as the same bytes.
    assert_eq!(encode(&decoded), encode(event));
}

#[test]
fn data_comes_back_as_it_went_in() {
    for (kind, data) in [
        (
            "thought",
            r#"{"content":"a\u0000b\n\"é😀\ud83d\ude00","type":"general","metadata":{"a" : [1.0, 1e400, -0]}}"#,
        ),
        (
            "thought",
            r#"{"content":"","type":null,"metadata":null,"unknown":null,"extra":1,"raw":"x","meta":{}}"#,
        ),
        ("terminal.output", r#"{"text":"\u0000\u001b[1m","stream":"pty"}"#),
        (
            "terminal.output",
            r#"{"base64":"/wBA","level":"info","text":null}"#,
        ),
        ("terminal.output", r#"{"base64":""}"#),
        ("terminal.exited", r#"{"code":-9223372036854775808}"#),
        ("terminal.exited", r#"{"code":1.0}"#),
        ("terminal.exited", r#"{"code":-0}"#),
        (
            "tool.finished",
            r#"{"call":"c","status":"ok","output":null,"duration_ms":12.75}"#,
        ),
        (
            "progress",
            r#"{"done":0.5,"total":1,"plan":[{"text":"a","state":"b","more":1}]}"#,
        ),
        ("usage", r#"{"model":"m","cost_usd":0,"input":9007199254740993}"#),
        (
            "usage",
            r#"{"model":"m","cost_usd":-0.0,"input":9007199254740993.0}"#,
        ),
        ("usage", r#"{"model":"m","cost_usd":0.10,"cumulative":true}"#),
        ("session.started", r#"{}"#),
        ("session.started", r#"{"tags":[],"title":""}"#),
        (
            "session.started",
            r#"{"tags":["a\u0000",""],"" : {"x":[ ]}, "visibility":"unlisted"}"#,
        ),
        (
            "custom",
            "{\n  \"name\": \"x\",\n  \"value\": [\n 1, {\"b\":1,\"a\":2.50} ]\n}",
        ),
    ] {
        assert_round_trip(&event(kind, data));
    }
}

#[test]
fn everything_optional_comes_back() {
    let mut full = event("thought", r#"{"content":"x"}"#);
    full.meta.source = Source::Viewer;
    full.meta.producer = Some("sdk".into());
    full.meta.generation = Some(-3);
    full.meta.seq = Some(i64::MAX);
    full.meta.cause = Some(EventId::derive(&[b"cause"]));
    full.meta.attributes = BTreeMap::from([("a".into(), "ü".into()), ("kind".into(), "kept".into())]);
    full.raw = Some("{\"type\":\"x\"}\n".into());
    assert_round_trip(&full);
}

#[test]
fn typed_fields_hold_what_they_can_and_extra_the_rest() {
    let plan = plan::newest(Kind::known("usage").unwrap().entry().unwrap()).unwrap();
    let data = RawValue::from_string(
        r#"{"model":"m","input":1.0,"cost_usd":2,"note":{ "a": 1 },"scope":null}"#.into(),
    )
    .unwrap();
    let slots = fields_of(plan, &data).unwrap();
    let by_name = |name: &str| {
        format!(
            "{:?}",
            slots[plan.fields.iter().position(|f| f.name == name).unwrap()].1
        )
    };
    assert_eq!(by_name("model"), r#"Text("m")"#);
    assert_eq!(by_name("input"), "Long(1)");
    assert_eq!(by_name("cost_usd"), "Double(2.0)");
    assert_eq!(by_name("scope"), "Absent");
    assert_eq!(
        format!("{:?}", slots.last().unwrap().1),
        r#"Map([("cost_usd", "2"), ("input", "1.0"), ("note", "{\"a\":1}"), ("scope", "null")])"#
    );
}

fn json_string() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""a\u0000b""#.to_owned()),
        Just(r#""\ud83d\ude00 \/ \u00e9""#.to_owned()),
    ]
}

fn json_number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        (-1000_i64..1000).prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("JSON has no such number", |n| n.is_finite())
            .prop_map(|n| serde_json::to_string(&n).unwrap()),
        proptest::sample::select(vec![
            "1.0",
            "-0.0",
            "-0",
            "1e3",
            "1E+3",
            "0.10",
            "1e400",
            "18446744073709551616",
            "0.1e-7"
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        json_string(),
        json_number(),
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned())
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let members = proptest::collection::vec((json_string(), inner.clone()), 0..4);
        prop_oneof![
            proptest::collection::vec(inner, 0..4)
                .prop_map(|elements| format!("[ {} ]", elements.join(" ,"))),
            members.prop_map(|members| {
                let members: BTreeMap<String, String> =
                    members.into_iter().map(|(k, v)| (canonical(&k), v)).collect();
                let members: Vec<String> = members.into_iter().map(|(k, v)| format!("{k}:{v}")).collect();
                format!("{{{}\n}}", members.join(","))
            }),
        ]
    })
}

/// Mostly what the field wants, sometimes anything.
fn value_for(field: &Field) -> BoxedStrategy<String> {
    let event_id = "\"01936b2e-8d3c-7cc0-b1a2-0123456789ab\"".to_owned();
    let fitting = match (field.holds, field.form) {
        _ if field.values.is_some() => {
            let values = field.values.clone().unwrap();
            proptest::sample::select(values)
                .prop_map(|value| format!("\"{value}\""))
                .boxed()
        }
        (_, Form::EventId) => Just(event_id).boxed(),
        (_, Form::Time) => Just("\"2026-01-02T03:04:05Z\"".to_owned()).boxed(),
        (Holds::Long | Holds::Double, _) => json_number().boxed(),
        (Holds::Boolean, _) => any::<bool>().prop_map(|yes| yes.to_string()).boxed(),
        (Holds::Strings, _) => proptest::collection::vec(json_string(), 0..4)
            .prop_map(|all| format!("[{}]", all.join(",")))
            .boxed(),
        (Holds::BytesOfBase64, _) => any::<Vec<u8>>()
            .prop_map(|bytes| format!("\"{}\"", STANDARD.encode(bytes)))
            .boxed(),
        (Holds::Json, _) if field.name == "forked_from" => {
            Just(format!(r#"{{"session":"s","event":{event_id}}}"#)).boxed()
        }
        (Holds::Json, _) if field.name == "plan" => Just(r#"[{"text":"a","state":"b"}]"#.to_owned()).boxed(),
        (Holds::Json, _) if field.name == "events" => {
            Just(format!(r#"[{{"event":{event_id}, "spans":[1.0]}}]"#)).boxed()
        }
        (Holds::Json, _) => any_json().boxed(),
        _ => json_string().boxed(),
    };
    prop_oneof![20 => fitting, 1 => any_json()].boxed()
}

/// An object for the kind: each field with some probability, and unknown members.
fn data_for(plan: &'static Plan) -> impl Strategy<Value = String> {
    let known: Vec<_> = plan
        .fields
        .iter()
        .map(|field| {
            let wanted = if field.required { 0.98 } else { 0.5 };
            proptest::option::weighted(
                wanted,
                value_for(field).prop_map(|value| format!("\"{}\" : {value}", field.name)),
            )
        })
        .collect();
    let unknown = proptest::collection::btree_map("[a-z_]{0,3}[0-9é\"]{1,3}", any_json(), 0..3);
    (known, unknown).prop_map(|(known, unknown)| {
        let unknown = unknown
            .into_iter()
            .map(|(name, value)| format!("{}:{value}", serde_json::to_string(&name).unwrap()));
        let members: Vec<String> = known.into_iter().flatten().chain(unknown).collect();
        format!("{{{}}}", members.join(",\n"))
    })
}

fn any_event() -> impl Strategy<Value = (Kind, String)> {
    proptest::sample::select(Kind::all().collect::<Vec<_>>()).prop_flat_map(|kind| {
        let plan = plan::newest(kind.entry().unwrap()).unwrap();
        data_for(plan).prop_map(move |data| (kind.clone(), data))
    })
}

#[test]
fn any_data_that_is_accepted_comes_back_and_most_is_accepted() {
    let mut accepted = 0;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(4000));
    let accepted_so_far = std::cell::RefCell::new(&mut accepted);
    runner
        .run(&any_event(), |(kind, data)| {
            let mut one = event("thought", "{}");
            one.kind = kind;
            one.data = RawValue::from_string(data).unwrap();
            match encode_record(&one) {
                Ok(_) => {
                    **accepted_so_far.borrow_mut() += 1;
                    assert_round_trip(&one);
                }
                Err(EncodeError::Data(error)) => prop_assert!(error.field.starts_with("data")),
                Err(other) => prop_assert!(false, "{other}"),
            }
            Ok(())
        })
        .unwrap();
    assert!(
        accepted > 1600,
        "only {accepted} of 4000: the strategy tests too little"
    );
}
