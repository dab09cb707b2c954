//! What a worker does while its partition cannot go on.

use std::time::Duration;

use super::super::backoff::Backoff;
use super::super::row;
use super::super::status::Problem;
use super::{LOG_TRUNCATED, Projection, Stopped, Worker};

/// How often a stopped partition's row is looked at.
const PARKED_LOOK: Duration = Duration::from_secs(1);
/// How many such looks until the log is asked again.
const PARKED_LOOKS_PER_QUESTION: u32 = 10;

impl<P: Projection> Worker<P> {
    /// Waits until the partition's row no longer says that it is stopped, or the log is again the one that was read.
    pub(super) async fn park(&self, stopped: Stopped) {
        self.status
            .set_problem(self.partition, Problem::Stopped(stopped.reason.clone()));
        let mut looks = 0_u32;
        while !self.given_up.is_cancelled() {
            self.wait(PARKED_LOOK).await;
            match row::is_stopped(&self.context.pool, self.projection.name(), self.partition).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::debug!(%error, "a stopped partition's row could not be read"),
            }
            if looks.is_multiple_of(PARKED_LOOKS_PER_QUESTION) && stopped.reason == LOG_TRUNCATED {
                self.go_on_if_log_is_back(&stopped.owned).await;
            }
            looks += 1;
        }
    }

    pub(super) async fn retry_later(&self, detail: &str, backoff: &mut Backoff) {
        self.context
            .metrics
            .projection
            .retries
            .with_label_values(&[self.projection.name()])
            .inc();
        // Readiness logs it, once for all partitions.
        self.status
            .set_problem(self.partition, Problem::Passing(detail.to_owned()));
        let wait = backoff.next_wait();
        tracing::debug!(
            kafka.partition = self.partition,
            detail,
            wait_ms = wait.as_millis(),
            "partition is tried again"
        );
        self.wait(wait).await;
    }

    /// Ends early when the partition is given up.
    pub(super) async fn wait(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.given_up.cancelled() => {}
        }
    }
}
