use proptest::prelude::*;

use super::*;

const KINDS: [&str; 12] = [
    "thought",
    "tool.started",
    "tool.finished",
    "terminal.command",
    "terminal.exited",
    "usage",
    "status.changed",
    "code.changed",
    "error",
    "marker",
    "chat",
    "message.completed",
];

/// Real time is counted anew at most this often.
const RECOUNT: f64 = 0.25;

/// What an agent does in a step: something, then a run of deltas or of output, then idle time in seconds.
#[derive(Debug, Clone)]
struct Step {
    kind: usize,
    run: usize,
    is_output: bool,
    idle: f64,
}

fn step() -> impl Strategy<Value = Step> {
    let idle = prop_oneof![4 => 0.1..3.0f64, 2 => 3.0..20.0f64, 1 => 20.0..400.0f64];
    let run = prop_oneof![2 => 0..5usize, 2 => 5..60usize, 1 => 60..400usize];
    (0..KINDS.len(), run, any::<bool>(), idle).prop_map(|(kind, run, is_output, idle)| Step {
        kind,
        run,
        is_output,
        idle,
    })
}

/// (seconds since the start, beat), of about so many minutes.
fn session(steps: &[Step], minutes: f64) -> Vec<(f64, Beat)> {
    let mut events = Vec::new();
    let mut now = 0.0;
    for step in steps.iter().cycle() {
        events.push((now, Beat::of(KINDS[step.kind], false)));
        let kind = if step.is_output {
            "terminal.output"
        } else {
            "message.delta"
        };
        for index in 0..step.run {
            now += 0.05;
            events.push((
                now,
                Beat::of(kind, step.is_output && index + 1 == step.run && index % 3 == 0),
            ));
        }
        now += step.idle;
        if now > minutes * 60.0 {
            return events;
        }
    }
    events
}

/// What a viewer was shown: (seconds since it asked, beats of the frame).
struct Shown {
    frames: Vec<(f64, Vec<Beat>)>,
    landed: f64,
}

/// Plays what was recorded, while `live` goes on, in virtual time.
fn catch_up(recorded: &[Beat], live: &[(f64, Beat)], seconds: f64) -> Shown {
    let mut schedule = Schedule::within(Duration::from_secs_f64(seconds));
    schedule.grow(recorded.iter().map(|beat| beat.weight).sum());
    let mut there: Vec<Beat> = recorded.to_vec();
    let mut coming = live.iter().peekable();
    let (mut now, mut next) = (0.0, 0);
    let mut frames = Vec::new();
    loop {
        while let Some((_, beat)) = coming.next_if(|(at, _)| *at <= now) {
            schedule.grow(beat.weight);
            there.push(*beat);
        }
        let page = &there[next..there.len().min(next + 200)];
        if page.is_empty() {
            if now >= seconds {
                return Shown { frames, landed: now };
            }
            let arrival = coming.peek().map_or(seconds, |(at, _)| *at);
            now = arrival.clamp(now, seconds);
            continue;
        }
        let frame = schedule.next(page);
        let due = frame.due.as_secs_f64();
        if due > now {
            now = due.min(now + RECOUNT);
            continue;
        }
        frames.push((now, page[..frame.events].to_vec()));
        schedule.show(frame.weight);
        next += frame.events;
    }
}

/// The largest distance between the share of what was shown and the share of the time that has passed.
fn out_of_step(shown: &Shown, seconds: f64) -> f64 {
    let weight = |beats: &[Beat]| beats.iter().map(|beat| beat.weight).sum::<u64>() as f64;
    let total: f64 = shown.frames.iter().map(|(_, beats)| weight(beats)).sum();
    let (mut sum, mut most) = (0.0, 0.0f64);
    for (at, beats) in &shown.frames {
        let passed = at / seconds;
        most = most.max((sum / total - passed).abs());
        sum += weight(beats);
        most = most.max((sum / total - passed).abs());
    }
    most
}

fn check(steps: &[Step], minutes: f64, seconds: f64) {
    let recorded = session(steps, minutes);
    let live = session(steps, (seconds * 1.5 / 60.0).max(0.2));
    let beats: Vec<Beat> = recorded.iter().map(|(_, beat)| *beat).collect();
    let shown = catch_up(&beats, &live, seconds);

    let sent: Vec<Beat> = shown.frames.iter().flat_map(|(_, beats)| beats.clone()).collect();
    let all: Vec<Beat> = beats
        .iter()
        .chain(live.iter().map(|(_, beat)| beat))
        .copied()
        .collect();
    assert_eq!(sent[..], all[..sent.len()], "all of it, in order, once");
    let came = live.iter().filter(|(at, _)| *at <= shown.landed).count();
    assert_eq!(
        sent.len(),
        beats.len() + came,
        "it has everything when it lands on live"
    );
    assert!(
        (shown.landed - seconds).abs() <= seconds * 0.05,
        "landed after {} of {seconds} s",
        shown.landed
    );
    let most = out_of_step(&shown, seconds);
    assert!(
        most <= 0.2,
        "{most} out of step with {minutes} minutes in {seconds} s"
    );
    for (_, beats) in &shown.frames {
        let alone = beats.iter().filter(|beat| beat.show == Show::Alone).count();
        assert!(alone == 0 || beats.len() == 1, "{beats:?}");
    }
    // Never more frames than a screen can show, but for what has a right to one of its own.
    let together = shown
        .frames
        .iter()
        .filter(|(_, beats)| beats[0].show != Show::Alone)
        .count();
    let alone = shown.frames.len() - together;
    assert!(
        together <= alone * 2 + (seconds / TOGETHER.as_secs_f64()) as usize * 2 + 200,
        "{together} frames beside {alone} in {seconds} s"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_recorded_session_is_caught_up_with_in_time_and_in_step(
        steps in prop::collection::vec(step(), 20..60),
        minutes in 10.0..180.0f64,
    ) {
        for seconds in [10.0, 60.0, 90.0] {
            check(&steps, minutes, seconds);
        }
    }
}

#[test]
fn a_run_of_deltas_is_shown_in_few_frames() {
    let beats = vec![Beat::of("message.delta", false); 10_000];
    let shown = catch_up(&beats, &[], 60.0);
    assert!(shown.frames.len() <= 101, "{} frames", shown.frames.len());
}

#[test]
fn what_must_be_seen_has_a_frame_of_its_own() {
    for kind in ["code.changed", "error", "marker", "chat"] {
        assert_eq!(Beat::of(kind, false).show, Show::Alone, "{kind}");
    }
    assert_eq!(Beat::of("terminal.output", true).show, Show::Alone);
    assert_eq!(Beat::of("tool.finished", true).show, Show::Alone);
    assert_eq!(Beat::of("thought", false).show, Show::Plain);
}

#[test]
fn what_is_hidden_costs_no_time() {
    let mut schedule = Schedule::within(Duration::from_secs(10));
    let seen = Beat::of("code.changed", false);
    schedule.grow(seen.weight * 2);
    let beats = [Beat::HIDDEN, Beat::HIDDEN, seen, Beat::HIDDEN, seen];
    let first = schedule.next(&beats);
    assert_eq!((first.events, first.due), (2, Duration::ZERO));
    schedule.show(first.weight);
    let second = schedule.next(&beats[2..]);
    assert_eq!((second.events, second.due), (1, Duration::from_millis(2500)));
}

#[test]
fn more_than_was_counted_is_shown_by_the_deadline_all_the_same() {
    let mut schedule = Schedule::within(Duration::from_secs(10));
    let beats = [Beat::of("thought", false); 50];
    for _ in 0..50 {
        let frame = schedule.next(&beats);
        assert!(frame.due <= Duration::from_secs(10));
        schedule.show(frame.weight);
    }
}
