//! Events as a producer sends them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kulti_schemas::Event;
use kulti_test_support::event;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::Gateway;

/// A random session id.
pub fn session_id() -> String {
    format!("s-{}", Uuid::now_v7().simple())
}

/// One thought.
pub fn thought(session: &str, content: &str) -> Value {
    json!({"id": Uuid::now_v7(), "session": session, "agent": "tester", "kind": "thought", "data": {"content": content}})
}

/// Events of several kinds, as an agent has them.
pub fn events(session: &str, count: usize) -> Vec<Value> {
    let kind_and_data = |index: usize| match index % 5 {
        0 => (
            "thought",
            json!({"content": format!("step {index}"), "type": "reasoning"}),
        ),
        1 => (
            "terminal.command",
            json!({"command": format!("make step-{index}"), "cwd": "/tmp"}),
        ),
        2 => (
            "terminal.output",
            json!({"text": format!("\u{1b}[32mok\u{1b}[0m {index}\r\n\u{0}"), "stream": "pty"}),
        ),
        3 => (
            "usage",
            json!({"model": "m", "input": index, "output": 1, "cost_usd": 0.001}),
        ),
        _ => (
            "tool.started",
            json!({"call": format!("c{index}"), "name": "Edit", "input": {"n": 1.0, "deep": [null, {}]}}),
        ),
    };
    let event = |index| {
        let (kind, data) = kind_and_data(index);
        json!({"id": Uuid::now_v7(), "session": session, "agent": "tester", "kind": kind, "data": data})
    };
    (0..count).map(event).collect()
}

/// A session of an agent at work, as the log has it: it starts, thinks, edits files, prints and pays.
pub fn work(session: &str, count: usize) -> Vec<Event> {
    let event_of = |number: usize| match number % 6 {
        _ if number == 0 => event(session).started("a task"),
        0 => event(session).thought(&format!("thought {number} about what to do next")),
        1 => event(session).kind(
            "code.changed",
            json!({"path": format!("src/{}.rs", number % 5), "action": "create",
                "content": format!("one\n{number}\nthree\n")}),
        ),
        2 => event(session).kind(
            "code.changed",
            json!({"path": format!("src/{}.rs", (number - 1) % 5), "action": "edit",
                "patch": format!("@@ -1,3 +1,3 @@\n one\n-{}\n+{number} edited\n three\n", number - 1)}),
        ),
        3 => event(session).kind("usage", json!({"model": "m", "input": number, "cost_usd": 0.25})),
        _ => event(session).output(&format!(
            "\x1b[3{}mline {number}\x1b[0m of a build that prints a lot\r\n",
            number % 8
        )),
    };
    (0..count).map(event_of).collect()
}

/// Ids in the order sent.
pub fn ids(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| event["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// Sends `per_second` events a second for some time, in batches of 50. The ids in order.
pub async fn send_steadily(
    gateway: &Gateway,
    session: &str,
    per_second: usize,
    time: Duration,
) -> Vec<String> {
    send_counting(gateway, session, (per_second, time), &AtomicI64::new(0)).await
}

/// The same, for those who want to know meanwhile how many were acknowledged.
pub async fn send_counting(
    gateway: &Gateway,
    session: &str,
    (per_second, time): (usize, Duration),
    acknowledged: &AtomicI64,
) -> Vec<String> {
    let started = Instant::now();
    let mut sent = Vec::new();
    while started.elapsed() < time {
        let batch = events(session, 50);
        gateway.send(&batch).await;
        sent.extend(ids(&batch));
        acknowledged.store(sent.len() as i64, Ordering::Relaxed);
        let due = started + Duration::from_secs_f64(sent.len() as f64 / per_second as f64);
        tokio::time::sleep_until(due).await;
    }
    sent
}
