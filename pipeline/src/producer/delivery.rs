//! From librdkafka's delivery reports to one wake-up per request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::oneshot;

use super::SendError;
use super::health::Suspicion;
use crate::client_watch::forward_log;
use crate::metrics::ProducerMetrics;

/// One call of `send`, shared by its records.
pub(super) struct Request {
    total: usize,
    unsettled: AtomicUsize,
    /// Most requests have none, so that a record that went well takes no lock.
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    list: Vec<(usize, SendError)>,
    /// Gone once all are settled.
    wake: Option<oneshot::Sender<()>>,
}

impl Request {
    /// For so many records, and what wakes up when the last of them is settled.
    pub(super) fn new(total: usize) -> (Arc<Request>, oneshot::Receiver<()>) {
        let (wake, all_settled) = oneshot::channel();
        let wake = if total == 0 {
            wake.send(()).ok();
            None
        } else {
            Some(wake)
        };
        let failures = Mutex::new(Failures {
            list: Vec::new(),
            wake,
        });
        (
            Arc::new(Request {
                total,
                unsettled: AtomicUsize::new(total),
                failures,
            }),
            all_settled,
        )
    }

    /// Exactly once per record.
    pub(super) fn settle(&self, index: usize, result: Result<(), SendError>) {
        if let Err(error) = result {
            self.failures().list.push((index, error));
        }
        if self.unsettled.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(wake) = self.failures().wake.take()
        {
            // The caller may be gone: then nobody wants to know.
            wake.send(()).ok();
        }
    }

    /// One per record, in order; after the last was settled.
    pub(super) fn take_results(&self) -> Vec<Result<(), SendError>> {
        debug_assert_eq!(self.unsettled.load(Ordering::Acquire), 0);
        let mut results = vec![Ok(()); self.total];
        for (index, error) in std::mem::take(&mut self.failures().list) {
            results[index] = Err(error);
        }
        results
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One record's way back to its request.
pub(super) struct Delivery {
    request: Arc<Request>,
    index: usize,
}

impl Delivery {
    pub(super) fn new(request: &Arc<Request>, index: usize) -> Box<Delivery> {
        Box::new(Delivery {
            request: request.clone(),
            index,
        })
    }
}

/// librdkafka's callbacks, all on the polling thread.
pub(super) struct Deliveries {
    pub(super) metrics: ProducerMetrics,
    pub(super) suspicion: Arc<Suspicion>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka producer error");
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::BrokerTransportFailure) => {}
            Some(RDKafkaErrorCode::AllBrokersDown) => self.suspicion.report("all brokers are down"),
            // It may be fatal, which its code does not say.
            _ => self.suspicion.report("the producer has an error"),
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let outcome = match result {
            Ok(message) => {
                self.metrics.records.inc();
                self.metrics
                    .bytes
                    .inc_by((message.key_len() + message.payload_len()) as u64);
                Ok(())
            }
            Err((error, _)) => {
                let error = SendError::from(error);
                if matches!(error, SendError::Unavailable(_)) {
                    self.suspicion.report("records were not acknowledged in time");
                }
                Err(error)
            }
        };
        delivery.request.settle(delivery.index, outcome);
    }
}
