//! How long to wait before trying again: doubling, with jitter, and never less than the server asked for.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(10);
/// Longer than this is never waited in one go, whatever a server says.
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// Counts the failures in a row.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// After a failure: how long to wait. `asked` is the server's Retry-After.
    pub fn next_delay(&mut self, asked: Option<Duration>) -> Duration {
        let delay = delay(self.failures, asked, rand::random::<f64>());
        self.failures = self.failures.saturating_add(1);
        delay
    }
}

/// `jitter` is from 0 to 1. Half of the wait is fixed, so that a retry never comes at once; the rest is
/// spread, so that many clients do not come back together.
fn delay(failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let ceiling = FIRST
        .saturating_mul(2_u32.saturating_pow(failures.min(16)))
        .min(LONGEST);
    let spread = ceiling.mul_f64(0.5);
    match asked {
        Some(asked) => asked.min(LONGEST_ASKED) + spread.mul_f64(jitter),
        None => spread + spread.mul_f64(jitter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_are_spread() {
        assert_eq!(delay(0, None, 0.0), Duration::from_millis(125));
        assert_eq!(delay(0, None, 1.0), Duration::from_millis(250));
        assert_eq!(delay(2, None, 1.0), Duration::from_secs(1));
        assert_eq!(delay(60, None, 1.0), LONGEST);
    }

    #[test]
    fn never_sooner_than_the_server_asked() {
        assert_eq!(
            delay(0, Some(Duration::from_secs(3)), 0.0),
            Duration::from_secs(3)
        );
        assert!(delay(5, Some(Duration::from_secs(3)), 1.0) > Duration::from_secs(3));
        assert_eq!(delay(0, Some(Duration::from_secs(9_999)), 0.0), LONGEST_ASKED);
    }
}
