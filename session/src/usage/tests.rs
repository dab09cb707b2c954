use serde_json::{Value, json};

use super::*;

fn folded(events: &[Value]) -> Usage {
    let mut usage = Usage::default();
    for event in events {
        usage.apply(
            Some("p"),
            Some(1),
            &serde_json::value::to_raw_value(event).unwrap(),
        );
        // It must go on from its own JSON, which is what a row holds.
        usage = serde_json::from_str(&serde_json::to_string(&usage).unwrap()).unwrap();
    }
    usage
}

#[test]
fn calls_add_up_over_models_and_kinds_of_tokens() {
    let usage = folded(&[
        json!({"model": "m", "input": 10, "output": 5, "cost_usd": 0.5}),
        json!({"model": "m", "input": 1, "cache_read": 100, "cache_write": 7}),
        json!({"model": "n", "output": 1000, "cost_usd": 0.25}),
    ]);
    assert_eq!(usage.tokens(), 10 + 5 + 1 + 100 + 7 + 1000);
    assert!((usage.cost_usd() - 0.75).abs() < 1e-9);
}

#[test]
fn a_running_total_replaces_the_one_before() {
    let usage = folded(&[
        json!({"model": "m", "input": 10, "cumulative": true}),
        json!({"model": "m", "input": 25, "cumulative": true}),
        json!({"model": "m", "output": 5, "cumulative": true}),
    ]);
    assert_eq!(usage.tokens(), 30);
}

#[test]
fn a_running_total_that_falls_begins_a_new_run() {
    let usage = folded(&[
        json!({"model": "m", "input": 100, "cost_usd": 2.0, "cumulative": true}),
        json!({"model": "m", "input": 10, "cost_usd": 0.5, "cumulative": true}),
        json!({"model": "m", "input": 30, "cost_usd": 1.0, "cumulative": true}),
    ]);
    assert_eq!(usage.tokens(), 130);
    assert!((usage.cost_usd() - 3.0).abs() < 1e-9);
}

#[test]
fn scopes_tell_the_same_tokens_and_the_largest_counts() {
    let usage = folded(&[
        json!({"model": "m", "input": 10}),
        json!({"model": "m", "input": 20}),
        json!({"model": "m", "input": 35, "scope": "turn"}),
        json!({"model": "m", "cost_usd": 1.5, "scope": "session", "cumulative": true}),
    ]);
    assert_eq!(usage.tokens(), 35);
    assert!((usage.cost_usd() - 1.5).abs() < 1e-9);
}

#[test]
fn runs_of_other_producers_and_generations_add_up() {
    let mut usage = Usage::default();
    for (producer, generation) in [
        (Some("p"), Some(1)),
        (Some("p"), Some(2)),
        (Some("q"), Some(1)),
        (None, None),
    ] {
        let data = json!({"model": "m", "input": 10, "cumulative": true});
        usage.apply(
            producer,
            generation,
            &serde_json::value::to_raw_value(&data).unwrap(),
        );
    }
    assert_eq!(usage.tokens(), 40);
}

#[test]
fn what_is_not_a_number_is_taken_as_absent_and_nothing_overflows() {
    let usage = folded(&[
        json!({"model": "m", "input": "many", "output": -5, "cost_usd": -1.0}),
        json!({"model": 7, "input": 2.0, "scope": {"a": 1}, "cumulative": "yes"}),
        json!({"model": "m\u{0}x", "input": i64::MAX}),
        json!({"model": "m\u{0}x", "input": i64::MAX}),
        json!([]),
    ]);
    assert_eq!(usage.tokens(), i64::MAX);
    assert!(!serde_json::to_string(&usage).unwrap().contains("\\u0000"));
}

#[test]
fn models_and_runs_are_bounded() {
    let mut usage = Usage::default();
    for number in 0..500 {
        let data = json!({"model": format!("m{number}"), "input": 1});
        usage.apply(None, None, &serde_json::value::to_raw_value(&data).unwrap());
        let data = json!({"model": "m0", "output": 1, "cumulative": true, "scope": "session"});
        usage.apply(
            Some("p"),
            Some(number),
            &serde_json::value::to_raw_value(&data).unwrap(),
        );
    }
    assert_eq!(usage.models.len(), MODELS + 1);
    assert_eq!(usage.models["m0"]["session"].runs.len(), RUNS);
    assert_eq!(usage.tokens(), 500 + 499);
}
