use super::*;

fn read(format: Format, text: &str) -> (Vec<ImportedEvent>, Report) {
    let mut reader = Reader::new(format, Options::default());
    let mut events = Vec::new();
    for line in text.lines() {
        reader.read_line(line.as_bytes(), &mut events);
    }
    reader.finish(&mut events);
    (events, reader.report().clone())
}

#[test]
fn an_unreadable_line_is_kept_and_counted() {
    let text = "{\"type\":\"user\",\"uuid\":\"u\",\"sessionId\":\"s\",\"cwd\":\"/a/shop\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"message\":{\"role\":\"user\",\"content\":\"hi\"}}\n{\"type\":\"user\", oh";
    let (events, report) = read(Format::ClaudeTranscript, text);
    assert_eq!((report.lines, report.unreadable_lines), (2, 1));
    let kept = events
        .iter()
        .find(|event| event.data.get("name").is_some_and(|name| name == "unreadable"))
        .expect("an event");
    assert_eq!(kept.raw.as_deref(), Some("{\"type\":\"user\", oh"));
    assert_eq!(kept.agent.as_str(), "shop");
    assert_eq!(kept.session.as_str(), "claude-s");
}

#[test]
fn the_first_lines_wait_for_the_session_and_get_its_name_and_time() {
    let text = "{\"type\":\"file-history-snapshot\",\"messageId\":\"m\",\"snapshot\":{}}\n{\"type\":\"summary\",\"summary\":\"A title\",\"leafUuid\":\"l\"}\n{\"type\":\"user\",\"uuid\":\"u\",\"sessionId\":\"s\",\"cwd\":\"/a\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"message\":{\"role\":\"user\",\"content\":\"hi\"}}";
    let (events, _) = read(Format::ClaudeTranscript, text);
    let kinds: Vec<&str> = events.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            "session.started",
            "custom",
            "session.updated",
            "message.completed",
            "session.updated",
            "session.ended"
        ]
    );
    assert!(
        events
            .iter()
            .all(|event| event.session.as_str() == "claude-s" && event.time.is_some())
    );
}

#[test]
fn a_record_that_is_there_twice_is_one_and_another_of_its_name_is_its_own() {
    let line = |content: &str| {
        format!(
            "{{\"type\":\"user\",\"uuid\":\"u\",\"sessionId\":\"s\",\"message\":{{\"role\":\"user\",\"content\":\"{content}\"}}}}\n"
        )
    };
    let text = [line("a"), line("a"), line("b"), line("b"), line("a")].concat();
    let (events, report) = read(Format::ClaudeTranscript, &text);
    assert_eq!((report.messages, report.copies), (2, 3));
    let ids: std::collections::HashSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn a_live_source_belongs_to_the_session_it_is_told_and_starts_and_ends_nothing() {
    let options = Options {
        session: SessionId::parse("mine").ok(),
        agent: AgentId::parse("me").ok(),
        live: true,
        ..Options::default()
    };
    let mut reader = Reader::new(Format::CodexExec, options);
    let mut events = Vec::new();
    reader.read_line(b"{\"type\":\"thread.started\",\"thread_id\":\"t\"}", &mut events);
    reader.finish(&mut events);
    let kinds: Vec<&str> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["session.updated"]);
    assert_eq!(events[0].session.as_str(), "mine");
}
