//! The spine's metrics: `kulti_pipeline_<noun>_<unit>_total`, labels from closed sets (projection, partition, reason),
//! never a session's or an agent's id.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Registered once per process, cloned to whoever counts.
#[derive(Clone)]
pub struct PipelineMetrics {
    /// Of the producer.
    pub(crate) producer: ProducerMetrics,
    /// Of the consumer driver and the projection runner.
    pub(crate) projection: ProjectionMetrics,
}

/// What the producer counts.
#[derive(Clone)]
pub(crate) struct ProducerMetrics {
    /// Records that the log acknowledged.
    pub(crate) records: IntCounter,
    /// Bytes of keys and values that the log acknowledged.
    pub(crate) bytes: IntCounter,
    /// Records that were not acknowledged, by reason.
    pub(crate) failures: IntCounterVec,
    /// Records queued or on their way to the log.
    pub(crate) queue: IntGauge,
    /// Seconds from a request's first record until its last one was acknowledged.
    pub(crate) acknowledge: Histogram,
    /// 1 while a broker answers, 0 while none does.
    pub(crate) available: IntGauge,
}

/// What a projection counts, by its name.
#[derive(Clone)]
pub(crate) struct ProjectionMetrics {
    /// Records whose effect was committed.
    pub(crate) records: IntCounterVec,
    /// Bytes of those records.
    pub(crate) bytes: IntCounterVec,
    /// Seconds that a transaction took, by projection.
    pub(crate) transaction: HistogramVec,
    /// Records behind the end of the log, by projection and partition.
    pub(crate) lag: IntGaugeVec,
    /// Bytes read and not yet applied.
    pub(crate) queue_bytes: IntGaugeVec,
    /// Partitions that this process has taken over and not given up.
    pub(crate) partitions: IntGaugeVec,
    /// Partitions taken over.
    pub(crate) takeovers: IntCounterVec,
    /// Transactions that changed nothing because another owner had taken over.
    pub(crate) fenced: IntCounterVec,
    /// Transactions tried again because the database could not be used.
    pub(crate) retries: IntCounterVec,
    /// Partitions that stopped, by reason.
    pub(crate) stops: IntCounterVec,
    /// Records that could not be read as ours, by reason.
    pub(crate) dead_letters: IntCounterVec,
    /// Records kept as `unreadable`, by reason.
    pub(crate) unreadable: IntCounterVec,
}

/// Seconds: from a local acknowledgement to a stuck one.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
const PROJECTION: &[&str] = &["projection"];
const PROJECTION_AND_REASON: &[&str] = &["projection", "reason"];

impl PipelineMetrics {
    /// Registers everything on `registry`.
    ///
    /// # Errors
    /// If it was registered there before.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(PipelineMetrics {
            producer: ProducerMetrics::register(registry)?,
            projection: ProjectionMetrics::register(registry)?,
        })
    }
}

impl ProducerMetrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = HistogramOpts::new(
            "kulti_pipeline_producer_acknowledge_seconds",
            "Seconds from a request's first record until its last one was acknowledged",
        );
        let metrics = ProducerMetrics {
            records: registered(
                registry,
                IntCounter::new(
                    "kulti_pipeline_producer_records_total",
                    "Records that the log acknowledged",
                )?,
            )?,
            bytes: registered(
                registry,
                IntCounter::new(
                    "kulti_pipeline_producer_bytes_total",
                    "Bytes of keys and values that the log acknowledged",
                )?,
            )?,
            failures: registered(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "kulti_pipeline_producer_failures_total",
                        "Records that were not acknowledged, by reason",
                    ),
                    &["reason"],
                )?,
            )?,
            queue: registered(
                registry,
                IntGauge::new(
                    "kulti_pipeline_producer_queue_records",
                    "Records queued or on their way to the log",
                )?,
            )?,
            acknowledge: registered(registry, Histogram::with_opts(seconds.buckets(SECONDS.to_vec()))?)?,
            available: registered(
                registry,
                IntGauge::new(
                    "kulti_pipeline_producer_available",
                    "1 while a broker answers, 0 while none does",
                )?,
            )?,
        };
        metrics.available.set(1);
        Ok(metrics)
    }
}

impl ProjectionMetrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            registered(
                registry,
                IntCounterVec::new(
                    Opts::new(format!("kulti_pipeline_projection_{name}"), help),
                    labels,
                )?,
            )
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            registered(
                registry,
                IntGaugeVec::new(
                    Opts::new(format!("kulti_pipeline_projection_{name}"), help),
                    labels,
                )?,
            )
        };
        let seconds = HistogramOpts::new(
            "kulti_pipeline_projection_transaction_seconds",
            "Seconds that a transaction took, by projection",
        );
        Ok(ProjectionMetrics {
            records: counter("records_total", "Records whose effect was committed", PROJECTION)?,
            bytes: counter(
                "bytes_total",
                "Bytes of the records whose effect was committed",
                PROJECTION,
            )?,
            transaction: registered(
                registry,
                HistogramVec::new(seconds.buckets(SECONDS.to_vec()), PROJECTION)?,
            )?,
            lag: gauge(
                "lag_records",
                "Records behind the end of the log",
                &["projection", "partition"],
            )?,
            queue_bytes: gauge("queue_bytes", "Bytes read and not yet applied", PROJECTION)?,
            partitions: gauge(
                "partitions",
                "Partitions that this process has taken over and not given up",
                PROJECTION,
            )?,
            takeovers: counter("takeovers_total", "Partitions taken over", PROJECTION)?,
            fenced: counter(
                "fenced_total",
                "Transactions that changed nothing because another owner had taken over",
                PROJECTION,
            )?,
            retries: counter(
                "retries_total",
                "Transactions tried again because the database could not be used",
                PROJECTION,
            )?,
            stops: counter(
                "stops_total",
                "Partitions that stopped, by reason",
                PROJECTION_AND_REASON,
            )?,
            dead_letters: counter(
                "dead_letters_total",
                "Records that could not be read as ours, by reason",
                PROJECTION_AND_REASON,
            )?,
            unreadable: counter(
                "unreadable_total",
                "Records kept as unreadable, by reason",
                PROJECTION_AND_REASON,
            )?,
        })
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
