use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

/// A connection that has said what it is.
fn opened(last: Option<u64>) -> Recording {
    let mut recording = Recording::new(last);
    assert_eq!(recording.message(MAGIC, NOW), Ok(Vec::new()));
    recording
}

fn say(recording: &mut Recording, frame: Frame<'_>) -> Vec<Draft> {
    recording
        .message(&frame.encode(), NOW)
        .expect("a frame that may come")
}

fn reset(last_id: u64, screen: &str) -> Frame<'_> {
    Frame::Reset {
        last_id,
        time: 0,
        size: (80, 24),
        screen,
    }
}

/// Kinds with what they hold, the shortest way.
fn told(drafts: &[Draft]) -> Vec<String> {
    let told = |draft: &Draft| match draft.kind {
        "terminal.output" => format!("output {}", draft.data["text"].as_str().expect("text")),
        "terminal.resized" => format!("size {}x{}", draft.data["cols"], draft.data["rows"]),
        "error" => {
            let message = draft.data["message"].as_str().expect("text");
            message.split(" events").next().expect("a number").to_owned() + " missing"
        }
        kind => format!("{kind} {}", draft.data),
    };
    drafts.iter().map(told).collect()
}

#[test]
fn a_stream_is_the_events_that_its_frames_are() {
    let mut recording = opened(None);
    let mut all = say(&mut recording, reset(0, ""));
    for frame in [
        Frame::Output {
            id: 1,
            since: 10,
            text: "hi",
        },
        Frame::Resize {
            id: 2,
            since: 10,
            size: (100, 30),
        },
        Frame::Marker {
            id: 3,
            since: 0,
            label: "here",
        },
        Frame::Input {
            id: 4,
            since: 0,
            text: "q",
        },
        Frame::Exit {
            id: 5,
            since: 5,
            status: 3,
        },
        Frame::End { id: Some(6), time: 0 },
    ] {
        all.extend(say(&mut recording, frame));
    }
    assert_eq!(
        told(&all),
        [
            "size 80x24",
            "output hi",
            "size 100x30",
            r#"marker {"label":"here"}"#,
            r#"custom {"name":"terminal.input","value":{"text":"q"}}"#,
            r#"terminal.exited {"code":3}"#,
            r#"session.ended {"reason":"failed"}"#,
        ]
    );
    assert!(recording.has_ended());
    let numbers: Vec<Option<u64>> = all.iter().map(|draft| draft.number).collect();
    assert_eq!(numbers[1..6], [Some(1), Some(2), Some(3), Some(4), Some(5)]);
}

#[test]
fn times_are_as_far_apart_as_the_producer_says_and_never_later_than_now() {
    let mut recording = opened(None);
    let begun = Frame::Reset {
        last_id: 4,
        time: 3_000_000,
        size: (80, 24),
        screen: "x",
    };
    say(&mut recording, begun);
    let later = Timestamp(NOW.0 + 2_000_000);
    let frame = Frame::Output {
        id: 5,
        since: 1_500_000,
        text: "a",
    }
    .encode();
    let drafts = recording.message(&frame, later).expect("a frame");
    assert_eq!(drafts[0].time, Timestamp(NOW.0 + 1_500_000));
    let frame = Frame::Output {
        id: 6,
        since: u64::MAX,
        text: "a",
    }
    .encode();
    assert_eq!(recording.message(&frame, later).expect("a frame")[0].time, later);
}

#[test]
fn who_comes_back_after_the_last_event_goes_on_without_a_word() {
    let mut recording = opened(Some(7));
    assert_eq!(told(&say(&mut recording, reset(7, "the screen"))), [""; 0]);
    let next = Frame::Output {
        id: 8,
        since: 1,
        text: "on",
    };
    assert_eq!(told(&say(&mut recording, next)), ["output on"]);
    let again = Frame::Output {
        id: 8,
        since: 0,
        text: "on",
    };
    assert_eq!(
        told(&say(&mut recording, again)),
        [""; 0],
        "no event is there twice"
    );
}

#[test]
fn what_never_came_is_counted_and_the_screen_is_drawn_anew() {
    let mut recording = opened(Some(7));
    assert_eq!(
        told(&say(&mut recording, reset(10, "now"))),
        ["3 missing", "size 80x24", "output \u{1b}cnow"]
    );
    // The server was away when the stream began.
    let mut recording = opened(None);
    assert_eq!(
        told(&say(&mut recording, reset(2, "now"))),
        ["2 missing", "size 80x24", "output now"]
    );
    // Another process streams to the same session.
    let mut recording = opened(Some(7));
    assert_eq!(
        told(&say(&mut recording, reset(0, ""))),
        ["size 80x24", "output \u{1b}c"]
    );
    let first = Frame::Output {
        id: 1,
        since: 0,
        text: "first",
    };
    assert_eq!(told(&say(&mut recording, first)), ["output first"]);
}

#[test]
fn text_of_any_length_is_in_events_that_ingest_takes_and_whole() {
    let mut recording = opened(None);
    say(&mut recording, reset(0, ""));
    let text = "€\u{1b}".repeat(100_000);
    let drafts = say(
        &mut recording,
        Frame::Output {
            id: 1,
            since: 0,
            text: &text,
        },
    );
    assert!(drafts.len() > 5);
    let joined: String = drafts
        .iter()
        .map(|draft| draft.data["text"].as_str().expect("text"))
        .collect();
    assert_eq!(joined, text);
    let (last, others) = drafts.split_last().expect("events");
    assert!(last.number == Some(1) && others.iter().all(|draft| draft.number.is_none()));
    assert!(drafts.iter().all(|draft| draft.data.to_string().len() < 1 << 20));
}

#[test]
fn a_stream_that_is_none_is_refused_with_the_reason() {
    assert_eq!(
        Recording::new(None).message(b"ALiS\x02", NOW),
        Err(Refusal::Magic)
    );
    let mut recording = opened(None);
    let early = Frame::Output {
        id: 1,
        since: 0,
        text: "early",
    }
    .encode();
    assert_eq!(recording.message(&early, NOW), Err(Refusal::Order));
    for size in [(0, 24), (80, 0), (721, 24), (80, 201)] {
        let frame = Frame::Reset {
            last_id: 0,
            time: 0,
            size,
            screen: "",
        }
        .encode();
        assert_eq!(
            opened(None).message(&frame, NOW),
            Err(Refusal::Size(size.0, size.1))
        );
    }
    assert_eq!(
        opened(None).message(b"?", NOW),
        Err(Refusal::Frame(FrameError::Kind(b'?')))
    );
}

#[test]
fn a_command_that_ended_ends_the_session_when_the_producer_leaves_without_saying_so() {
    let mut recording = opened(None);
    say(&mut recording, reset(0, ""));
    assert_eq!(recording.close(NOW), None, "it may come back");
    say(
        &mut recording,
        Frame::Exit {
            id: 1,
            since: 0,
            status: 0,
        },
    );
    let end = recording.close(NOW).expect("an end");
    assert_eq!(end.data, json!({"reason": "completed"}));
    assert_eq!(recording.close(NOW), None, "once");
}
