use proptest::prelude::*;

use super::*;
use crate::spool::DEFAULT_LIMIT;

fn frame() -> Frame {
    Frame {
        session: "s".to_owned(),
        agent: "a".to_owned(),
        producer: "p".to_owned(),
    }
}

/// What a run that is told `tell` puts into its spool: kind and data, in order.
fn recorded(tell: impl FnOnce(&Recorder)) -> (Vec<(String, Value)>, Tally) {
    let folder = tempfile::tempdir().expect("a folder");
    let (spool, _) = Spool::open(folder.path(), frame(), DEFAULT_LIMIT).expect("a spool");
    let spool = Arc::new(spool);
    let (recorder, recording) =
        Recorder::start(Arc::clone(&spool), frame(), 3, Masker::default()).expect("a recorder");
    tell(&recorder);
    recorder.close();
    let tally = recording.join().expect("it ends");
    let batch = spool.next_batch(usize::MAX, usize::MAX).expect("read");
    let events = batch.records.iter().enumerate().map(|(index, record)| {
        let event: Value = serde_json::from_str(&record.json).expect("JSON");
        assert_eq!(
            (event["generation"].as_u64(), event["seq"].as_u64()),
            (Some(3), Some(index as u64 + 1))
        );
        assert_eq!(event["id"], record.id.to_string());
        (
            event["kind"].as_str().expect("a kind").to_owned(),
            event["data"].clone(),
        )
    });
    (events.collect(), tally)
}

/// The bytes that an event says were printed.
fn printed(data: &Value) -> Vec<u8> {
    match data["text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => STANDARD
            .decode(data["base64"].as_str().expect("base64"))
            .expect("base64"),
    }
}

fn all_printed(events: &[(String, Value)]) -> Vec<u8> {
    let outputs = events.iter().filter(|(kind, _)| kind == "terminal.output");
    outputs.flat_map(|(_, data)| printed(data)).collect()
}

#[test]
fn everything_is_in_the_order_in_which_it_happened() {
    let (events, tally) = recorded(|recorder| {
        recorder.happened("session.started", json!({"title": "t"}));
        recorder.printed(b"before \r\n");
        recorder.resized(Size { cols: 100, rows: 30 });
        recorder.printed(b"after\r\n");
        recorder.happened("code.changed", json!({"path": "a", "action": "edit"}));
        recorder.printed(b"last words");
        recorder.happened("session.ended", json!({"reason": "completed"}));
    });
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    let expected = "session.started terminal.output terminal.resized terminal.output code.changed terminal.output session.ended";
    assert_eq!(kinds.join(" "), expected);
    assert_eq!(all_printed(&events), b"before \r\nafter\r\nlast words");
    assert_eq!((tally.events, tally.edits, tally.printed), (7, 1, 26));
}

#[test]
fn what_comes_at_once_is_few_events_and_none_too_large() {
    let (events, _) = recorded(|recorder| (0..3_000).for_each(|_| recorder.printed(&[b'x'; 1_000])));
    assert_eq!(all_printed(&events).len(), 3_000_000);
    assert!(events.len() < 3_000, "{}", events.len());
    assert!(events.iter().all(|(_, data)| printed(data).len() <= OUTPUT_BYTES));
}

#[test]
fn a_secret_that_is_printed_in_pieces_is_in_no_event() {
    let secret = ["ghp_", "aB3dE5gH7jK9", "mN1pQ3sT5vW7", "yZ9bC1dE3fG5"].concat();
    for cut in 1..secret.len() {
        let (events, tally) = recorded(|recorder| {
            recorder.happened("session.started", json!({"task": format!("use {secret}")}));
            recorder.printed(b"token: ");
            recorder.printed(&secret.as_bytes()[..cut]);
            recorder.printed(&secret.as_bytes()[cut..]);
            recorder.printed(b"\r\n");
        });
        let all = String::from_utf8(all_printed(&events)).expect("text");
        assert!(
            !all.contains(&secret) && all.contains("[masked:github-token]"),
            "cut at {cut}: {all}"
        );
        assert!(!events[0].1.to_string().contains(&secret));
        assert!(tally.masked >= 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Text, half characters and arbitrary bytes, in chunks that end anywhere.
    #[test]
    fn what_was_printed_is_recorded_byte_for_byte(
        parts in prop::collection::vec(prop_oneof![
            "[ -~]{0,40}".prop_map(String::into_bytes),
            "\\PC{0,20}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..50),
        ], 0..30),
        chunk in 1..64_usize,
    ) {
        let bytes = parts.concat();
        // What looks like a secret by chance is another test's.
        prop_assume!(Masker::default().mask_bytes(&bytes).counts.is_empty());
        let (events, _) = recorded(|recorder| bytes.chunks(chunk).for_each(|chunk| recorder.printed(chunk)));
        prop_assert_eq!(all_printed(&events), bytes);
    }
}
