//! How fast a recorded session is shown: functions of its events and of what the viewer asked for, without a clock.

mod deadline;
mod outcomes;

use std::time::Duration;

use kulti_schemas::Timestamp;

pub(crate) use deadline::{Beat, Schedule, weight};
pub(crate) use outcomes::Outcomes;

/// How long after the event before it an event is shown at a speed. Idle time is cut first: the cap is of the session's
/// time, as the speed is.
pub(crate) fn pause(before: Timestamp, after: Timestamp, speed: f64, idle_cap: Option<Duration>) -> Duration {
    let apart = Duration::from_micros(u64::try_from(after.0.saturating_sub(before.0)).unwrap_or(0));
    let idle = idle_cap.map_or(apart, |cap| apart.min(cap));
    Duration::try_from_secs_f64(idle.as_secs_f64() / speed).unwrap_or(Duration::MAX)
}

/// The session's clock as the viewer sees it, so long after an event was shown and before the next one is.
pub(crate) fn clock_between(
    before: Timestamp,
    after: Timestamp,
    shown_for: Duration,
    speed: f64,
) -> Timestamp {
    let passed = Duration::try_from_secs_f64(shown_for.as_secs_f64() * speed).unwrap_or(Duration::MAX);
    let passed = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX);
    Timestamp(before.0.saturating_add(passed).min(after.0.max(before.0)))
}

#[cfg(test)]
mod tests {
    use kulti_schemas::{AgentId, EventId, Meta, SessionId, Source};

    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn idle_time_is_cut_before_the_speed_is_applied() {
        let pause = |seconds: i64, speed, cap: Option<u64>| {
            let cap = cap.map(Duration::from_secs);
            pause(Timestamp(0), Timestamp(seconds * SECOND), speed, cap).as_millis()
        };
        assert_eq!(pause(10, 1.0, None), 10_000);
        assert_eq!(pause(10, 4.0, None), 2_500);
        assert_eq!(pause(10, 0.5, Some(2)), 4_000);
        assert_eq!(pause(1, 0.5, Some(2)), 2_000);
        assert_eq!(
            pause(-5, 1.0, None),
            0,
            "a clock never goes back, and no pause is negative"
        );
    }

    #[test]
    fn between_two_events_the_clock_goes_on_to_the_next_and_no_further() {
        let between = |millis| {
            let shown_for = Duration::from_millis(millis);
            clock_between(Timestamp(0), Timestamp(10 * SECOND), shown_for, 2.0).0
        };
        assert_eq!(between(0), 0);
        assert_eq!(between(1_500), 3 * SECOND);
        assert_eq!(between(60_000), 10 * SECOND);
    }

    #[test]
    fn an_agent_whose_clock_is_an_hour_off_is_shown_at_the_same_pace() {
        let pauses = |hours: i64| {
            let (mut clock, mut pauses) = (None, Vec::new());
            for seconds in [0, 1, 5, 5, 60, 61] {
                let received = Timestamp(1_800_000_000 * SECOND + seconds * SECOND);
                let time = Timestamp(received.0 + hours * 3600 * SECOND);
                let next = kulti_session::session_clock(clock, &meta(time, received));
                if let Some(clock) = clock {
                    pauses.push(pause(clock, next, 2.0, Some(Duration::from_secs(30))).as_millis());
                }
                clock = Some(next);
            }
            pauses
        };
        assert_eq!(pauses(0), [500, 2_000, 0, 15_000, 500]);
        assert_eq!(pauses(1), pauses(0), "ahead: when it arrived counts");
        assert_eq!(pauses(-1), pauses(0), "behind: how far apart it was counts");
    }

    fn meta(time: Timestamp, received: Timestamp) -> Meta {
        Meta {
            event_id: EventId::generate(),
            session_id: SessionId::parse("s").expect("an id"),
            agent_id: AgentId::parse("nex").expect("an id"),
            time,
            received,
            source: Source::Agent,
            producer: None,
            generation: None,
            seq: None,
            cause: None,
            attributes: Default::default(),
        }
    }
}
