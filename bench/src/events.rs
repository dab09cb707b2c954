//! What the contenders work on: events as agents write them, about 570 bytes as a record, the same in every run.

use std::collections::BTreeMap;

use kulti_schemas::{AgentId, Event, EventId, Kind, Meta, SessionId, Source, Timestamp};
use serde_json::{Value, json};

const AGENT: &str = "bench-agent";
const WORDS: [&str; 40] = [
    "the",
    "build",
    "of",
    "a",
    "crate",
    "fails",
    "because",
    "feature",
    "is",
    "not",
    "set",
    "so",
    "we",
    "look",
    "at",
    "its",
    "manifest",
    "and",
    "find",
    "that",
    "default",
    "was",
    "switched",
    "off",
    "in",
    "workspace",
    "tests",
    "run",
    "again",
    "with",
    "three",
    "warnings",
    "left",
    "to",
    "read",
    "before",
    "commit",
    "goes",
    "out",
    "now",
];

/// Words that are the same in every run, but no two texts alike.
struct Words(u32);

impl Words {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(WORDS[self.next() as usize % WORDS.len()]);
        }
        text
    }

    fn terminal(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 64);
        while text.len() < bytes {
            let line = self.text(46);
            let code = 31 + self.next() % 6;
            text.push_str(&format!("\u{1b}[{code}m{line}\u{1b}[0m {}\r\n", self.next()));
        }
        text
    }
}

/// Kind and data of the events that a session goes through, in a mix as terminal agents have it.
pub(crate) struct Script {
    steps: Vec<(&'static str, Value)>,
}

impl Script {
    /// The script.
    pub(crate) fn new() -> Self {
        let mut words = Words(7);
        let mut steps = Vec::new();
        for round in 0..16 {
            let call = format!("call-{round}");
            steps.push((
                "thought",
                json!({"content": words.text(430), "type": "reasoning"}),
            ));
            steps.push((
                "tool.started",
                json!({"call": call, "name": "edit", "input":
                {"path": "src/lib.rs", "old": words.text(160), "new": words.text(180), "lines": [12, 40]}}),
            ));
            steps.push((
                "tool.finished",
                json!({"call": call, "status": "ok", "duration_ms": 31 + round,
                "output": words.text(360)}),
            ));
            steps.push((
                "terminal.command",
                json!({"command": words.text(60), "cwd": "/srv/project"}),
            ));
            for _ in 0..4 {
                steps.push((
                    "terminal.output",
                    json!({"text": words.terminal(500), "stream": "pty", "terminal": "main"}),
                ));
            }
            steps.push((
                "code.changed",
                json!({"path": "src/lib.rs", "action": "edit", "language": "rust",
                "content": words.text(900)}),
            ));
            steps.push((
                "usage",
                json!({"model": "a-model", "input": 1200 + round, "output": 85, "cost_usd": 0.0123,
                "scope": "call"}),
            ));
        }
        Script { steps }
    }

    /// The step at this place of a session, counted from 0; the first one starts it.
    fn step(&self, place: usize) -> (&'static str, Value) {
        match place {
            0 => (
                "session.started",
                json!({"task": "make the build work", "title": "A build", "tags": ["rust"]}),
            ),
            _ => self.steps[(place - 1) % self.steps.len()].clone(),
        }
    }

    /// An event as producers write it, on one line; its id has to be put in at the place that is given back.
    pub(crate) fn json_line(&self, session: &str, place: usize) -> (Vec<u8>, usize) {
        let (kind, data) = self.step(place);
        let before = "{\"id\":\"";
        let id = "-".repeat(36);
        let line = format!(
            "{before}{id}\",\"session\":\"{session}\",\"agent\":\"{AGENT}\",\"time\":\"{}\",\"kind\":\"{kind}\",\"data\":{data}}}",
            Timestamp::now().to_rfc3339()
        );
        (line.into_bytes(), before.len())
    }

    /// An event as the gateway makes it.
    pub(crate) fn event(&self, session: &SessionId, place: usize) -> anyhow::Result<Event> {
        let (kind, data) = self.step(place);
        event(session, kind, &data)
    }
}

/// An event of a known kind, now.
pub(crate) fn event(session: &SessionId, kind: &str, data: &Value) -> anyhow::Result<Event> {
    let now = Timestamp::now();
    Ok(Event {
        meta: Meta {
            event_id: EventId::generate(),
            session_id: session.clone(),
            agent_id: AgentId::parse(AGENT)?,
            time: now,
            received: now,
            source: Source::Agent,
            producer: None,
            generation: None,
            seq: None,
            cause: None,
            attributes: BTreeMap::new(),
        },
        kind: Kind::known(kind).unwrap_or_else(|| Kind::Unknown(kind.to_owned())),
        data: serde_json::value::to_raw_value(data)?,
        raw: None,
        record: None,
    })
}
