//! Signals, shutdown budgets and readiness.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// One process's life: components register, a signal or a failure stops them all within their budgets.
#[derive(Clone)]
pub struct Lifecycle {
    inner: Arc<LifecycleInner>,
}

struct LifecycleInner {
    stopping: CancellationToken,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A new one, not yet listening to signals.
    pub fn new() -> Self {
        Lifecycle { inner: Arc::new(LifecycleInner { stopping: CancellationToken::new() }) }
    }
    /// Cancelled when shutdown begins.
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stopping.clone()
    }
    /// Runs a component; `task` must end within `budget` of `stopping()`. One that ends early with an error stops the process.
    pub fn spawn<F>(&self, _name: &'static str, _budget: Duration, _task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        todo!()
    }
    /// Says whether a component works: false makes /readyz answer 503 with `reason`.
    pub fn set_ready(&self, _component: &'static str, _state: Result<(), String>) {
        todo!()
    }
    /// All components and what is wrong with them; not ready from the first moment of shutdown.
    pub fn readiness(&self) -> Vec<(&'static str, Result<(), String>)> {
        todo!()
    }
    /// Stops everything, as a signal does.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }
    /// Waits for SIGINT, SIGTERM or `stop()`, then for every component within its budget.
    ///
    /// # Errors
    /// The first component's failure, or the names of those that did not end in time.
    pub async fn run(&self) -> anyhow::Result<()> {
        todo!()
    }
}
