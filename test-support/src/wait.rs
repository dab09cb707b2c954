//! Waiting for a condition instead of sleeping.

use std::time::Duration;

use tokio::time::Instant;

/// How long a condition may take to come true.
pub const WAIT_LIMIT: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// # Panics
/// Naming `what`, if it does not within 30 s.
pub async fn wait_until<F, C>(what: &str, mut condition: C)
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    wait_until_some(what, async || condition().await.then_some(())).await;
}

/// Waits until `attempt` gives something, and returns that.
///
/// # Panics
/// Naming `what`, if it does not within 30 s; also when a single attempt takes that long.
pub async fn wait_until_some<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_LIMIT;
    let mut attempts = 0_u32;
    let outcome = tokio::time::timeout_at(deadline, async {
        loop {
            attempts += 1;
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
    .await;
    match outcome {
        Ok(value) => value,
        Err(_) => panic!("waited {WAIT_LIMIT:?} in vain until {what} ({attempts} attempts)"),
    }
}
