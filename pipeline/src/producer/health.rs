//! Whether a broker answers, and the client itself: one thread serves its callbacks, another asks for metadata as
//! soon as something looks wrong, and goes on asking until a broker answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};

use super::delivery::Deliveries;
use super::{MAX_RECORD_BYTES, SendError};
use crate::config::{KafkaConfig, set_unless_configured};
use crate::metrics::ProducerMetrics;
use kulti_schemas::Topic;

pub(super) type ProducerClient = BaseProducer<Deliveries>;

/// Between two looks at the queue's length while all is well.
const CALM: Duration = Duration::from_secs(1);
/// How long a broker may take to answer before ingest stops taking events.
const FIRST_ANSWER: Duration = Duration::from_millis(500);
/// The same while none answers; the call returns as soon as one does.
const NEXT_ANSWER: Duration = Duration::from_secs(1);
/// How often callbacks look whether they should end. rdkafka waits for whole milliseconds, and spins through what is
/// left of the time: so there is a little more of it than a wake-up takes.
const POLL: Duration = Duration::from_micros(100_100);

/// What the callbacks tell the watching thread.
#[derive(Default)]
pub(super) struct Suspicion {
    /// Only this; held for a moment.
    state: Mutex<SuspicionState>,
    changed: Condvar,
}

#[derive(Default)]
struct SuspicionState {
    suspected: Option<&'static str>,
    stopped: bool,
}

impl Suspicion {
    pub(super) fn report(&self, what: &'static str) {
        let mut state = self.state();
        if state.suspected.is_none() {
            state.suspected = Some(what);
            self.changed.notify_all();
        }
    }
    fn stop(&self) {
        self.state().stopped = true;
        self.changed.notify_all();
    }
    fn stopped(&self) -> bool {
        self.state().stopped
    }
    /// Waits for news, up to `limit`.
    fn wait(&self, limit: Duration) -> SuspicionState {
        let calm = |state: &mut SuspicionState| state.suspected.is_none() && !state.stopped;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.state(), limit, calm)
            .unwrap_or_else(PoisonError::into_inner);
        SuspicionState {
            suspected: state.suspected.take(),
            stopped: state.stopped,
        }
    }
    fn state(&self) -> MutexGuard<'_, SuspicionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the producer's handle and its two threads share.
pub(super) struct Shared {
    config: KafkaConfig,
    metrics: ProducerMetrics,
    /// Replaced after a fatal error.
    client: RwLock<Arc<ProducerClient>>,
    suspicion: Arc<Suspicion>,
    available: AtomicBool,
}

impl Shared {
    pub(super) fn start(config: &KafkaConfig, metrics: ProducerMetrics) -> anyhow::Result<Arc<Shared>> {
        let suspicion = Arc::new(Suspicion::default());
        let client = create_client(config, &metrics, &suspicion)?;
        let shared = Arc::new(Shared {
            config: config.clone(),
            metrics,
            client: RwLock::new(Arc::new(client)),
            suspicion,
            available: AtomicBool::new(true),
        });
        // Nothing is known yet: ask at once, so that a broker that is not there is noticed before the first event.
        shared.suspicion.report("not asked yet");
        let poller = shared.clone();
        std::thread::Builder::new()
            .name("kulti-producer".to_owned())
            .spawn(move || poller.serve_callbacks())?;
        let watcher = shared.clone();
        std::thread::Builder::new()
            .name("kulti-producer-watch".to_owned())
            .spawn(move || watcher.watch())?;
        Ok(shared)
    }

    pub(super) fn client(&self) -> Arc<ProducerClient> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        self.suspicion.stop();
    }

    /// Counts what only the caller's side knows.
    pub(super) fn count(&self, results: &[Result<(), SendError>], elapsed: Duration) {
        self.metrics.acknowledge.observe(elapsed.as_secs_f64());
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            self.metrics.failures.with_label_values(&[error.reason()]).inc();
        }
    }

    fn serve_callbacks(&self) {
        while !self.suspicion.stopped() {
            self.client().poll(POLL);
        }
    }

    fn watch(&self) {
        loop {
            let news = self.suspicion.wait(CALM);
            if news.stopped {
                return;
            }
            self.metrics.queue.set(i64::from(self.client().in_flight_count()));
            if let Some((code, detail)) = self.client().client().fatal_error() {
                self.replace_client(&format!("{code}: {detail}"));
            }
            if let Some(reason) = news.suspected {
                self.ask_until_answered(reason);
            }
        }
    }

    fn ask_until_answered(&self, reason: &str) {
        let mut limit = FIRST_ANSWER;
        while !self.suspicion.stopped() {
            match self.ask(limit) {
                Ok(()) => {
                    if !self.available.swap(true, Ordering::AcqRel) {
                        tracing::info!("kafka answers again: events are accepted");
                    }
                    self.metrics.available.set(1);
                    return;
                }
                Err(error) => {
                    if self.available.swap(false, Ordering::AcqRel) {
                        tracing::warn!(reason, %error, "kafka does not answer: events are refused");
                    }
                    self.metrics.available.set(0);
                }
            }
            limit = NEXT_ANSWER;
        }
    }

    fn ask(&self, limit: Duration) -> Result<(), rdkafka::error::KafkaError> {
        let topic = self.config.topics().name(Topic::SessionEvents);
        let begun = std::time::Instant::now();
        let answer = self
            .client()
            .client()
            .fetch_metadata(Some(&topic), limit)
            .map(drop);
        if answer.is_err() {
            // An error at once, without a broker asked, must not turn into a busy loop.
            std::thread::park_timeout(limit.saturating_sub(begun.elapsed()));
        }
        answer
    }

    fn replace_client(&self, reason: &str) {
        tracing::error!(
            reason,
            "the idempotent producer failed for good: starting another"
        );
        let replacement = match create_client(&self.config, &self.metrics, &self.suspicion) {
            Ok(client) => Arc::new(client),
            Err(error) => {
                // Asked again in a second.
                return tracing::error!(%error, "no new producer could be made");
            }
        };
        let failed = {
            let mut client = self.client.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *client, replacement)
        };
        // Everybody who waits for the old one is answered.
        failed.purge(PurgeConfig::default().queue().inflight());
        if let Err(error) = failed.flush(CALM) {
            tracing::warn!(%error, "the failed producer did not settle all its records in time");
        }
    }
}

fn create_client(
    config: &KafkaConfig,
    metrics: &ProducerMetrics,
    suspicion: &Arc<Suspicion>,
) -> anyhow::Result<ProducerClient> {
    let timeout_ms = config.delivery_timeout.as_millis().max(1_000).to_string();
    let mut client = config.client_config();
    set_unless_configured(
        &mut client,
        &[
            ("compression.type", "lz4"),
            ("linger.ms", "5"),
            ("queue.buffering.max.messages", "500000"),
            ("queue.buffering.max.kbytes", "131072"),
            // A broker that hangs is given up as early as the records that wait for it.
            ("socket.timeout.ms", &timeout_ms),
            ("retry.backoff.ms", "50"),
        ],
    );
    // What invariants 2 and 4 rest on is not for configuration.
    client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", &timeout_ms)
        .set("message.max.bytes", MAX_RECORD_BYTES.to_string());
    let context = Deliveries {
        metrics: metrics.clone(),
        suspicion: suspicion.clone(),
    };
    Ok(client.create_with_context(context)?)
}
