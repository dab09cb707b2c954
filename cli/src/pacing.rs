//! When to show the next event of a recording.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// How fast a replay goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// This many times as fast as it happened.
    Times(f64),
    /// Without waiting.
    Max,
}

impl std::str::FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        match text.trim_end_matches('x').parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
            _ => Err("a number above 0, such as 1, 0.5 or 20, or max".to_owned()),
        }
    }
}

/// The session's clock, as the server keeps it: c(n) = max(c(n-1), min(time, received)) over the agent's events;
/// others do not move it.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    clock: Option<DateTime<Utc>>,
}

impl Pacer {
    /// How long after the event before it this one happened; idle time is cut to `idle_cap` of the session's time.
    pub(crate) fn step(&mut self, event: &Moment, speed: Speed, idle_cap: Duration) -> Duration {
        let own = event.time.min(event.received);
        let now = match (self.clock, event.is_agents) {
            (None, true) => own,
            (None, false) => event.received,
            (Some(clock), true) => clock.max(own),
            (Some(clock), false) => clock,
        };
        let before = self.clock.replace(now).unwrap_or(now);
        let idle = (now - before).to_std().unwrap_or_default().min(idle_cap);
        match speed {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => {
                Duration::try_from_secs_f64(idle.as_secs_f64() / times).unwrap_or(idle_cap)
            }
        }
    }
}

/// What pacing must know of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The producer's clock.
    pub(crate) time: DateTime<Utc>,
    /// The gateway's clock.
    pub(crate) received: DateTime<Utc>,
    /// Whether it is the agent's own.
    pub(crate) is_agents: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(2);

    fn at(time_ms: i64, received_ms: i64) -> Moment {
        let moment = |ms| DateTime::from_timestamp_millis(ms).expect("a moment");
        Moment {
            time: moment(time_ms),
            received: moment(received_ms),
            is_agents: true,
        }
    }

    fn steps(speed: Speed, events: &[Moment]) -> Vec<u128> {
        let mut pacer = Pacer::default();
        events
            .iter()
            .map(|event| pacer.step(event, speed, CAP).as_millis())
            .collect()
    }

    #[test]
    fn events_come_as_far_apart_as_they_happened() {
        let events = [at(0, 5), at(100, 105), at(1_500, 1_600)];
        assert_eq!(steps(Speed::Times(1.0), &events), [0, 100, 1_400]);
        assert_eq!(steps(Speed::Times(10.0), &events), [0, 10, 140]);
        assert_eq!(steps(Speed::Max, &events), [0, 0, 0]);
    }

    #[test]
    fn idle_time_is_cut_before_speed_is_applied() {
        let events = [at(0, 0), at(60_000, 60_000), at(60_100, 60_100)];
        assert_eq!(steps(Speed::Times(1.0), &events), [0, 2_000, 100]);
        assert_eq!(steps(Speed::Times(2.0), &events), [0, 1_000, 50]);
        assert_eq!(steps(Speed::Times(0.5), &events), [0, 4_000, 200]);
    }

    #[test]
    fn clocks_that_jump_never_wait_backwards_nor_into_the_future() {
        let events = [
            at(1_000, 1_000),
            at(0, 1_100),
            at(9_000_000, 1_200),
            at(1_300, 1_300),
        ];
        assert_eq!(steps(Speed::Times(1.0), &events), [0, 0, 200, 100]);
    }

    #[test]
    fn others_do_not_move_the_clock() {
        let mut chat = at(900, 900);
        chat.is_agents = false;
        assert_eq!(
            steps(Speed::Times(1.0), &[at(0, 0), chat, at(1_000, 1_000)]),
            [0, 0, 1_000]
        );
    }

    #[test]
    fn speeds_are_numbers_above_zero_or_max() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("2x".parse(), Ok(Speed::Times(2.0)));
        for wrong in ["0", "-1", "nan", "inf", "fast", ""] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }
}
