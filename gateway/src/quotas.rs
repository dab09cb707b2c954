//! Quotas per session, key and viewer: token buckets in memory, for events and for bytes.
//!
//! A partition of the log moves as one, so a session without a limit could hold up all its neighbours. Each
//! gateway counts for itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kulti_schemas::SessionId;
use moka::future::Cache;

use crate::config::{QuotaLimits, RateLimit};

const METERS: u64 = 200_000;
/// A meter that nobody used for this long is full again in any case.
const IDLE: Duration = Duration::from_secs(600);

/// A token bucket. It may be overdrawn by what is taken last, so that nothing is too large to ever pass.
#[derive(Debug)]
struct Bucket {
    limit: RateLimit,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    fn new(limit: RateLimit, now: Instant) -> Self {
        Bucket {
            limit,
            tokens: limit.burst as f64,
            filled_at: now,
        }
    }

    /// How long until something may be taken.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        let rate = self.limit.per_second as f64;
        if self.limit.per_second == 0 {
            return None;
        }
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * rate).min(self.limit.burst as f64);
        self.filled_at = now;
        (self.tokens < 1.0).then(|| Duration::from_secs_f64((1.0 - self.tokens) / rate))
    }
}

/// The two buckets of one session or key.
#[derive(Debug)]
pub(crate) struct Meter {
    buckets: Mutex<(Bucket, Bucket)>,
}

impl Meter {
    fn new(limits: QuotaLimits) -> Self {
        let now = Instant::now();
        Meter {
            buckets: Mutex::new((Bucket::new(limits.events, now), Bucket::new(limits.bytes, now))),
        }
    }

    /// How long until this session or key may write again; `None` if it may now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (events, bytes) = &mut *buckets;
        events.wait(now).max(bytes.wait(now))
    }

    /// Takes one event of so many bytes.
    pub(crate) fn take(&self, event_bytes: usize) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.0.tokens -= 1.0;
        buckets.1.tokens -= event_bytes as f64;
    }
}

/// All meters of this gateway, bounded in number.
pub struct Quotas {
    session_limits: QuotaLimits,
    key_limits: QuotaLimits,
    sessions: Cache<SessionId, Arc<Meter>>,
    keys: Cache<String, Arc<Meter>>,
    viewer_limits: QuotaLimits,
    viewers: Cache<String, Arc<Meter>>,
}

impl Quotas {
    /// With these limits.
    pub fn new(session_limits: QuotaLimits, key_limits: QuotaLimits, viewer_limits: QuotaLimits) -> Self {
        Quotas {
            viewer_limits,
            viewers: Cache::builder().max_capacity(METERS).time_to_idle(IDLE).build(),
            session_limits,
            key_limits,
            sessions: Cache::builder().max_capacity(METERS).time_to_idle(IDLE).build(),
            keys: Cache::builder().max_capacity(METERS).time_to_idle(IDLE).build(),
        }
    }

    pub(crate) async fn session(&self, session: &SessionId) -> Arc<Meter> {
        self.sessions
            .get_with_by_ref(session, async { Arc::new(Meter::new(self.session_limits)) })
            .await
    }

    /// Before there is a key, all who write share the meter of `""`.
    pub(crate) async fn key(&self, key_id: &str) -> Arc<Meter> {
        self.keys
            .get_with_by_ref(key_id, async { Arc::new(Meter::new(self.key_limits)) })
            .await
    }

    /// Of one viewer: a key, or an address before there is a key.
    pub(crate) async fn viewer(&self, name: &str) -> Arc<Meter> {
        self.viewers
            .get_with_by_ref(name, async { Arc::new(Meter::new(self.viewer_limits)) })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meter(per_second: u64, burst: u64) -> Meter {
        let off = RateLimit {
            per_second: 0,
            burst: 0,
        };
        Meter::new(QuotaLimits {
            events: RateLimit { per_second, burst },
            bytes: off,
        })
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let meter = meter(10, 3);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(meter.wait(start), None);
            meter.take(1);
        }
        let wait = meter.wait(start).expect("the burst is spent");
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert_eq!(meter.wait(start + Duration::from_millis(150)), None);
    }

    #[test]
    fn what_is_larger_than_the_burst_passes_once_and_is_paid_off_afterwards() {
        let off = RateLimit {
            per_second: 0,
            burst: 0,
        };
        let limits = QuotaLimits {
            events: off,
            bytes: RateLimit {
                per_second: 100,
                burst: 100,
            },
        };
        let meter = Meter::new(limits);
        let start = Instant::now();
        assert_eq!(meter.wait(start), None);
        meter.take(1000);
        assert!(
            meter
                .wait(start)
                .is_some_and(|wait| wait > Duration::from_secs(8))
        );
        assert_eq!(meter.wait(start + Duration::from_secs(10)), None);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let meter = meter(0, 0);
        for _ in 0..1000 {
            assert_eq!(meter.wait(Instant::now()), None);
            meter.take(1_000_000);
        }
    }
}
