//! Makes requests over connections that stay open, at a fixed rate or one after the other, and checks each answer.
//!
//! A request is late from the moment at which it was due, so that a server which stalls does not hide it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use memchr::memmem;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::load_runtime;
use crate::child::Parent;
use crate::events::Script;
use crate::machine::stay_on;

/// Different requests that each connection makes in turn.
const REQUESTS_IN_TURN: usize = 8;

/// What it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HttpLoadSpec {
    pub(crate) address: SocketAddr,
    pub(crate) core: Option<usize>,
    /// For `Authorization`.
    pub(crate) key: String,
    pub(crate) connections: usize,
    /// Requests a second over all connections; none: the next as soon as the last is answered.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
    /// Events in a request: one as JSON, more as NDJSON.
    pub(crate) batch: usize,
    /// Sessions are named `{sessions}-{connection}`.
    pub(crate) sessions: String,
}

/// What it says when it is done. Every request was answered with 200 and all of its events accepted.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct LoadResult {
    pub(crate) requests: u64,
    pub(crate) events: u64,
    pub(crate) request_bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Connects, waits for a word, makes its requests, tells the result.
pub(super) fn run(spec: &HttpLoadSpec) -> anyhow::Result<()> {
    stay_on(spec.core)?;
    load_runtime()?.block_on(async {
        let mut parent = Parent::new();
        let script = Script::new();
        let mut connections = Vec::with_capacity(spec.connections);
        for index in 0..spec.connections {
            connections.push(Connection::open(spec, &script, index).await?);
        }
        parent.say(&spec.connections)?;
        if parent.hear::<bool>().await?.is_none() {
            return Ok(());
        }
        parent.say(&load(spec, connections).await?)?;
        parent.gone().await
    })
}

async fn load(spec: &HttpLoadSpec, connections: Vec<Connection>) -> anyhow::Result<LoadResult> {
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(spec.seconds);
    let mut running = JoinSet::new();
    let between = spec
        .rate
        .map(|rate| Duration::from_secs_f64(spec.connections as f64 / rate));
    for (index, mut connection) in connections.into_iter().enumerate() {
        let first = between.map(|between| begun + between.mul_f64(index as f64 / spec.connections as f64));
        running.spawn(async move {
            connection.make_requests(first.zip(between), end).await?;
            Ok::<_, anyhow::Error>(connection)
        });
    }
    let mut latencies: Vec<Duration> = Vec::new();
    let mut result = LoadResult::default();
    while let Some(connection) = running.join_next().await {
        let connection = connection??;
        result.request_bytes += connection.latencies.len() as u64 * connection.requests[0].bytes.len() as u64;
        latencies.extend(connection.latencies);
    }
    result.seconds = begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = ((latencies.len() as f64 * part) as usize).min(latencies.len().saturating_sub(1));
        latencies
            .get(index)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    };
    (result.p50_ms, result.p99_ms) = (at(0.5), at(0.99));
    result.requests = latencies.len() as u64;
    result.events = result.requests * spec.batch as u64;
    Ok(result)
}

/// A request whose events get new ids each time.
struct Request {
    bytes: Vec<u8>,
    /// Where ids go.
    ids: Vec<usize>,
}

impl Request {
    fn new(spec: &HttpLoadSpec, script: &Script, connection: usize, turn: usize) -> Self {
        let session = format!("{}-{connection}", spec.sessions);
        let mut body = Vec::new();
        let mut ids = Vec::new();
        for index in 0..spec.batch {
            let place = 1 + connection + turn * spec.batch + index;
            let (line, id) = script.json_line(&session, place);
            ids.push(body.len() + id);
            body.extend_from_slice(&line);
            if spec.batch > 1 {
                body.push(b'\n');
            }
        }
        let kind = if spec.batch > 1 {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let mut bytes = format!(
            "POST /v1/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: {kind}\r\n\
             content-length: {}\r\n\r\n",
            spec.address,
            spec.key,
            body.len()
        )
        .into_bytes();
        let head = bytes.len();
        bytes.extend_from_slice(&body);
        ids.iter_mut().for_each(|id| *id += head);
        Request { bytes, ids }
    }

    fn fill_in_ids(&mut self) {
        for id in &self.ids {
            let text = &mut self.bytes[*id..*id + 36];
            Uuid::now_v7().hyphenated().encode_lower(text);
        }
    }
}

struct Connection {
    stream: TcpStream,
    requests: Vec<Request>,
    /// In the answer when all is well.
    wanted: String,
    answer: Vec<u8>,
    latencies: Vec<Duration>,
}

impl Connection {
    async fn open(spec: &HttpLoadSpec, script: &Script, index: usize) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(spec.address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            requests: (0..REQUESTS_IN_TURN)
                .map(|turn| Request::new(spec, script, index, turn))
                .collect(),
            wanted: format!("\"accepted\":{},", spec.batch),
            answer: Vec::with_capacity(16 * 1024),
            latencies: Vec::new(),
        })
    }

    async fn make_requests(
        &mut self,
        schedule: Option<(Instant, Duration)>,
        end: Instant,
    ) -> anyhow::Result<()> {
        let mut turn = 0;
        let mut due = schedule.map_or_else(Instant::now, |(first, _)| first);
        while due < end {
            sleep_until(due).await;
            self.make_request(turn % REQUESTS_IN_TURN).await?;
            self.latencies.push(due.elapsed());
            turn += 1;
            due = schedule.map_or_else(Instant::now, |(_, between)| due + between);
        }
        Ok(())
    }

    async fn make_request(&mut self, turn: usize) -> anyhow::Result<()> {
        let request = &mut self.requests[turn];
        request.fill_in_ids();
        self.stream.write_all(&request.bytes).await?;
        self.answer.clear();
        let whole = loop {
            if let Some(whole) = answer_length(&self.answer)? {
                break whole;
            }
            anyhow::ensure!(
                self.stream.read_buf(&mut self.answer).await? > 0,
                "the server closed"
            );
        };
        while self.answer.len() < whole {
            anyhow::ensure!(
                self.stream.read_buf(&mut self.answer).await? > 0,
                "the server closed"
            );
        }
        let is_well = self.answer.starts_with(b"HTTP/1.1 200 ")
            && memmem::find(&self.answer, self.wanted.as_bytes()).is_some();
        anyhow::ensure!(is_well, "answered: {}", String::from_utf8_lossy(&self.answer));
        Ok(())
    }
}

/// Bytes of head and body together, once the head is there.
pub(super) fn answer_length(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = memmem::find(answer, b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&answer[..head])?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length
        .context("an answer without content-length")?
        .trim()
        .parse()?;
    Ok(Some(head + 4 + length))
}
