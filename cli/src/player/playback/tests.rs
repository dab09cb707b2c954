use serde_json::json;

use super::*;
use crate::event_line::EventLine;

/// A session whose events print their number, a second apart.
fn tape(events: usize) -> Tape {
    let mut tape = Tape::new().expect("a file");
    for number in 1..=events {
        let (minute, second) = (number / 60 % 60, number % 60);
        let time = format!("2026-01-01T0{}:{minute:02}:{second:02}Z", number / 3_600);
        let json = json!({"position": number, "id": format!("e{number}"), "session": "s", "agent": "a",
            "time": time, "received": time, "source": "agent", "kind": "terminal.output",
            "data": {"text": format!("line {number}\r\n"), "stream": "pty"}});
        let event = EventLine {
            session: "s".to_owned(),
            position: number as i64,
            id: format!("e{number}"),
            json: json.to_string(),
        };
        tape.push(&event).expect("it is written");
    }
    tape
}

fn fold(events: usize) -> String {
    let mut tape = tape(events);
    let mut workspace = Workspace::new();
    for number in 0..events {
        tape.apply(number, &mut workspace).expect("it is read");
    }
    workspace.keyframe().to_json()
}

fn shown(playback: &Playback) -> String {
    playback.workspace.keyframe().to_json()
}

#[test]
fn events_are_shown_when_they_are_due() {
    let mut tape = tape(10);
    let start = Instant::now();
    let mut playback = Playback::new(Speed::Times(2.0), start);
    for (ms, count) in [(0, 1), (499, 1), (500, 2), (1_600, 4), (60_000, 10)] {
        let now = start + Duration::from_millis(ms);
        playback.advance(&mut tape, now).expect("it is read");
        assert_eq!(playback.count, count, "after {ms} ms");
    }
    assert_eq!(playback.next_due(&tape, start + Duration::from_secs(60)), None);
}

#[test]
fn wherever_it_is_moved_it_shows_the_fold_of_the_events_up_to_there() {
    let mut tape = tape(3_000);
    let now = Instant::now();
    let mut playback = Playback::new(Speed::Times(1.0), now);
    let mut states = 0;
    for count in [3_000, 0, 1, 2_999, 255, 256, 257, 1_500, 1_499, 2_700, 300] {
        states += usize::from(tape.state_before(count, 0).expect("it is read").is_some());
        playback.seek(count, &mut tape, now).expect("it is read");
        assert_eq!(playback.count, count);
        assert!(shown(&playback) == fold(count), "after {count} events");
    }
    assert!(states > 4, "states are kept on the way: {states}");
}

#[test]
fn keys_move_by_events_seconds_and_tenths() {
    let mut tape = tape(101);
    let now = Instant::now();
    let mut playback = Playback::new(Speed::Times(1.0), now);
    let steps = [
        (Move::Tenth(5), 50),
        (Move::Seconds(5.0), 55),
        (Move::Seconds(-10.0), 45),
        (Move::Events(1), 46),
        (Move::Events(-1), 45),
        (Move::End, 101),
        (Move::Seconds(60.0), 101),
        (Move::Tenth(0), 0),
        (Move::Events(-1), 0),
        (Move::Seconds(-5.0), 1),
    ];
    for (step, count) in steps {
        playback.apply(step, &mut tape, now).expect("it is read");
        assert_eq!(playback.count, count, "{step:?}");
    }
}

#[test]
fn a_paused_replay_stands_still_and_goes_on_where_it_was() {
    let mut tape = tape(100);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut playback = Playback::new(Speed::Times(1.0), start);
    playback.advance(&mut tape, at(9)).expect("it is read");
    playback
        .apply(Move::Toggle, &mut tape, at(9))
        .expect("it is read");
    playback.advance(&mut tape, at(500)).expect("it is read");
    assert_eq!((playback.count, playback.next_due(&tape, at(500))), (10, None));
    playback
        .apply(Move::Toggle, &mut tape, at(500))
        .expect("it is read");
    playback.advance(&mut tape, at(501)).expect("it is read");
    assert_eq!(playback.count, 11);
}

#[test]
fn speed_changes_do_not_move_it() {
    let mut tape = tape(100);
    let start = Instant::now();
    let mut playback = Playback::new(Speed::Times(1.0), start);
    let now = start + Duration::from_secs(9);
    playback.advance(&mut tape, now).expect("it is read");
    for _ in 0..12 {
        playback
            .apply(Move::Faster(true), &mut tape, now)
            .expect("it is read");
    }
    assert_eq!((playback.speed, playback.count), (Speed::Max, 10));
    for _ in 0..20 {
        playback
            .apply(Move::Faster(false), &mut tape, now)
            .expect("it is read");
    }
    assert_eq!((playback.speed, playback.count), (Speed::Times(0.125), 10));
    assert_eq!(playback.time(&tape, now), Duration::from_secs(9));
}
