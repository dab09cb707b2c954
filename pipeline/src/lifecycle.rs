//! Signals, shutdown budgets and readiness.
//!
//! One `Lifecycle` per process. Components are spawned on it; a signal, `stop()` or the failure of one of them
//! begins the shutdown, in which each has its budget and all together ten seconds.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The whole process ends within this, whatever budgets say.
pub const SHUTDOWN_BUDGET: Duration = Duration::from_secs(10);
/// Under this name readiness tells that shutdown has begun.
const PROCESS: &str = "process";

/// One process's life: components register, a signal or a failure stops them all within their budgets.
#[derive(Clone)]
pub struct Lifecycle {
    inner: Arc<LifecycleInner>,
}

struct LifecycleInner {
    stopping: CancellationToken,
    /// Never held across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ready: BTreeMap<&'static str, Result<(), String>>,
    components: Vec<Component>,
    first_failure: Option<anyhow::Error>,
}

struct Component {
    name: &'static str,
    budget: Duration,
    /// Ends when the component has ended and its failure is noted.
    watched: JoinHandle<()>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A new one, not yet listening to signals.
    pub fn new() -> Self {
        let inner = LifecycleInner {
            stopping: CancellationToken::new(),
            state: Mutex::default(),
        };
        Lifecycle {
            inner: Arc::new(inner),
        }
    }

    /// Cancelled when shutdown begins.
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stopping.clone()
    }

    /// Runs a component; `task` must end within `budget` of `stopping()`. One that ends early with an error, or
    /// panics, stops the process.
    pub fn spawn<F>(&self, name: &'static str, budget: Duration, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let lifecycle = self.clone();
        let running = tokio::spawn(task);
        let watched = tokio::spawn(async move {
            // If the wait for it is given up, so is the component.
            let running = AbortOnDrop(running);
            lifecycle.note_end(name, running.ended().await);
        });
        self.state().components.push(Component {
            name,
            budget,
            watched,
        });
    }

    /// Says whether a component works: false makes /readyz answer 503 with `reason`.
    pub fn set_ready(&self, component: &'static str, state: Result<(), String>) {
        let before = self.state().ready.insert(component, state.clone());
        match (before, state) {
            (Some(Err(_)), Ok(())) => tracing::info!(component, "{component} works again"),
            (Some(Err(before)), Err(now)) if before == now => {}
            (_, Err(reason)) => tracing::warn!(component, reason, "{component} does not work"),
            (_, Ok(())) => {}
        }
    }

    /// All components and what is wrong with them; not ready from the first moment of shutdown.
    pub fn readiness(&self) -> Vec<(&'static str, Result<(), String>)> {
        let mut list: Vec<_> = self
            .state()
            .ready
            .iter()
            .map(|(name, state)| (*name, state.clone()))
            .collect();
        if self.inner.stopping.is_cancelled() {
            list.push((PROCESS, Err("shutting down".to_owned())));
        }
        list
    }

    /// Stops everything, as a signal does.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// Waits for SIGINT, SIGTERM or `stop()`, then for every component within its budget. A second signal ends the
    /// wait at once.
    ///
    /// # Errors
    /// The first component's failure, or the names of those that did not end in time.
    pub async fn run(&self) -> anyhow::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, signals) = mpsc::channel(2);
        let listener = tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                if sender.send(name).await.is_err() {
                    return;
                }
            }
        });
        let _listener = AbortOnDrop(listener);
        self.run_until(signals).await
    }

    async fn run_until(&self, mut signals: mpsc::Receiver<&'static str>) -> anyhow::Result<()> {
        tokio::select! {
            Some(name) = signals.recv() => tracing::info!(signal = name, "{name}: shutting down"),
            () = self.inner.stopping.cancelled() => tracing::info!("shutting down"),
        }
        self.inner.stopping.cancel();
        let ended = tokio::select! {
            late = self.wait_for_components(Instant::now()) => match late.as_slice() {
                [] => Ok(()),
                names => Err(anyhow::anyhow!("did not end in time: {}", names.join(", "))),
            },
            Some(name) = signals.recv() => Err(anyhow::anyhow!("{name} again: ended at once")),
        };
        let mut state = self.state();
        for component in state.components.drain(..) {
            component.watched.abort();
        }
        state.first_failure.take().map_or(ended, Err)
    }

    /// Each until its budget, all counted from the same moment. Returns the names of those that were late.
    async fn wait_for_components(&self, begun: Instant) -> Vec<&'static str> {
        let mut late = Vec::new();
        while let Some(component) = self.take_component() {
            let limit = begun + component.budget.min(SHUTDOWN_BUDGET);
            let watched = AbortOnDrop(component.watched);
            if tokio::time::timeout_at(limit, watched.ended()).await.is_err() {
                let (name, budget_ms) = (component.name, component.budget.as_millis() as u64);
                tracing::error!(component = name, budget_ms, "{name} did not end in time");
                late.push(name);
            }
        }
        late
    }

    /// The shortest budget first, so that a late one is ended at its own limit.
    fn take_component(&self) -> Option<Component> {
        let mut state = self.state();
        let shortest = (0..state.components.len()).min_by_key(|index| state.components[*index].budget)?;
        Some(state.components.swap_remove(shortest))
    }

    fn note_end(&self, name: &'static str, end: Result<anyhow::Result<()>, tokio::task::JoinError>) {
        let failure = match end {
            Ok(Ok(())) => {
                tracing::debug!(component = name, "{name} ended");
                return;
            }
            Ok(Err(error)) => error.context(format!("{name} failed")),
            Err(error) if error.is_panic() => anyhow::anyhow!("{name} panicked: {error}"),
            Err(_) => return,
        };
        tracing::error!(
            component = name,
            error = format!("{failure:#}"),
            "{name} failed: shutting down"
        );
        self.state().first_failure.get_or_insert(failure);
        self.inner.stopping.cancel();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that does not outlive its owner.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    async fn ended(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
