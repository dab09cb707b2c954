//! Claude Code's transcript and its hooks tell of the same session: each thing is said once, in whatever order they
//! come, and when one of them is missing.

#![allow(missing_docs)]

use std::collections::HashMap;

use kulti_adapters::{Format, ImportedEvent, Options, Reader};
use kulti_schemas::{AgentId, SessionId};
use proptest::prelude::*;
use serde_json::{Value, json};

const CALLS: usize = 6;

/// A turn with calls as a transcript has it.
fn transcript() -> Vec<Value> {
    let line = |kind: &str, number: usize, message: Value| {
        json!({"type": kind, "uuid": format!("u{number}"), "sessionId": "s", "cwd": "/w",
            "timestamp": "2026-03-01T10:00:00.000Z", "message": message})
    };
    let mut lines = vec![line("user", 0, json!({"role": "user", "content": "do it"}))];
    for call in 0..CALLS {
        lines.push(line(
            "assistant",
            2 * call + 1,
            json!({"id": format!("m{call}"), "role": "assistant", "model": "claude-opus-4", "content": [
                {"type": "tool_use", "id": format!("toolu_{call}"), "name": "Bash",
                    "input": {"command": format!("echo {call}")}}]}),
        ));
        lines.push(line(
            "user",
            2 * call + 2,
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": format!("toolu_{call}"), "content": call.to_string()}]}),
        ));
    }
    let last = json!({"id": "m-last", "role": "assistant", "model": "claude-opus-4",
        "content": [{"type": "text", "text": "done"}]});
    lines.push(line("assistant", 100, last));
    lines
}

/// The same as hooks have it.
fn hooks() -> Vec<Value> {
    let hook = |event: &str, mut members: Value| {
        members["hook_event_name"] = event.into();
        members["session_id"] = "s".into();
        members["cwd"] = "/w".into();
        members
    };
    let mut lines = vec![hook("UserPromptSubmit", json!({"prompt": "do it"}))];
    for call in 0..CALLS {
        let about = |response: Option<Value>| {
            let mut members = json!({"tool_name": "Bash", "tool_use_id": format!("toolu_{call}"),
                "tool_input": {"command": format!("echo {call}")}});
            if let Some(response) = response {
                members["tool_response"] = response;
            }
            members
        };
        lines.push(hook("PreToolUse", about(None)));
        lines.push(hook("PermissionRequest", about(None)));
        let response = json!({"stdout": call.to_string(), "stderr": "", "interrupted": false});
        lines.push(hook("PostToolUse", about(Some(response))));
    }
    lines.push(hook("Stop", json!({"last_assistant_message": "done"})));
    lines
}

fn read(lines: &[Value]) -> Vec<ImportedEvent> {
    let options = Options {
        live: true,
        session: SessionId::parse("run").ok(),
        agent: AgentId::parse("tester").ok(),
        ..Options::default()
    };
    let mut reader = Reader::new(Format::ClaudeTranscript, options);
    let mut events = Vec::new();
    for line in lines {
        reader.read_line(line.to_string().as_bytes(), &mut events);
    }
    reader.finish(&mut events);
    events
}

fn of_calls(events: &[ImportedEvent], kind: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for event in events.iter().filter(|event| event.kind == kind) {
        let call = event.data["call"].as_str().expect("a call").to_owned();
        *counts.entry(call).or_default() += 1;
    }
    counts
}

fn assert_each_once(events: &[ImportedEvent]) {
    let kinds = [
        "tool.started",
        "tool.finished",
        "terminal.command",
        "terminal.output",
        "terminal.exited",
    ];
    for kind in kinds {
        let counts = of_calls(events, kind);
        assert_eq!(counts.len(), CALLS, "{kind}");
        assert!(counts.values().all(|count| *count == 1), "{kind}: {counts:?}");
    }
    for call in 0..CALLS {
        let place = |kind: &str| {
            let call = format!("toolu_{call}");
            let found = events
                .iter()
                .position(|event| event.kind == kind && event.data["call"] == call.as_str());
            found.expect("it is there")
        };
        assert!(place("tool.started") < place("tool.finished"));
    }
    let mut said: Vec<&str> = events
        .iter()
        .filter(|event| event.kind == "message.completed")
        .filter_map(|event| event.data["content"].as_str())
        .collect();
    said.sort_unstable();
    assert_eq!(said, ["do it", "done"]);
    let ids: std::collections::HashSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn either_feed_alone_tells_it_all() {
    assert_each_once(&read(&transcript()));
    let events = read(&hooks());
    assert_each_once(&events);
    let of = |kind: &str| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!(
        (of("approval.requested"), of("approval.resolved")),
        (CALLS, CALLS)
    );
}

proptest! {
    #[test]
    fn each_call_and_message_is_told_once_however_the_feeds_come_together(
        turns in proptest::collection::vec(any::<bool>(), 40),
        heard in proptest::collection::vec(any::<bool>(), 40),
        is_complete in any::<bool>(),
    ) {
        let mut lines = Vec::new();
        let mut transcript = transcript().into_iter().peekable();
        // Where the transcript is whole, any hook may be missing.
        let mut hooks = hooks()
            .into_iter()
            .zip(heard)
            .filter_map(|(hook, heard)| (heard || is_complete).then_some(hook))
            .peekable();
        let mut turns = turns.into_iter().chain(std::iter::repeat(true));
        while transcript.peek().is_some() || hooks.peek().is_some() {
            let next = match turns.next() {
                Some(true) => transcript.next().or_else(|| hooks.next()),
                _ => hooks.next().or_else(|| transcript.next()),
            };
            lines.extend(next);
        }
        let events = read(&lines);
        assert_each_once(&events);
        // Whichever feed told of the result first, a question about a call is answered by what became of it.
        let asked = events.iter().filter(|event| event.kind == "approval.requested").count();
        let answers: Vec<_> = events.iter().filter(|event| event.kind == "approval.resolved").collect();
        prop_assert_eq!(answers.len(), asked);
        if is_complete {
            prop_assert!(answers.iter().all(|answer| answer.data["decision"] == "allow"));
        }
    }
}
