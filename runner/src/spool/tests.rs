use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::frame::Said;

fn frame() -> Frame {
    Frame {
        session: "s".to_owned(),
        agent: "a".to_owned(),
        producer: "p".to_owned(),
    }
}

fn record(seq: u64, weight: Weight, length: usize) -> Record {
    let place = Place { generation: 1, seq };
    let (kind, data) = match weight {
        Weight::Output => (
            "terminal.output",
            json!({"text": "x".repeat(length), "stream": "pty"}),
        ),
        _ => ("thought", json!({"content": "x".repeat(length)})),
    };
    let id = Uuid::now_v7();
    Record {
        place,
        weight,
        output_bytes: if weight == Weight::Output {
            length as u32
        } else {
            0
        },
        id,
        json: frame().event(place, &Said::at(chrono::Utc::now(), id, kind, &data)),
    }
}

fn open(folder: &Path, limit: u64) -> (Spool, Found) {
    Spool::open(folder, frame(), limit).expect("a spool")
}

/// Everything that is unsent, in order, without confirming any of it but whole batches.
fn drain(spool: &Spool) -> Vec<Record> {
    let mut all = Vec::new();
    loop {
        let batch = spool.next_batch(7, 1 << 20).expect("read");
        if batch.records.is_empty() {
            return all;
        }
        all.extend(batch.records);
        spool.confirm(batch.end).expect("confirmed");
    }
}

fn seqs(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.place.seq).collect()
}

#[test]
fn what_was_appended_comes_once_in_order_over_many_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, found) = open(folder.path(), DEFAULT_LIMIT.min(64 << 16));
    assert_eq!(found, Found::default());
    for seq in 1..=500 {
        spool.append(record(seq, Weight::Output, 1_000));
        if seq % 100 == 0 {
            let batch = spool.next_batch(10, 1 << 20).expect("read");
            assert_eq!(batch.records.len(), 10);
            spool.confirm(batch.end).expect("confirmed");
        }
    }
    assert_eq!(spool.size().unsent, 450);
    assert_eq!(seqs(&drain(&spool)), (51..=500).collect::<Vec<_>>());
    assert_eq!(spool.size().unsent, 0);
    assert!(spool.size().bytes < 128 << 10, "what is sent is removed");
}

#[test]
fn a_process_that_was_killed_is_gone_on_with_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path(), DEFAULT_LIMIT);
    (1..=20).for_each(|seq| spool.append(record(seq, Weight::Structured, 10)));
    let batch = spool.next_batch(5, 1 << 20).expect("read");
    spool.confirm(batch.end).expect("confirmed");
    // Sent, but the answer never came.
    spool.next_batch(5, 1 << 20).expect("read");
    drop(spool);
    let (spool, found) = open(folder.path(), DEFAULT_LIMIT);
    assert_eq!(found.last.seq, 20);
    assert_eq!(found.last_kind.as_deref(), Some("thought"));
    assert_eq!(spool.size().unsent, 15);
    let place = Place {
        generation: 2,
        seq: 1,
    };
    spool.append(Record {
        place,
        ..record(1, Weight::Structured, 10)
    });
    let records = drain(&spool);
    assert_eq!(seqs(&records), (6..=20).chain([1]).collect::<Vec<_>>());
    assert_eq!(records.last().map(|record| record.place), Some(place));
}

/// The one trace among the records.
fn traces(records: &[Record]) -> Vec<Value> {
    let traces = records.iter().filter(|record| record.weight == Weight::Loss);
    traces
        .map(|record| serde_json::from_str::<Value>(&record.json).expect("JSON"))
        .collect()
}

#[test]
fn a_full_spool_lets_the_oldest_output_go_and_says_which_and_keeps_the_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let limit = 2 << 20;
    let (spool, _) = open(folder.path(), limit);
    spool.append(record(1, Weight::Structured, 10));
    let in_flight = spool.next_batch(1, 1 << 20).expect("read");
    for seq in 2..=8_000 {
        let weight = if seq % 10 == 0 {
            Weight::Structured
        } else {
            Weight::Output
        };
        spool.append(record(seq, weight, 1_000));
    }
    let size = spool.size();
    assert!(size.bytes <= limit + (64 << 10), "{size:?}");
    spool.confirm(in_flight.end).expect("confirmed");
    let records = drain(&spool);
    assert_eq!(records.len() as u64, size.unsent - 1);
    let places: Vec<Place> = records.iter().map(|record| record.place).collect();
    assert!(places.is_sorted(), "in order");

    let structured = records
        .iter()
        .filter(|record| record.weight == Weight::Structured)
        .count();
    assert_eq!(structured, 800, "structured events are kept");
    let outputs: Vec<u64> = seqs(
        &records
            .iter()
            .filter(|record| record.weight == Weight::Output)
            .cloned()
            .collect::<Vec<_>>(),
    );
    let traces = traces(&records);
    assert_eq!(traces.len(), 1, "one event for all that went");
    let data = &traces[0]["data"];
    assert_eq!(
        (traces[0]["kind"].as_str(), data["code"].as_str()),
        (Some("error"), Some("spool_full"))
    );
    let (first, last) = (
        data["first_seq"].as_u64().expect("a number"),
        data["last_seq"].as_u64().expect("a number"),
    );
    let gone: Vec<u64> = (2..=8_000)
        .filter(|seq| seq % 10 != 0 && !outputs.contains(seq))
        .collect();
    assert_eq!((gone.first(), gone.last()), (Some(&first), Some(&last)));
    assert_eq!(data["events"], gone.len());
    assert_eq!(data["bytes"], gone.len() * 1_000);
    assert_eq!(size.let_go, gone.len() as u64);
    assert!(
        outputs.iter().all(|seq| *seq < first || *seq > last),
        "the oldest went, but for what was on its way"
    );
}

#[test]
fn killed_between_rewriting_and_removing_nothing_is_there_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = open(folder.path(), 1 << 20);
    let (mut seq, mut copies) = (0, BTreeMap::new());
    while spool.size().let_go == 0 {
        for entry in std::fs::read_dir(folder.path()).expect("files") {
            let path = entry.expect("a file").path();
            copies.insert(path.clone(), std::fs::read(&path).expect("bytes"));
        }
        seq += 1;
        spool.append(record(
            seq,
            if seq % 3 == 0 {
                Weight::Structured
            } else {
                Weight::Output
            },
            2_000,
        ));
    }
    for _ in 0..100 {
        seq += 1;
        spool.append(record(
            seq,
            if seq % 3 == 0 {
                Weight::Structured
            } else {
                Weight::Output
            },
            2_000,
        ));
    }
    drop(spool);
    // As if none of the files that were taken into others had been removed yet.
    copies
        .iter()
        .filter(|(path, _)| !path.exists())
        .for_each(|(path, bytes)| std::fs::write(path, bytes).expect("written"));
    let (spool, found) = open(folder.path(), 1 << 20);
    assert_eq!(found.last.seq, seq);
    let records = drain(&spool);
    let structured: Vec<u64> = seqs(&records).into_iter().filter(|seq| seq % 3 == 0).collect();
    assert_eq!(
        structured,
        (1..=seq / 3).map(|third| third * 3).collect::<Vec<_>>()
    );
    assert!(records.is_sorted_by(|a, b| a.place < b.place));
    assert_eq!(traces(&records).len(), 1);
}

#[test]
fn a_folder_of_the_spool_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("a/b");
    let (spool, _) = open(&folder, DEFAULT_LIMIT);
    spool.append(record(1, Weight::Structured, 1));
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in std::fs::read_dir(&folder).expect("files") {
        assert_eq!(mode(&entry.expect("a file").path()), 0o600);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the power took of the last file, or put there instead: all whole records before it are there.
    #[test]
    fn a_torn_tail_is_cut_and_nothing_before_it_is_lost(
        lengths in prop::collection::vec(0..5_000_usize, 1..40),
        cut in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let (spool, _) = open(folder.path(), 1 << 20);
        let mut ends = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            let files = spool.lock().segments.len();
            spool.append(record(index as u64 + 1, Weight::Structured, *length));
            let state = spool.lock();
            if state.segments.len() != files {
                ends.clear();
            }
            ends.push((index as u64 + 1, state.segments.back().expect("one").bytes));
        }
        let last = spool.lock().segments.back().expect("one").path(folder.path());
        drop(spool);
        let length = std::fs::metadata(&last).expect("there").len();
        let kept = cut.index(length as usize) as u64;
        let mut bytes = std::fs::read(&last).expect("bytes");
        bytes.truncate(kept as usize);
        bytes.extend(&garbage);
        std::fs::write(&last, &bytes).expect("written");

        let whole = ends.iter().filter(|(_, end)| *end <= kept).map(|(seq, _)| *seq).max();
        let expected = whole.unwrap_or(ends[0].0 - 1);
        let (spool, found) = open(folder.path(), 1 << 20);
        prop_assert_eq!(found.damaged_bytes, 0);
        prop_assert_eq!(found.last.seq, expected);
        spool.append(record(expected + 1, Weight::Structured, 3));
        prop_assert_eq!(seqs(&drain(&spool)), (1..=expected + 1).collect::<Vec<_>>());
    }
}
