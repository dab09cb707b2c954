//! One event per kind that uses every field, and members that only `extra` can hold.

use std::collections::BTreeMap;

use kulti_schemas::{AgentId, Event, EventId, Kind, Meta, SessionId, Source, Timestamp};
use serde_json::value::RawValue;

pub const SESSION: &str = "frozen-1";

/// The sample of a kind's newest version. A new version whose fields matter adds them here.
pub fn data(kind: &str) -> &'static str {
    match kind {
        "session.started" => {
            r#"{"task":"Build a parser","title":"Parser ⚡","visibility":"unlisted","tags":["rust","a\"b"],"agent_name":"Nex","agent_avatar":"⚡","forked_from":{"session":"s-0","event":"01936b2e-8d3c-7cc0-b1a2-0123456789ab"},"unknown":{"a":[1.0,null]}}"#
        }
        "session.updated" => r#"{"title":"Parser, again","visibility":"public","tags":[],"task":null}"#,
        "session.ended" => r#"{"reason":"completed","result":{"tests":12}}"#,
        "session.erased" => r#"{"reason":"asked for"}"#,
        "thought" => {
            r#"{"content":"Why?\nBecause.","type":"reasoning","metadata":{"confidence":0.50},"weight":1.0}"#
        }
        "message.delta" => {
            r#"{"message":"m1","index":3,"text":"Hel","role":"assistant","channel":"thinking"}"#
        }
        "message.completed" => {
            r#"{"message":"m1","role":"assistant","content":"Hello 👋","model":"some-model"}"#
        }
        "tool.started" => {
            r#"{"call":"c1","name":"edit","input":{"path":"a.rs","lines":[1,2]},"parent":"c0"}"#
        }
        "tool.finished" => r#"{"call":"c1","status":"error","output":"no such file","duration_ms":12.5}"#,
        "terminal.command" => r#"{"command":"cargo test","cwd":"/src","terminal":"main","call":"c1"}"#,
        "terminal.output" => {
            r#"{"text":"\u001b[32mok\u001b[0m\u0000 é\r\n","stream":"pty","level":"success","terminal":"main","call":"c1"}"#
        }
        "terminal.exited" => r#"{"code":-1,"terminal":"main","call":"c1"}"#,
        "terminal.resized" => r#"{"cols":120,"rows":30.0,"terminal":"main"}"#,
        "code.changed" => {
            r#"{"path":"src/b.rs","action":"rename","content":"fn main() {}\n","patch":"@@ -1 +1 @@\n","language":"rust","old_path":"src/a.rs","call":"c1"}"#
        }
        "status.changed" => r#"{"status":"building","detail":"2 of 3"}"#,
        "progress" => {
            r#"{"title":"Porting","done":2,"total":3,"plan":[{"text":"read","state":"done"},{"text":"write","state":"doing","note":1e3}]}"#
        }
        "preview.opened" => r#"{"url":"http://127.0.0.1:3000/","port":3000}"#,
        "preview.closed" => r#"{"url":"http://127.0.0.1:3000/"}"#,
        "error" => r#"{"message":"boom","code":"E1","fatal":true,"stack":"at a\nat b"}"#,
        "usage" => {
            r#"{"model":"some-model","input":9007199254740993,"output":2,"cache_read":3,"cache_write":4,"cost_usd":0.0123,"scope":"turn","cumulative":false}"#
        }
        "marker" => r#"{"label":"It compiles","level":2}"#,
        "chat" => {
            r#"{"text":"nice","name":"Ada","at":"01936b2e-8d3c-7cc0-b1a2-0123456789ab","reply_to":"01936b2e-8d3c-8cc0-b1a2-0123456789ab"}"#
        }
        "memory" => r#"{"key":"style","content":"Prefers tabs","tags":["preferences"]}"#,
        "custom" => r#"{"name":"acme.deploy","value":[{"b":1,"a":-0.0},null]}"#,
        "clip" => {
            r#"{"title":"The fix","from":"01936b2e-8d3c-7cc0-b1a2-0123456789ab","to":"01936b2e-8d3c-7cc0-b1a2-0123456789AC"}"#
        }
        "reaction" => r#"{"emoji":"🎉","at":"01936b2e-8d3c-7cc0-b1a2-0123456789ab"}"#,
        "chat.delivered" | "chat.read" => r#"{"message":"01936b2e-8d3c-7cc0-b1a2-0123456789ab"}"#,
        "moderation" => {
            r#"{"action":"timeout","target":"viewer-9","until":"2026-01-02T03:04:05Z","reason":"spam"}"#
        }
        "approval.requested" => {
            r#"{"approval":"a1","title":"Deploy?","detail":"to production","options":["yes","no"],"expires_at":"2026-01-02T03:04:05+01:00"}"#
        }
        "approval.resolved" => r#"{"approval":"a1","decision":"yes","by":"ada","note":"go"}"#,
        "redaction" => {
            r#"{"events":[{"event":"01936b2e-8d3c-7cc0-b1a2-0123456789ab","field":"text","spans":[[0,4]]}],"reason":"a password"}"#
        }
        _ => panic!("{kind} has no sample: add one"),
    }
}

pub fn event(kind: &'static str) -> Event {
    Event {
        meta: Meta {
            event_id: EventId::parse("01936b2e-8d3c-7cc0-b1a2-00000000feed").unwrap(),
            session_id: SessionId::parse(SESSION).unwrap(),
            agent_id: AgentId::parse("Nex \"2\"").unwrap(),
            time: Timestamp::parse("2026-01-02T03:04:05.000001Z").unwrap(),
            received: Timestamp::parse("2026-01-02T03:04:05.250000Z").unwrap(),
            source: Source::Agent,
            producer: Some("kulti-run".into()),
            generation: Some(1),
            seq: Some(42),
            cause: Some(EventId::parse("01936b2e-8d3c-8cc0-b1a2-00000000cafe").unwrap()),
            attributes: BTreeMap::from([("build".into(), "1".into())]),
        },
        kind: Kind::known(kind).unwrap(),
        data: RawValue::from_string(data(kind).to_owned()).unwrap(),
        raw: (kind == "thought").then(|| "{\"type\":\"thinking\"}".to_owned()),
        record: None,
    }
}
