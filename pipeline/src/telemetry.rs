//! Logging, and the text of the metrics.

use std::io::IsTerminal as _;

use prometheus::{Registry, TextEncoder};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// Writes the log to standard error. `filter` is what `KULTI_LOG` takes: `info`, `kulti_gateway=debug,info`, ...
///
/// # Errors
/// If the filter cannot be read, or logging was set up before.
pub fn init_logging(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("KULTI_LOG={filter}: {error}; `info` or `kulti_gateway=debug,info` would do")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let on_terminal = std::io::stderr().is_terminal();
    let installed = match format {
        LogFormat::Auto if on_terminal => builder.with_ansi(true).try_init(),
        LogFormat::Text => builder.with_ansi(on_terminal).try_init(),
        LogFormat::Auto | LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("logging is set up twice: {error}"))
}

/// An empty registry with the process's own metrics (memory, processor time, open files; on Linux).
///
/// # Errors
/// Never for a fresh registry.
pub fn new_registry() -> prometheus::Result<Registry> {
    let registry = Registry::new();
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    Ok(registry)
}

/// Content type of `encode_metrics`.
pub const METRICS_CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics as Prometheus reads them.
///
/// # Errors
/// If a collector gave something that has no text form.
pub fn encode_metrics(registry: &Registry) -> prometheus::Result<String> {
    TextEncoder::new().encode_to_string(&registry.gather())
}
