use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn line(position: i64, kind: &str, data: Value) -> String {
    let micros = 1_795_000_000_000_000 + position * 1_000_000;
    json!({"position": position, "id": format!("id-{position}"), "session": "s", "agent": "a",
        "time": moment(micros), "received": moment(micros + 5), "source": "agent", "kind": kind, "data": data})
    .to_string()
}

fn session(events: &[(&str, Value)]) -> Vec<String> {
    let numbered = events.iter().zip(1..);
    numbered
        .map(|((kind, data), position)| line(position, kind, data.clone()))
        .collect()
}

fn apply_all(workspace: &mut Workspace, lines: &[String]) {
    for line in lines {
        workspace.apply(&FoldEvent::parse(line).unwrap());
    }
}

fn folded(events: &[(&str, Value)]) -> Workspace {
    let mut workspace = Workspace::new();
    apply_all(&mut workspace, &session(events));
    workspace
}

fn screen_text(workspace: &Workspace) -> String {
    let screen = workspace.screen(None).unwrap();
    let lines: Vec<String> = screen.lines.iter().map(StyledLine::text).collect();
    lines.join("\n").trim_end().to_owned()
}

#[test]
fn a_session_looks_as_its_events_say() {
    let workspace = folded(&[
        (
            "session.started",
            json!({"task": "build it", "title": "T", "tags": ["x"], "agent_name": "Nex"}),
        ),
        ("status.changed", json!({"status": "working"})),
        (
            "message.delta",
            json!({"message": "m", "index": 0, "text": "Hel"}),
        ),
        ("message.delta", json!({"message": "m", "index": 1, "text": "lo"})),
        ("thought", json!({"content": "hmm", "type": "reasoning"})),
        (
            "tool.started",
            json!({"call": "c1", "name": "Bash", "input": {"command": "ls"}}),
        ),
        ("tool.started", json!({"call": "c2", "name": "Read", "input": {}})),
        (
            "tool.finished",
            json!({"call": "c1", "status": "error", "output": "no"}),
        ),
        (
            "progress",
            json!({"title": "P", "done": 1, "total": 3, "plan": [{"text": "one", "state": "done"}]}),
        ),
        ("progress", json!({"done": 2})),
        (
            "preview.opened",
            json!({"url": "http://localhost:3000", "port": 3000}),
        ),
        (
            "usage",
            json!({"model": "m", "input": 10, "output": 5, "cost_usd": 0.25}),
        ),
        ("approval.requested", json!({"approval": "p", "title": "rm -rf?"})),
        ("error", json!({"message": "broken"})),
        ("session.ended", json!({"reason": "completed", "result": "done"})),
    ]);
    let keyframe = workspace.keyframe();
    assert_eq!(keyframe.profile.title.as_deref(), Some("T"));
    assert_eq!(
        keyframe.conversation.messages.iter().next().unwrap().text,
        "Hello"
    );
    assert_eq!(keyframe.conversation.thoughts.iter().next().unwrap().text, "hmm");
    let running: Vec<&str> = keyframe
        .activity
        .tools
        .running
        .iter()
        .map(|call| call.call.as_str())
        .collect();
    assert_eq!(running, ["c2"]);
    assert_eq!(keyframe.activity.tools.failed, 1);
    let progress = keyframe.activity.progress.unwrap();
    assert_eq!(
        (progress.done, progress.total, progress.plan.len()),
        (Some(2), Some(3), 1)
    );
    assert_eq!((keyframe.tokens, keyframe.cost_usd), (15, 0.25));
    assert_eq!(keyframe.activity.approvals.iter().len(), 1);
    assert_eq!(keyframe.profile.ended.unwrap().reason, "completed");
    let markers: Vec<&str> = keyframe
        .markers
        .list
        .iter()
        .map(|marker| marker.origin.as_str())
        .collect();
    assert_eq!(markers, ["preview", "first_error"]);
}

#[test]
fn files_are_followed_over_patches_renames_and_deletion() {
    let workspace = folded(&[
        (
            "code.changed",
            json!({"path": "a.txt", "action": "create", "content": "one\ntwo\n"}),
        ),
        (
            "code.changed",
            json!({"path": "a.txt", "action": "edit",
            "patch": "--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n"}),
        ),
        (
            "code.changed",
            json!({"path": "b.txt", "old_path": "a.txt", "action": "rename"}),
        ),
        (
            "code.changed",
            json!({"path": "c.txt", "action": "create", "content": ""}),
        ),
        ("code.changed", json!({"path": "c.txt", "action": "delete"})),
        (
            "code.changed",
            json!({"path": "unknown.txt", "action": "edit", "patch": "@@ -1 +1 @@\n-a\n+b\n"}),
        ),
    ]);
    let files: Vec<&FileState> = workspace.files().collect();
    assert_eq!(files.len(), 2);
    assert_eq!(files[0].path, "b.txt");
    assert_eq!(
        &**workspace.content(files[0].sha256.as_ref().unwrap()).unwrap(),
        "one\nzwei\n"
    );
    assert_eq!((files[1].path.as_str(), &files[1].sha256), ("unknown.txt", &None));
}

#[test]
fn a_patch_after_a_keyframe_asks_for_its_base() {
    let events = session(&[
        (
            "code.changed",
            json!({"path": "a", "action": "create", "content": "one\n"}),
        ),
        (
            "code.changed",
            json!({"path": "a", "action": "edit", "patch": "@@ -1 +1 @@\n-one\n+two\n"}),
        ),
    ]);
    let mut whole = Workspace::new();
    apply_all(&mut whole, &events);

    let mut first = Workspace::new();
    apply_all(&mut first, &events[..1]);
    let mut resumed = Workspace::from_keyframe(first.keyframe());
    let edit = FoldEvent::parse(&events[1]).unwrap();
    let wanted = resumed.wants(&edit).unwrap();
    resumed.supply(&first.content(&wanted).unwrap().clone());
    assert_eq!(resumed.wants(&edit), None);
    resumed.apply(&edit);
    assert_eq!(resumed.keyframe(), whole.keyframe());
}

#[test]
fn what_an_older_run_of_a_producer_still_sends_is_not_shown() {
    let mut workspace = Workspace::new();
    for (position, generation, text) in [(1, 1, "a"), (2, 2, "b"), (3, 1, "zombie"), (4, 2, "c")] {
        let mut event: Value =
            serde_json::from_str(&line(position, "terminal.output", json!({"text": text}))).unwrap();
        event["producer"] = json!("p");
        event["generation"] = json!(generation);
        workspace.apply(&FoldEvent::parse(&event.to_string()).unwrap());
    }
    assert_eq!(screen_text(&workspace), "abc");
    assert_eq!(workspace.position(), 4);
}

#[test]
fn tests_that_turn_red_and_green_are_marked_once_each() {
    let workspace = folded(&[
        (
            "terminal.output",
            json!({"text": "running 3 tests\ntest result: FAI"}),
        ),
        ("terminal.output", json!({"text": "LED. 2 passed; 1 failed\n"})),
        (
            "terminal.output",
            json!({"text": "test result: FAILED. 2 passed; 1 failed\n"}),
        ),
        (
            "tool.finished",
            json!({"call": "c", "status": "ok", "output": "==== 3 passed in 0.1s ===="}),
        ),
    ]);
    let markers = workspace.keyframe().markers;
    let origins: Vec<(&str, i64)> = markers
        .list
        .iter()
        .map(|marker| (marker.origin.as_str(), marker.position))
        .collect();
    assert_eq!(origins, [("tests_failed", 2), ("tests_passed", 4)]);
}

#[test]
fn summaries_of_test_runners_are_understood() {
    for (line, outcome) in [
        ("test result: ok. 12 passed; 0 failed", Some(TestOutcome::Passed)),
        (
            "===== 1 failed, 3 passed in 0.12s =====",
            Some(TestOutcome::Failed),
        ),
        (
            "\x1b[32m===== \x1b[1m3 passed\x1b[0m in 0.12s =====",
            Some(TestOutcome::Passed),
        ),
        (
            "Tests:       1 failed, 5 passed, 6 total",
            Some(TestOutcome::Failed),
        ),
        ("      Tests  5 passed (5)", Some(TestOutcome::Passed)),
        ("  12 passing (8ms)", Some(TestOutcome::Passed)),
        ("  2 failing", Some(TestOutcome::Failed)),
        ("ok  \tkulti/pkg\t0.02s", Some(TestOutcome::Passed)),
        ("FAIL\tkulti/pkg\t0.02s", Some(TestOutcome::Failed)),
        ("OK", Some(TestOutcome::Passed)),
        ("I looked at why it failed yesterday", None),
        ("0 failed", None),
        ("the 3 failed attempts", None),
    ] {
        assert_eq!(test_outcome(line), outcome, "{line}");
    }
}

#[test]
fn a_state_is_bounded_whatever_comes() {
    let big = "\u{1}\u{7f}\"x".repeat(50_000);
    let mut workspace = Workspace::new();
    for position in 1..400 {
        let name = format!("{position}-{big}");
        let (kind, data) = match position % 12 {
            0 => ("message.delta", json!({"message": name, "index": 0, "text": big})),
            1 => ("thought", json!({"content": big, "type": big})),
            2 => (
                "tool.started",
                json!({"call": name, "name": big, "input": {"x": big}}),
            ),
            3 => (
                "code.changed",
                json!({"path": name, "action": "create", "content": big, "language": big}),
            ),
            4 => (
                "usage",
                json!({"model": name, "input": 1, "cumulative": true, "scope": "turn"}),
            ),
            5 => ("marker", json!({"label": big})),
            6 => (
                "approval.requested",
                json!({"approval": name, "title": big, "detail": big}),
            ),
            7 => (
                "session.updated",
                json!({"title": big, "task": big, "tags": vec![big.clone(); 3], "agent_avatar": big}),
            ),
            8 => (
                "progress",
                json!({"title": big, "plan": vec![json!({"text": big, "state": big}); 10]}),
            ),
            9 => ("error", json!({"message": big, "code": big})),
            10 => (
                "terminal.resized",
                json!({"cols": 100_000, "rows": 100_000, "terminal": name}),
            ),
            _ => (
                "terminal.output",
                json!({"text": (0..5_000).map(|n| format!("\x1b[38;2;{};{};{n}mx", n % 251, n % 7)).collect::<String>(), "terminal": "main"}),
            ),
        };
        workspace.apply(&FoldEvent::parse(&line(position, kind, data)).unwrap());
    }
    let json = workspace.keyframe().to_json();
    assert!(json.len() <= KEYFRAME_BYTES, "{} bytes", json.len());
    let again = Workspace::from_keyframe(Keyframe::from_json(&json).unwrap().unwrap());
    assert_eq!(again.position(), 399);
}

#[test]
fn a_keyframe_of_another_fold_is_not_read() {
    let mut keyframe: Value = serde_json::from_str(&Workspace::new().keyframe().to_json()).unwrap();
    keyframe["fold"] = json!(FOLD + 1);
    assert_eq!(Keyframe::from_json(&keyframe.to_string()).unwrap(), None);
}

/// Pieces that terminals meet, cut at any place when they are joined and split again.
fn terminal_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-z ]{1,12}".prop_map(String::into_bytes),
        Just(b"\r\n".to_vec()),
        Just("äß€ハ😀".as_bytes().to_vec()),
        (0..48u8).prop_map(|colour| format!("\x1b[{colour}m").into_bytes()),
        (0..255u8, 0..255u8).prop_map(|(r, g)| format!("\x1b[38;2;{r};{g};3m").into_bytes()),
        (1..30u8, 1..90u8).prop_map(|(row, col)| format!("\x1b[{row};{col}H").into_bytes()),
        (1..10u8, 11..24u8).prop_map(|(top, bottom)| format!("\x1b[{top};{bottom}r").into_bytes()),
        prop_oneof![
            Just("\x1b[2J"),
            Just("\x1b[K"),
            Just("\x1b[?1049h"),
            Just("\x1b[?1049l"),
            Just("\x1b7"),
            Just("\x1b8"),
            Just("\x1b[?6h"),
            Just("\x1b[?7l"),
            Just("\x1b[4h"),
            Just("\x1b(0"),
            Just("\x0e"),
            Just("\x1b]0;title\x07"),
            Just("\x1b[?25l"),
            Just("\t"),
            Just("\x1bH"),
            Just("\x1b[3g"),
            Just("\x08"),
            Just("\x1b[5b"),
            Just("\x1bM"),
            Just("\x1bc"),
            Just("\x1bP1$q\x1b\\"),
            Just("\x1b["),
            Just("\x1b]8;;http")
        ]
        .prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 1..6),
    ];
    proptest::collection::vec(piece, 1..12).prop_map(|pieces| pieces.concat())
}

fn any_event() -> impl Strategy<Value = (&'static str, Value)> {
    let name = "[a-c]";
    prop_oneof![
        8 => (terminal_bytes(), prop_oneof![Just("pty"), Just("stdout")], name).prop_map(|(bytes, stream, terminal)| (
            "terminal.output", json!({"base64": STANDARD.encode(bytes), "stream": stream, "terminal": terminal})
        )),
        2 => (1..120i64, 1..40i64, name).prop_map(|(cols, rows, terminal)| (
            "terminal.resized", json!({"cols": cols, "rows": rows, "terminal": terminal})
        )),
        1 => ("[a-z]{1,9}", name).prop_map(|(command, terminal)| (
            "terminal.command", json!({"command": command, "terminal": terminal})
        )),
        2 => (name, "[a-z ]{0,9}").prop_map(|(message, text)| (
            "message.delta", json!({"message": message, "index": 0, "text": text})
        )),
        1 => (name, "[a-z ]{0,9}").prop_map(|(message, text)| (
            "message.completed", json!({"message": message, "role": "assistant", "content": text})
        )),
        2 => (name, "[a-d\n]{0,20}").prop_map(|(path, content)| (
            "code.changed", json!({"path": path, "action": "edit", "content": content})
        )),
        2 => (name, "[a-d]", "[a-d]").prop_map(|(path, old, new)| (
            "code.changed", json!({"path": path, "action": "edit", "patch": format!("@@ -1 +1 @@\n-{old}\n+{new}\n")})
        )),
        1 => (name, name).prop_map(|(path, old)| (
            "code.changed", json!({"path": path, "old_path": old, "action": "rename"})
        )),
        1 => name.prop_map(|path| ("code.changed", json!({"path": path, "action": "delete"}))),
        1 => name.prop_map(|call| ("tool.started", json!({"call": call, "name": "t", "input": {}}))),
        1 => name.prop_map(|call| ("tool.finished", json!({"call": call, "status": "error", "output": "1 failed"}))),
        1 => (name, 0..1000i64, 0.0..9.0f64, any::<bool>()).prop_map(|(model, input, cost, cumulative)| (
            "usage", json!({"model": model, "input": input, "cost_usd": cost, "cumulative": cumulative})
        )),
        1 => "[a-z]{1,9}".prop_map(|text| ("error", json!({"message": text}))),
        1 => "[a-z]{1,9}".prop_map(|text| ("marker", json!({"label": text}))),
        1 => Just(("session.ended", json!({"reason": "completed"}))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_fold_that_goes_on_from_any_keyframe_is_equal(events in proptest::collection::vec(any_event(), 1..60)) {
        let lines = session(&events);
        let mut whole = Workspace::new();
        let mut resumed = Workspace::new();
        for line in &lines {
            let event = FoldEvent::parse(line).unwrap();
            // Contents come from the fold that has them all, as they come from a store elsewhere.
            if let Some(wanted) = resumed.wants(&event) {
                resumed.supply(&whole.content(&wanted).unwrap().clone());
            }
            whole.apply(&event);
            resumed.apply(&event);
            let keyframe = whole.keyframe().to_json();
            prop_assert_eq!(&resumed.keyframe().to_json(), &keyframe);
            prop_assert_eq!(resumed.screen(None), whole.screen(None));
            resumed = Workspace::from_keyframe(Keyframe::from_json(&keyframe).unwrap().unwrap());
        }
    }
}

#[test]
fn a_terminal_that_draws_its_own_screen_is_shown_rather_than_a_log_beside_it() {
    let pty = |text: &str| ("terminal.output", json!({"text": text, "stream": "pty"}));
    let events = [
        pty(""),
        ("terminal.command", json!({"command": "claude"})),
        pty("\x1b[1;3Hscreen"),
        (
            "terminal.command",
            json!({"command": "ls", "terminal": "tools", "call": "c"}),
        ),
        (
            "terminal.output",
            json!({"text": "docs\n", "stream": "stdout", "terminal": "tools", "call": "c"}),
        ),
    ];
    let workspace = folded(&events);
    assert_eq!(workspace.shown_terminal(), Some("main"));
    assert_eq!(
        screen_text(&workspace),
        "  screen",
        "its command is not written above it"
    );
    assert_eq!(folded(&events[3..]).shown_terminal(), Some("tools"));
}
