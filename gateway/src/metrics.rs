//! The gateway's metrics. Labels come from closed sets: never a session, an agent or a key.

use std::time::Duration;

use axum::http::StatusCode;
use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Registered once per process.
#[derive(Clone)]
pub struct GatewayMetrics {
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    events: IntCounterVec,
    ingest_bytes: IntCounter,
    secrets_masked: IntCounterVec,
    /// Connections that are open now.
    pub(crate) connections: IntGauge,
    /// Connections that were refused because there were too many.
    pub(crate) connections_refused: IntCounter,
    /// Terminals that asciinema streams here now.
    pub(crate) terminal_producers: IntGauge,
    /// Segments that were read from Postgres for a state.
    pub(crate) segments_read: IntCounter,
    /// Events that were folded for a state, from segments and rows.
    pub(crate) events_folded: IntCounter,
}

/// What became of an event that was sent to ingest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The broker has it.
    Accepted,
    /// It will never be taken as it is.
    Rejected,
    /// It was not taken now.
    Retry,
    /// Nobody waited for the answer: the client went away.
    Abandoned,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Rejected => "rejected",
            Outcome::Retry => "retry",
            Outcome::Abandoned => "abandoned",
        }
    }
}

impl GatewayMetrics {
    /// Registers everything on `registry`.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = HistogramOpts::new(
            "kulti_gateway_request_seconds",
            "Time until a response began, by route.",
        )
        .buckets(vec![
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        ]);
        Ok(GatewayMetrics {
            requests: add(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "kulti_gateway_requests_total",
                        "Requests, by method, route and status.",
                    ),
                    &["method", "route", "status"],
                )?,
            )?,
            request_seconds: add(registry, HistogramVec::new(seconds, &["route"])?)?,
            events: add(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "kulti_gateway_events_total",
                        "Events that were sent to ingest, by outcome.",
                    ),
                    &["outcome"],
                )?,
            )?,
            secrets_masked: add(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "kulti_gateway_secrets_masked_total",
                        "Secrets that were masked before the log, by rule.",
                    ),
                    &["rule"],
                )?,
            )?,
            ingest_bytes: add(
                registry,
                IntCounter::new(
                    "kulti_gateway_ingest_bytes_total",
                    "Bytes of ingest bodies after decompression.",
                )?,
            )?,
            connections: add(
                registry,
                IntGauge::new(
                    "kulti_gateway_connections",
                    "Connections that are open, sockets included.",
                )?,
            )?,
            connections_refused: add(
                registry,
                IntCounter::new(
                    "kulti_gateway_connections_refused_total",
                    "Connections refused above the limit.",
                )?,
            )?,
            terminal_producers: add(
                registry,
                IntGauge::new(
                    "kulti_gateway_terminal_producers",
                    "Terminals that asciinema's command line streams here now.",
                )?,
            )?,
            segments_read: add(
                registry,
                IntCounter::new(
                    "kulti_gateway_segments_read_total",
                    "Segments that were read from Postgres for the state at a moment.",
                )?,
            )?,
            events_folded: add(
                registry,
                IntCounter::new(
                    "kulti_gateway_events_folded_total",
                    "Events that were folded for the state at a moment.",
                )?,
            )?,
        })
    }

    /// Counts one request. `route` is the route's pattern, never the path.
    pub(crate) fn record_request(&self, method: &str, route: &str, status: StatusCode, elapsed: Duration) {
        self.requests
            .with_label_values(&[method, route, status.as_str()])
            .inc();
        self.request_seconds
            .with_label_values(&[route])
            .observe(elapsed.as_secs_f64());
    }

    /// Counts what became of events.
    pub(crate) fn record_events(&self, outcome: Outcome, count: usize) {
        self.events
            .with_label_values(&[outcome.as_str()])
            .inc_by(count as u64);
    }

    /// Counts what was masked. `rule` is one of the rules' names.
    pub(crate) fn record_masked(&self, rule: &str, count: u64) {
        self.secrets_masked.with_label_values(&[rule]).inc_by(count);
    }

    /// Counts a body.
    pub(crate) fn record_ingest_bytes(&self, bytes: usize) {
        self.ingest_bytes.inc_by(bytes as u64);
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
