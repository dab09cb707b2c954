//! Every adapter on its fixture, and what must hold for all of them.

#![allow(missing_docs)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use kulti_adapters::{Format, ImportedEvent, Options, Reader, Report, detect};
use kulti_schemas::{AgentId, Kind, validate_data};
use proptest::prelude::*;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

fn fixtures() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|name| name == "jsonl" || name == "cast")
        })
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).expect("text")))
        .collect()
}

fn read(format: Format, lines: &[&str]) -> (Vec<ImportedEvent>, Report) {
    let name = "fixture".to_owned();
    // What names the agent may stand behind the first lines, where a cut would hide it.
    let agent = AgentId::parse("tester").ok();
    let mut reader = Reader::new(
        format,
        Options {
            name,
            agent,
            ..Options::default()
        },
    );
    let mut events = Vec::new();
    for line in lines {
        reader.read_line(line.as_bytes(), &mut events);
    }
    reader.finish(&mut events);
    (events, reader.report().clone())
}

fn assert_ingest_would_take(events: &[ImportedEvent]) {
    let mut ids = HashSet::new();
    for event in events {
        assert!(ids.insert(event.id), "an id is there twice: {event:?}");
        let kind = Kind::known(event.kind).expect("a kind");
        let data = to_raw_value(&event.data).expect("JSON");
        validate_data(&kind, &data).unwrap_or_else(|error| panic!("{error:?} in {event:?}"));
        assert!(event.to_json().len() <= 1 << 20, "too large");
    }
}

#[test]
fn each_fixture_gives_exactly_what_is_expected_of_it() {
    for (path, text) in fixtures() {
        let format = detect(text.as_bytes()).expect("a format");
        let lines: Vec<&str> = text.lines().collect();
        let (events, report) = read(format, &lines);
        assert_ingest_would_take(&events);
        let told: Vec<Value> = events
            .iter()
            .map(|event| {
                let mut told =
                    json!({"id": event.id, "kind": event.kind, "time": event.time, "data": event.data});
                if let Some(cause) = event.cause {
                    told["cause"] = json!(cause);
                }
                if event.raw.is_some() {
                    told["has_raw"] = true.into();
                }
                told
            })
            .collect();
        let told = json!({"report": report, "events": told});
        let expected = path.with_extension("expected.json");
        let expected = match path.extension().is_some_and(|name| name == "cast") {
            true => path.with_extension("cast.expected.json"),
            false => expected,
        };
        if std::env::var_os("KULTI_BLESS").is_some() {
            fs::write(
                &expected,
                serde_json::to_string_pretty(&told).expect("JSON") + "\n",
            )
            .expect("written");
        }
        let wanted: Value =
            serde_json::from_str(&fs::read_to_string(&expected).expect("expected")).expect("JSON");
        assert_eq!(told, wanted, "{}", path.display());
    }
}

#[test]
fn a_file_cut_at_any_line_and_read_again_gives_the_same_events() {
    for (path, text) in fixtures() {
        let format = detect(text.as_bytes()).expect("a format");
        let lines: Vec<&str> = text.lines().collect();
        let (all, _) = read(format, &lines);
        let all: HashMap<_, _> = all.iter().map(|event| (event.id, event)).collect();
        // A recording of a terminal has its name from its first event.
        let first = if format == Format::Asciicast { 3 } else { 1 };
        for cut in first..=lines.len() {
            let (begun, _) = read(format, &lines[..cut]);
            for event in &begun {
                let same = all.get(&event.id);
                let same =
                    same.unwrap_or_else(|| panic!("{} cut at {cut}: {event:?} is new", path.display()));
                if event.kind != "session.ended" && event.kind != "session.started" {
                    assert_eq!(&event, same, "{} cut at {cut}", path.display());
                }
            }
        }
    }
}

#[test]
fn every_line_is_an_event_or_part_of_one() {
    for (path, text) in fixtures() {
        let format = detect(text.as_bytes()).expect("a format");
        for (index, line) in text.lines().enumerate() {
            let mut reader = Reader::new(
                format,
                Options {
                    live: true,
                    ..Options::default()
                },
            );
            let mut events = Vec::new();
            for before in text.lines().take(index) {
                reader.read_line(before.as_bytes(), &mut events);
            }
            let (count, report) = (events.len(), reader.report().clone());
            reader.read_line(line.as_bytes(), &mut events);
            let now = reader.report();
            // Of what is followed live, whoever follows says when it ends.
            let is_told = events.len() > count
                || line.contains("\"SessionEnd\"")
                || now.merged_lines + now.copies > report.merged_lines + report.copies
                || now.lines == report.lines;
            assert!(is_told, "{} line {}: {line}", path.display(), index + 1);
        }
    }
}

/// Any JSON, small.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
        Just(json!("\u{0}")),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,10}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// All places of a value.
fn places(value: &Value, pointer: String, out: &mut Vec<String>) {
    out.push(pointer.clone());
    match value {
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                places(element, format!("{pointer}/{index}"), out);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                places(
                    member,
                    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")),
                    out,
                );
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn garbage_never_panics_and_is_kept(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8)) {
        for format in Format::ALL {
            let mut reader = Reader::new(format, Options::default());
            let mut events = Vec::new();
            for line in &lines {
                reader.read_line(line, &mut events);
            }
            reader.finish(&mut events);
            assert_ingest_would_take(&events);
        }
    }

    #[test]
    fn records_with_anything_anywhere_give_events_that_ingest_takes(
        seed in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), other in any_json(),
    ) {
        for (_, text) in fixtures() {
            let format = detect(text.as_bytes()).expect("a format");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            let index = seed.index(lines.len());
            let Ok(mut record) = serde_json::from_str::<Value>(&lines[index]) else { continue };
            let mut all = Vec::new();
            places(&record, String::new(), &mut all);
            if let Some(value) = record.pointer_mut(all[place.index(all.len())].as_str()) {
                *value = other.clone();
            }
            lines[index] = record.to_string();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let (events, report) = read(format, &lines);
            assert_ingest_would_take(&events);
            prop_assert!(report.lines >= lines.len() as u64 - 1);
        }
    }
}
