use std::collections::BTreeMap;

use kulti_schemas::{AgentId, Kind, Meta, SessionId};
use serde_json::{Value, json};

use super::*;

/// A session's row as the fold would write it, without a database.
#[derive(Default)]
struct Fold {
    state: SessionState,
    change: SessionChange,
}

impl Fold {
    fn note(&mut self, source: Source, cause: Option<EventId>, kind: &'static str, data: Value) -> EventId {
        let micros = self.state.sequencer.position() * 1_000_000;
        let meta = Meta {
            event_id: EventId::generate(),
            session_id: SessionId::parse("s").unwrap(),
            agent_id: AgentId::parse("a").unwrap(),
            time: Timestamp(micros),
            received: Timestamp(micros + 500),
            source,
            producer: None,
            generation: None,
            seq: None,
            cause,
            attributes: BTreeMap::new(),
        };
        let event = Event {
            kind: Kind::Known(kind),
            data: serde_json::value::to_raw_value(&data).unwrap(),
            raw: None,
            record: None,
            meta,
        };
        let (position, clock) = self.state.sequencer.accept(&event.meta);
        self.change.note(&mut self.state, &event, position, clock);
        event.meta.event_id
    }

    fn agent(&mut self, kind: &'static str, data: Value) -> EventId {
        self.note(Source::Agent, None, kind, data)
    }

    fn is_ended(&self) -> bool {
        let change_says = match &self.change.end {
            Some(End::Ended { .. }) => true,
            Some(End::Reopened) | None => false,
        };
        assert_eq!(change_says, self.state.ended);
        self.state.ended
    }
}

#[test]
fn the_last_word_wins_and_silence_changes_nothing() {
    let mut fold = Fold::default();
    fold.agent(
        "session.started",
        json!({"task": "one", "title": "t", "tags": ["x"], "visibility": "public"}),
    );
    fold.agent(
        "session.updated",
        json!({"task": "two", "title": null, "visibility": "everybody"}),
    );
    fold.agent("status.changed", json!({"status": "thinking"}));
    assert_eq!(fold.change.task.as_deref(), Some("two"));
    assert_eq!(fold.change.title.as_deref(), Some("t"));
    assert_eq!(fold.change.tags, Some(vec!["x".to_owned()]));
    assert_eq!(fold.change.visibility, Some("public"));
    assert_eq!(fold.change.status.as_deref(), Some("thinking"));
    assert_eq!(fold.change.agent_name, None);
}

#[test]
fn text_loses_its_nul_and_a_deep_neighbour_hides_nothing() {
    let mut fold = Fold::default();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let data = RawValue::from_string(format!(r#"{{"agent_name": "a\u0000b", "else": {deep}}}"#)).unwrap();
    fold.change.note_profile(&data);
    assert_eq!(fold.change.agent_name.as_deref(), Some("ab"));
}

#[test]
fn an_agent_that_goes_on_reopens_its_session_and_a_viewer_does_not() {
    let mut fold = Fold::default();
    fold.agent("session.started", json!({}));
    fold.agent("session.ended", json!({"reason": "completed"}));
    assert!(fold.is_ended());
    fold.note(Source::Viewer, None, "chat", json!({"text": "nice"}));
    assert!(fold.is_ended());
    fold.agent("thought", json!({"content": "one more thing"}));
    assert!(!fold.is_ended());
    assert_eq!(fold.change.end, Some(End::Reopened));
}

#[test]
fn a_timeout_ends_only_the_silence_that_it_names() {
    let mut fold = Fold::default();
    let before = fold.agent("session.started", json!({}));
    let last = fold.agent("thought", json!({"content": "hm"}));
    fold.note(Source::Viewer, None, "chat", json!({"text": "still there?"}));
    fold.note(
        Source::System,
        Some(before),
        "session.ended",
        json!({"reason": "timeout"}),
    );
    assert!(
        !fold.is_ended(),
        "the agent went on after the event that the timeout names"
    );
    fold.note(
        Source::System,
        Some(last),
        "session.ended",
        json!({"reason": "timeout"}),
    );
    assert!(fold.is_ended());
}

#[test]
fn a_timeout_does_not_replace_the_end_that_the_agent_gave() {
    let mut fold = Fold::default();
    let last = fold.agent("session.ended", json!({"reason": "failed"}));
    fold.note(
        Source::System,
        Some(last),
        "session.ended",
        json!({"reason": "timeout"}),
    );
    let Some(End::Ended { reason, .. }) = &fold.change.end else {
        panic!("it ended")
    };
    assert_eq!(reason, "failed");
}
