use super::*;
use crate::problem::Code;

fn request(body: Value) -> SimpleRequest {
    SimpleRequest::parse(body.to_string().as_bytes()).expect("a request")
}

fn refused(body: Value) -> Problem {
    SimpleRequest::parse(body.to_string().as_bytes()).expect_err("a problem")
}

fn events(request: &SimpleRequest, session: &SessionView) -> Vec<(&'static str, Value)> {
    let mapped = request.to_events(session);
    mapped
        .iter()
        .map(|event| (event.kind, serde_json::from_str(event.data.get()).expect("JSON")))
        .collect()
}

fn live() -> SessionView {
    SessionView::default()
}

fn new() -> SessionView {
    SessionView {
        is_new: true,
        ..SessionView::default()
    }
}

#[test]
fn a_first_post_starts_the_session_with_its_profile() {
    let request =
        request(json!({"agentId": "nex", "agentName": "Nex", "agentAvatar": "⚡", "task": "Building …"}));
    assert_eq!(request.agent.as_str(), "nex");
    let started = json!({"agent_name": "Nex", "agent_avatar": "⚡", "task": "Building …"});
    assert_eq!(events(&request, &new()), [("session.started", started)]);
}

#[test]
fn a_later_post_updates_only_what_changed() {
    let request = request(json!({"agentId": "nex", "agentName": "Nex", "task": "Testing"}));
    let profile = json!({"agent_name": "Nex", "task": "Building"})
        .as_object()
        .expect("an object")
        .clone();
    let session = SessionView { profile, ..live() };
    assert_eq!(
        events(&request, &session),
        [("session.updated", json!({"task": "Testing"}))]
    );
    let profile = json!({"agent_name": "Nex", "task": "Testing"})
        .as_object()
        .expect("an object")
        .clone();
    assert!(events(&request, &SessionView { profile, ..live() }).is_empty());
}

#[test]
fn everything_a_patch_may_hold_is_mapped_in_order() {
    let request = request(json!({
        "agentId": "nex", "status": "live",
        "terminal": [{"type": "command", "content": "npm run dev"}, {"type": "success", "content": "✓ Ready"},
            {"type": "output", "content": "line\n"}],
        "thinking": "hm", "thought": {"type": "decision", "content": "go", "metadata": {"b": 1, "a": []}},
        "code": {"filename": "a.ts", "language": "ts", "content": "x", "action": "write"},
        "preview": {"url": "http://localhost:3000"}, "error": "oh",
    }));
    assert!(request.warnings.is_empty(), "{:?}", request.warnings);
    let expected = [
        ("status.changed", json!({"status": "live"})),
        ("terminal.command", json!({"command": "npm run dev"})),
        (
            "terminal.output",
            json!({"text": "✓ Ready\n", "level": "success"}),
        ),
        ("terminal.output", json!({"text": "line\n"})),
        ("thought", json!({"content": "hm", "type": "general"})),
        (
            "thought",
            json!({"content": "go", "type": "decision", "metadata": {"b": 1, "a": []}}),
        ),
        (
            "code.changed",
            json!({"path": "a.ts", "language": "ts", "content": "x", "action": "create"}),
        ),
        ("preview.opened", json!({"url": "http://localhost:3000"})),
        ("error", json!({"message": "oh"})),
    ];
    assert_eq!(events(&request, &live()), expected);
}

#[test]
fn write_is_edit_for_a_file_that_is_there() {
    let request = request(json!({"agentId": "nex", "code": {"filename": "a.ts", "content": "x"}}));
    assert_eq!(request.written_path(), Some("a.ts"));
    assert_eq!(request.path_afterwards(), Some(("a.ts", true)));
    let session = SessionView {
        path_exists: true,
        ..live()
    };
    assert_eq!(events(&request, &session)[0].1["action"], "edit");
}

#[test]
fn a_deleted_file_is_gone_afterwards() {
    let request = request(json!({"agentId": "nex", "code": {"filename": "a.ts", "action": "delete"}}));
    assert_eq!(request.written_path(), None);
    assert_eq!(request.path_afterwards(), Some(("a.ts", false)));
}

#[test]
fn a_task_may_have_a_title_and_a_description() {
    let both = request(json!({"agentId": "nex", "task": {"title": "T", "description": "D"}}));
    assert_eq!(events(&both, &new())[0].1, json!({"title": "T", "task": "D"}));
    let title = request(json!({"agentId": "nex", "task": {"title": "T"}}));
    assert_eq!(events(&title, &new())[0].1, json!({"title": "T", "task": "T"}));
}

#[test]
fn long_output_becomes_numbered_parts_that_together_are_the_output() {
    let content = "é".repeat(OUTPUT_PART_BYTES);
    let request = request(json!({"agentId": "nex", "terminal": {"type": "info", "content": content}}));
    let events = events(&request, &live());
    assert_eq!(events.len(), 3);
    let mut together = String::new();
    for (index, (_, data)) in events.iter().enumerate() {
        assert_eq!((&data["part"], &data["parts"]), (&json!(index + 1), &json!(3)));
        together.push_str(data["text"].as_str().expect("text"));
    }
    assert_eq!(together, content + "\n");
}

#[test]
fn what_is_wrong_is_named() {
    let table = [
        (json!({}), Code::MissingField, "agentId"),
        (json!({"agentId": null}), Code::MissingField, "agentId"),
        (json!({"agentId": 5}), Code::InvalidField, "agentId"),
        (json!({"agentId": "a\u{0}"}), Code::InvalidId, "agentId"),
        (
            json!({"agentId": "a", "status": {}}),
            Code::InvalidField,
            "status",
        ),
        (
            json!({"agentId": "a", "terminal": "text"}),
            Code::InvalidField,
            "terminal",
        ),
        (
            json!({"agentId": "a", "terminal": [{"type": "output"}]}),
            Code::MissingField,
            "terminal[0].content",
        ),
        (
            json!({"agentId": "a", "thought": {"type": "general"}}),
            Code::MissingField,
            "thought.content",
        ),
        (
            json!({"agentId": "a", "code": {"content": "x"}}),
            Code::MissingField,
            "code.filename",
        ),
        (
            json!({"agentId": "a", "code": {"filename": "x"}}),
            Code::MissingField,
            "code.content",
        ),
        (
            json!({"agentId": "a", "code": {"filename": "x", "action": "move"}}),
            Code::InvalidField,
            "code.action",
        ),
        (
            json!({"agentId": "a", "preview": {}}),
            Code::MissingField,
            "preview.url",
        ),
        (json!({"agentId": "a", "error": 5}), Code::InvalidField, "error"),
    ];
    for (body, code, field) in table {
        let problem = refused(body.clone());
        assert_eq!(
            (problem.code, problem.field.as_deref()),
            (code, Some(field)),
            "{body}"
        );
    }
    assert_eq!(
        SimpleRequest::parse(b"[]").expect_err("no object").code,
        Code::InvalidJson
    );
}

#[test]
fn what_is_not_known_is_kept_or_ignored_with_a_warning() {
    let request = request(json!({
        "agentId": "nex", "colour": "red", "terminal": [{"type": "loud", "content": "x"}],
        "thought": {"type": "dream", "content": "y"},
    }));
    assert_eq!(request.warnings.len(), 3, "{:?}", request.warnings);
    let events = events(&request, &live());
    assert_eq!(events[0], ("terminal.output", json!({"text": "x\n"})));
    assert_eq!(events[1].1["type"], "general");
}
