use std::collections::BTreeMap;

use kulti_masking::Policy;
use kulti_schemas::{AgentId, Event, EventId, Kind, Meta, SessionId, Source, Timestamp};
use serde_json::{Value, json};

use super::{Masking, mask_answer};
use crate::metrics::GatewayMetrics;

fn masking(policy: Policy) -> Masking {
    let metrics = GatewayMetrics::register(&prometheus::Registry::new()).unwrap();
    Masking::new(policy, metrics)
}

fn event(session: &str, kind: &str, data: &Value) -> Event {
    Event {
        meta: Meta {
            event_id: EventId::generate(),
            session_id: SessionId::parse(session).unwrap(),
            agent_id: AgentId::parse("nex").unwrap(),
            time: Timestamp::now(),
            received: Timestamp::now(),
            source: Source::Agent,
            producer: None,
            generation: None,
            seq: None,
            cause: None,
            attributes: BTreeMap::new(),
        },
        kind: Kind::known(kind).unwrap(),
        data: serde_json::value::to_raw_value(data).unwrap(),
        raw: None,
        record: None,
    }
}

fn masked(policy: Policy, mut events: Vec<Event>) -> Vec<Value> {
    masking(policy).mask_request(events.iter_mut());
    let data = events
        .iter()
        .map(|event| serde_json::from_str(event.data.get()).unwrap());
    data.collect()
}

const PARTS: [&str; 3] = ["ghp_aB3dE5gH", "7jK9mN1pQ3sT5vW7", "yZ9bC1dE3fG5 done"];

#[test]
fn a_secret_over_outputs_of_one_terminal_is_masked_whatever_stands_between() {
    let mut events: Vec<Event> = PARTS
        .iter()
        .map(|part| {
            event(
                "s",
                "terminal.output",
                &json!({"terminal": "t", "text": part, "extra": 1.50}),
            )
        })
        .collect();
    events.insert(1, event("s", "thought", &json!({"content": "between"})));
    events.insert(
        2,
        event("s", "terminal.output", &json!({"terminal": "u", "text": "other"})),
    );
    events.insert(
        3,
        event("r", "terminal.output", &json!({"terminal": "t", "text": "other"})),
    );
    let data = masked(Policy::default(), events);
    let texts: Vec<&Value> = data.iter().map(|data| &data["text"]).collect();
    let expected = [
        json!("[masked:github-token]"),
        Value::Null,
        json!("other"),
        json!("other"),
        json!(""),
        json!(" done"),
    ];
    assert_eq!(texts, expected.iter().collect::<Vec<_>>());
    assert_eq!(data[0]["extra"], json!(1.50));
}

#[test]
fn a_secret_over_deltas_of_a_message_or_over_bytes_is_masked() {
    let deltas = PARTS.iter().enumerate().map(|(index, part)| {
        event(
            "s",
            "message.delta",
            &json!({"message": "m", "index": index, "text": part}),
        )
    });
    let data = masked(Policy::default(), deltas.collect());
    assert_eq!(data[0]["text"], "[masked:github-token]");
    assert_eq!(data[2]["text"], " done");
    let base64 = ["Z2hwX2FCM2RFNWdI", "N2pLOW1OMXBRM3NUNXZXNw==", "eVo5YkMxZEUzZkc1"];
    let outputs = base64.map(|base64| event("s", "terminal.output", &json!({"base64": base64})));
    let data = masked(Policy::default(), outputs.into());
    assert_eq!(data[0]["base64"], "W21hc2tlZDpnaXRodWItdG9rZW5d");
    assert_eq!(data[1]["base64"], "");
}

#[test]
fn agents_may_be_left_out_and_all_of_it_be_off() {
    let whole = PARTS.concat();
    let left_out = Policy {
        off_for: ["nex".to_owned()].into(),
        ..Policy::default()
    };
    let off = Policy {
        enabled: false,
        ..Policy::default()
    };
    for policy in [left_out, off] {
        let data = masked(policy, vec![event("s", "thought", &json!({"content": whole}))]);
        assert_eq!(data[0]["content"], whole.as_str());
    }
}

#[test]
fn the_line_that_an_adapter_read_and_the_producers_name_are_masked() {
    let whole = PARTS[..].concat().replace(" done", "");
    let mut event = event("s", "thought", &json!({"content": "a"}));
    for raw in [format!("{{\"x\":\"{whole}\"}}"), format!("not JSON {whole}")] {
        event.raw = Some(raw);
        event.meta.producer = Some(whole.clone());
        masking(Policy::default()).mask_event(&mut event);
        assert!(event.raw.as_ref().unwrap().contains("[masked:github-token]"));
        assert_eq!(event.meta.producer.as_deref(), Some("[masked:github-token]"));
    }
}

#[test]
fn an_answer_does_not_repeat_a_secret() {
    let whole = PARTS.concat();
    let answer = mask_answer(format!("`{whole}` is not known"));
    assert_eq!(answer, "`[masked:github-token] done` is not known");
}
