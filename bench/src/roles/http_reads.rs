//! Makes GET requests over connections that stay open, each as soon as the last is answered.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::http_load::answer_length;
use super::load_runtime;
use crate::child::Parent;
use crate::machine::stay_on;

/// What it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HttpReadsSpec {
    pub(crate) address: SocketAddr,
    pub(crate) core: Option<usize>,
    pub(crate) connections: usize,
}

/// What to ask for: each path so many times, the connections taking turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reads {
    pub(crate) paths: Vec<String>,
    pub(crate) times: usize,
}

/// What came of it. Every request was answered with 200.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct ReadsResult {
    pub(crate) requests: u64,
    /// Of the answers, heads included.
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Answers what it is asked until the parent is gone.
pub(super) fn run(spec: &HttpReadsSpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    load_runtime()?.block_on(async {
        let mut parent = Parent::new();
        while let Some(reads) = parent.hear::<Reads>().await? {
            parent.say(&read(spec, &reads).await?)?;
        }
        Ok(())
    })
}

async fn read(spec: &HttpReadsSpec, reads: &Reads) -> anyhow::Result<ReadsResult> {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for index in 0..spec.connections {
        let all = (0..reads.times).flat_map(|_| &reads.paths);
        let requests: Vec<String> = all
            .skip(index)
            .step_by(spec.connections)
            .map(|path| {
                format!(
                    "GET {path} HTTP/1.1\r\nhost: {}\r\naccept-encoding: zstd\r\n\r\n",
                    spec.address
                )
            })
            .collect();
        let address = spec.address;
        running.spawn(async move { read_in_turn(address, &requests).await });
    }
    let mut latencies: Vec<Duration> = Vec::new();
    let mut result = ReadsResult::default();
    while let Some(done) = running.join_next().await {
        let (of_connection, bytes) = done??;
        latencies.extend(of_connection);
        result.bytes += bytes;
    }
    result.seconds = begun.elapsed().as_secs_f64();
    result.requests = latencies.len() as u64;
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = ((latencies.len() as f64 * part) as usize).min(latencies.len().saturating_sub(1));
        latencies
            .get(index)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    };
    (result.p50_ms, result.p99_ms) = (at(0.5), at(0.99));
    Ok(result)
}

async fn read_in_turn(address: SocketAddr, requests: &[String]) -> anyhow::Result<(Vec<Duration>, u64)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut answer = Vec::with_capacity(1 << 20);
    let mut latencies = Vec::with_capacity(requests.len());
    let mut bytes = 0;
    for request in requests {
        let begun = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| answer.len() < whole) {
            anyhow::ensure!(stream.read_buf(&mut answer).await? > 0, "the server closed");
            if whole.is_none() {
                whole = answer_length(&answer)?;
            }
        }
        latencies.push(begun.elapsed());
        bytes += answer.len() as u64;
        let is_well = answer.starts_with(b"HTTP/1.1 200 ");
        let start = &answer[..answer.len().min(400)];
        anyhow::ensure!(is_well, "answered: {}", String::from_utf8_lossy(start));
    }
    Ok((latencies, bytes))
}
