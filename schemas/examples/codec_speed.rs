//! Prints what encoding and decoding an event costs: `cargo run --release -p kulti-schemas --example codec_speed`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use kulti_schemas::{
    AgentId, Event, EventId, Kind, Meta, PositionedEvent, SessionId, Source, Timestamp, decode_record,
    encode_record,
};
use serde_json::value::RawValue;

const ROUNDS: u32 = 30_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let output = "   Compiling kulti-schemas v0.1.0 (schemas)\\r\\n\\u001b[32mok\\u001b[0m ".repeat(7);
    let words = "and then the agent thinks a little more about it ".repeat(10);
    let cases = [
        (
            "terminal.output",
            format!(r#"{{"text":"{output}","stream":"pty","terminal":"main"}}"#),
        ),
        (
            "thought",
            format!(r#"{{"content":"{words}","type":"reasoning"}}"#),
        ),
        (
            "tool.started",
            format!(
                r#"{{"call":"c1","name":"edit","input":{{"path":"a.rs","text":"{words}","n":[1,2,3]}}}}"#
            ),
        ),
        (
            "status.changed",
            r#"{"status":"building","detail":"half way","step":3,"of":1.50}"#.to_owned(),
        ),
        (
            "usage",
            r#"{"model":"m","input":1200,"output":50,"cost_usd":0.0123,"scope":"call"}"#.to_owned(),
        ),
    ];
    println!(
        "{:<16} {:>6} {:>10} {:>10} {:>10}",
        "kind", "bytes", "encode ns", "decode ns", "render ns"
    );
    for (kind, data) in cases {
        let event = Event {
            meta: Meta {
                event_id: EventId::generate(),
                session_id: SessionId::generate(),
                agent_id: AgentId::parse("nex")?,
                time: Timestamp::now(),
                received: Timestamp::now(),
                source: Source::Agent,
                producer: Some("kulti-run".into()),
                generation: Some(1),
                seq: Some(1234),
                cause: None,
                attributes: BTreeMap::new(),
            },
            kind: Kind::known(kind).ok_or("unknown kind")?,
            data: RawValue::from_string(data)?,
            raw: None,
            record: None,
        };
        let record = Bytes::from(encode_record(&event)?);
        let key = event.meta.session_id.as_str().as_bytes();
        let encode = nanoseconds(|| drop(black_box(encode_record(black_box(&event)))));
        let decode = nanoseconds(|| drop(black_box(decode_record(Some(key), Some(black_box(&record))))));
        let event = PositionedEvent {
            position: 1234,
            clock: Timestamp::now(),
            event,
        };
        let mut out = Vec::new();
        let render = nanoseconds(|| {
            out.clear();
            black_box(&event).write_json(&mut out);
        });
        println!(
            "{kind:<16} {:>6} {encode:>10} {decode:>10} {render:>10}",
            record.len()
        );
    }
    Ok(())
}

/// Of one call, in the best of nine rounds: others use the machine too.
fn nanoseconds(mut work: impl FnMut()) -> u64 {
    let started = Instant::now();
    let mut round = || {
        let start = processor_time(started);
        (0..ROUNDS).for_each(|_| work());
        (processor_time(started) - start) / u64::from(ROUNDS)
    };
    (0..9).map(|_| round()).min().unwrap_or_default()
}

/// Nanoseconds on a processor where the system tells them (Linux), else by the clock.
fn processor_time(started: Instant) -> u64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let told = told.and_then(|text| text.split(' ').next()?.parse().ok());
    told.unwrap_or_else(|| started.elapsed().as_nanos() as u64)
}
