use serde_json::json;

use super::*;

fn found(pattern: &str, events: &[(&str, Value)]) -> Vec<Value> {
    let mut finder = Finder::new(Pattern::text(pattern).expect("a text"));
    for (index, (kind, data)) in events.iter().enumerate() {
        let event =
            json!({"position": index + 1, "id": format!("e{}", index + 1), "kind": kind, "data": data});
        finder.take(&event.to_string()).expect("an event");
    }
    let targets = finder.finish();
    targets
        .iter()
        .map(|target| serde_json::to_value(target).expect("JSON"))
        .collect()
}

#[test]
fn a_secret_is_found_in_texts_at_any_depth_in_characters() {
    let events = [
        ("thought", json!({"content": "é hunter2, hunter2"})),
        (
            "tool.started",
            json!({"call": "c", "name": "sh", "input": {"a/b": ["x", "hunter2"]}}),
        ),
        ("thought", json!({"content": "nothing"})),
    ];
    assert_eq!(
        found("hunter2", &events),
        [
            json!({"event": "e1", "field": "/content", "spans": [[2, 9], [11, 18]]}),
            json!({"event": "e2", "field": "/input/a~1b/1", "spans": [[0, 7]]}),
        ]
    );
}

#[test]
fn a_secret_that_is_split_over_two_events_is_found() {
    let output = |text: &str| ("terminal.output", json!({"text": text, "stream": "pty"}));
    let events = [
        output("é key=hun"),
        ("thought", json!({"content": "between"})),
        // "ter2\n"
        ("terminal.output", json!({"base64": "dGVyMgo=", "stream": "pty"})),
        ("terminal.output", json!({"text": "ter2", "stream": "stderr"})),
        (
            "message.delta",
            json!({"message": "m", "index": 0, "text": "hunt"}),
        ),
        (
            "message.delta",
            json!({"message": "m", "index": 1, "text": "er2!"}),
        ),
    ];
    assert_eq!(
        found("hunter2", &events),
        [
            json!({"event": "e1", "field": "/text", "spans": [[6, 9]]}),
            json!({"event": "e3", "field": "/base64", "spans": [[0, 4]]}),
            json!({"event": "e5", "field": "/text", "spans": [[0, 4]]}),
            json!({"event": "e6", "field": "/text", "spans": [[0, 3]]}),
        ]
    );
}

#[test]
fn a_place_never_says_the_secret() {
    let events = [
        (
            "tool.started",
            json!({"call": "c", "name": "sh", "input": {"env": {"x4711": 1}}}),
        ),
        ("custom", json!({"name": "n", "value": 4711, "4711": true})),
        ("custom", json!({"name": "n", "value": 4711})),
    ];
    let targets = found("4711", &events);
    assert_eq!(
        targets,
        [
            json!({"event": "e1", "field": "/input/env"}),
            json!({"event": "e2"}),
            json!({"event": "e3", "field": "/value"}),
        ]
    );
}

#[test]
fn what_only_the_adapters_line_says_is_found() {
    let mut finder = Finder::new(Pattern::text("hunter2").expect("a text"));
    let event =
        json!({"position": 1, "id": "e1", "kind": "thought", "data": {"content": "x"}, "raw": "hunter2"});
    finder.take(&event.to_string()).expect("an event");
    let targets = finder.finish();
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].field.as_deref(), Some("/"));
}
