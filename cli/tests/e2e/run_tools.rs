//! Tools under `kulti run` that tell more than they print: stand-ins for Claude Code and Codex.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::{Stage, assert_whole, printed};

/// Calls that the stand-in makes in a session.
const CALLS: usize = 12;

fn tool(name: &str) -> String {
    format!("{}/tests/e2e/tools/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn run(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = stage.run(arguments, &stage.gateway.url(""));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn finish(mut command: Command) -> String {
    let output = command.output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("text")
}

fn of_kind<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}

fn times_by_call(events: &[Value], kind: &str) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for event in of_kind(events, kind) {
        let call = event["data"]["call"].as_str().expect("a call").to_owned();
        *times.entry(call).or_default() += 1;
    }
    times
}

fn said(events: &[Value], role: &str) -> Vec<String> {
    let messages = of_kind(events, "message.completed").into_iter();
    messages
        .filter(|event| event["data"]["role"] == role)
        .map(|event| event["data"]["content"].as_str().expect("text").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_of_claude_is_there_once_whichever_feed_is_first_late_or_missing() {
    for unusual in ["", "hooks-late", "transcript-late", "no-hooks", "no-transcript"] {
        let stage = Stage::set().await;
        let mut command = run(&stage, &["--", &tool("claude"), "count the files"]);
        command.env("STAND_IN", unusual);
        let shown = finish(command);
        assert_eq!(
            shown.matches("* ").count(),
            CALLS,
            "{unusual}: the terminal is untouched"
        );
        let events = stage.events(&stage.session()).await;
        assert_whole(&events);
        for kind in ["tool.started", "tool.finished"] {
            let times = times_by_call(&events, kind);
            assert_eq!(times.len(), CALLS, "{unusual}: {kind}");
            assert!(
                times.values().all(|times| *times == 1),
                "{unusual}: {kind} {times:?}"
            );
        }
        let (started, finished) = (
            of_kind(&events, "tool.started"),
            of_kind(&events, "tool.finished"),
        );
        for (started, finished) in started.iter().zip(&finished) {
            assert_eq!(started["data"]["call"], finished["data"]["call"], "{unusual}");
            assert!(started["position"].as_i64() < finished["position"].as_i64());
        }
        assert_eq!(of_kind(&events, "code.changed").len(), CALLS / 3, "{unusual}");
        assert_eq!(said(&events, "user"), ["count the files"], "{unusual}");
        assert_eq!(said(&events, "assistant"), ["There are 12 files."], "{unusual}");
        let asked = if unusual == "no-hooks" { 0 } else { 1 };
        assert_eq!(of_kind(&events, "approval.requested").len(), asked, "{unusual}");
        let answers = of_kind(&events, "approval.resolved");
        assert_eq!(answers.len(), asked, "{unusual}");
        let is_allowed = |answer: &&Value| answer["data"]["decision"] == "allow";
        assert!(answers.iter().all(is_allowed), "{unusual}: {answers:?}");
        let usage = of_kind(&events, "usage").len();
        assert_eq!(
            usage,
            if unusual == "no-transcript" { 0 } else { CALLS + 1 },
            "{unusual}"
        );
        let own: Vec<u8> = printed(
            &events
                .iter()
                .filter(|event| event["data"]["stream"] == "pty")
                .cloned()
                .collect::<Vec<_>>(),
        );
        assert_eq!(String::from_utf8_lossy(&own).matches("* ").count(), CALLS);
        let leftover = stage.home.path().join(".local/state/kulti/runs");
        let settings = leftover.join(stage.session()).join("tool-settings.json");
        assert!(!settings.exists(), "nothing of a run's settings stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_claude_is_gone_on_with() {
    let stage = Stage::set().await;
    finish(run(
        &stage,
        &["--visibility", "public", "--", &tool("claude"), "-p", "first"],
    ));
    let session = stage.session();
    let first = stage.events(&session).await.len();
    finish(run(&stage, &["--resume", &session, "and", "now", "the tests"]));
    let events = kulti_test_support::wait_until_some("the second part has ended", async || {
        let events = stage.events(&session).await;
        (of_kind(&events, "session.ended").len() == 2).then_some(events)
    })
    .await;
    assert!(events.len() > first);
    assert_whole(&events);
    assert_eq!(said(&events, "user"), ["first", "and now the tests"]);
    assert_eq!(times_by_call(&events, "tool.started").len(), 2 * CALLS);
    let unknown = run(&stage, &["--resume", "no-such-session", "x"])
        .output()
        .expect("it ends");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("kulti run --status"));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_codex_prints_are_told_as_what_they_mean() {
    let stage = Stage::set().await;
    let shown = finish(run(&stage, &["--", &tool("codex"), "exec", "--json", "list"]));
    assert!(
        shown.starts_with("warming up\n{\"type\": \"thread.started\""),
        "{shown}"
    );
    assert_eq!(shown.lines().count(), 7);
    let session = stage.session();
    let events = stage.events(&session).await;
    assert_whole(&events);
    assert_eq!(times_by_call(&events, "tool.started").len(), 1);
    assert_eq!(times_by_call(&events, "tool.finished").len(), 1);
    assert_eq!(said(&events, "assistant"), ["list: done"]);
    let own: Vec<Value> = events
        .iter()
        .filter(|event| event["data"]["stream"] == "pty")
        .cloned()
        .collect();
    assert_eq!(String::from_utf8_lossy(&printed(&own)), "warming up\r\n");
    finish(run(&stage, &["--resume", &session, "again"]));
    let events = kulti_test_support::wait_until_some("the second part has ended", async || {
        let events = stage.events(&session).await;
        (of_kind(&events, "session.ended").len() == 2).then_some(events)
    })
    .await;
    assert_eq!(said(&events, "assistant"), ["list: done", "again: done"]);
}
