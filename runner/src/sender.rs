//! Sends events and does not let go of one before the server has decided about it.
//!
//! Every event has its id before it is first sent, so that a retry is never a second event.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::ClientError;
use crate::problem::{Problem, retry_after};

/// Events in one request, at the most.
pub const BATCH_EVENTS: usize = 500;
/// Bytes in one request, unless one event alone has more.
pub const BATCH_BYTES: usize = 4 << 20;
/// For one request and its answer.
const TIMEOUT: Duration = Duration::from_secs(60);
const WORTH_COMPRESSING: usize = 4 << 10;
const ZSTD_LEVEL: i32 = 1;

/// An event as it is sent.
#[derive(Debug, Clone)]
pub struct OutgoingEvent {
    /// Its id.
    pub id: String,
    /// Its JSON, with that id, on one line.
    pub json: String,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The event's id.
    #[serde(default)]
    pub id: Option<String>,
    /// accepted, rejected or retry.
    pub status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// Why it was not accepted (docs/errors.md).
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// The same for people.
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// What is wrong, as a path into the event.
    pub field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    /// It was accepted, but not quite as it was meant.
    pub warning: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<Outcome>,
}

/// What one request led to.
enum Attempt {
    /// One outcome per event, in order.
    Decided(Vec<Outcome>, Option<Duration>),
    /// Nothing is known: the same again, later.
    Again(String, Option<Duration>),
    /// The server does not take this many at once.
    TooMuch,
}

/// Hears why something is sent again, and after how long.
pub type Retrying<'a> = &'a (dyn Fn(&str, Duration) + Sync);

/// Sends to one server.
pub struct Sender<'a> {
    client: &'a Client,
    patience: Duration,
    retrying: Retrying<'a>,
}

impl<'a> Sender<'a> {
    /// Gives up when nothing went forward for as long as `patience`.
    pub fn new(client: &'a Client, patience: Duration, retrying: Retrying<'a>) -> Self {
        Sender {
            client,
            patience,
            retrying,
        }
    }

    /// Sends all, in order, and says what became of each. An outcome `retry` is one that patience ended on: the
    /// server may have it or not. Dropped at any point, nothing is lost: the same may be sent again.
    ///
    /// # Errors
    /// If the server refuses all of it (no key, a foreign session) or is no Kulti: the same again would not help.
    pub async fn send(&self, events: &[OutgoingEvent]) -> Result<Vec<Outcome>, ClientError> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; events.len()];
        let mut open: Vec<usize> = (0..events.len()).collect();
        let (mut backoff, mut progress, mut size) = (Backoff::default(), Instant::now(), BATCH_EVENTS);
        while !open.is_empty() {
            let batch = next_batch(events, &open, size);
            let (reason, asked) = match self.attempt(events, batch).await? {
                Attempt::TooMuch => {
                    size = (batch.len() / 2).max(1);
                    continue;
                }
                Attempt::Again(reason, asked) => (reason, asked),
                Attempt::Decided(results, asked) => {
                    let mut reason = None;
                    for (index, outcome) in batch.iter().copied().zip(results) {
                        if outcome.status == "retry" {
                            reason.get_or_insert(
                                outcome
                                    .detail
                                    .clone()
                                    .or(outcome.code.clone())
                                    .unwrap_or_default(),
                            );
                        } else {
                            progress = Instant::now();
                            outcomes[index] = Some(outcome);
                        }
                    }
                    open.retain(|index| outcomes[*index].is_none());
                    match reason {
                        Some(reason) => (reason, asked),
                        None => {
                            backoff.reset();
                            continue;
                        }
                    }
                }
            };
            let delay = backoff.next_delay(asked);
            if progress.elapsed().saturating_add(delay) > self.patience {
                let left = open
                    .iter()
                    .map(|index| (*index, given_up(&events[*index], &reason)));
                left.for_each(|(index, outcome)| outcomes[index] = Some(outcome));
                break;
            }
            (self.retrying)(&reason, delay);
            tokio::time::sleep(delay).await;
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    async fn attempt(&self, events: &[OutgoingEvent], batch: &[usize]) -> Result<Attempt, ClientError> {
        let mut body = Vec::new();
        for index in batch {
            body.extend_from_slice(events[*index].json.as_bytes());
            body.push(b'\n');
        }
        let mut request = self
            .client
            .request(Method::POST, self.client.url(&["v1", "events"]))
            .header(CONTENT_TYPE, "application/x-ndjson")
            .timeout(TIMEOUT);
        // On one machine compressing costs more than it saves.
        if body.len() >= WORTH_COMPRESSING
            && !self.client.is_local()
            && let Ok(compressed) = zstd::bulk::compress(&body, ZSTD_LEVEL)
        {
            request = request.header(CONTENT_ENCODING, "zstd");
            body = compressed;
        }
        let response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Again(self.client.unreachable(&error).to_string(), None)),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Ok(Attempt::Again(self.client.unreachable(&error).to_string(), None)),
        };
        if status.is_success() {
            let answer: Answer = serde_json::from_slice(&body).map_err(|error| self.client.foreign(error))?;
            if answer.results.len() != batch.len() {
                return Err(self
                    .client
                    .foreign("it has another number of results than it was sent events"));
            }
            return Ok(Attempt::Decided(answer.results, retry_after(&headers)));
        }
        let problem = Problem::read(status, &headers, &body);
        if problem.is_retryable() {
            return Ok(Attempt::Again(problem.to_string(), problem.retry_after));
        }
        match status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE if batch.len() > 1 => {
                Ok(Attempt::TooMuch)
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(Attempt::Decided(
                    batch
                        .iter()
                        .map(|index| rejected(&events[*index], &problem))
                        .collect(),
                    None,
                ))
            }
            _ => Err(problem.into()),
        }
    }
}

/// The first of those still open that go into one request.
fn next_batch<'i>(events: &[OutgoingEvent], open: &'i [usize], size: usize) -> &'i [usize] {
    let mut bytes = 0;
    let fits = open.iter().take(size).take_while(|index| {
        bytes += events[**index].json.len() + 1;
        bytes <= BATCH_BYTES
    });
    let count = fits.count().max(1);
    &open[..count]
}

fn rejected(event: &OutgoingEvent, problem: &Problem) -> Outcome {
    Outcome {
        id: Some(event.id.clone()),
        status: "rejected".to_owned(),
        code: problem.code.clone(),
        detail: Some(problem.detail.clone()),
        field: problem.field.clone(),
        warning: None,
    }
}

fn given_up(event: &OutgoingEvent, reason: &str) -> Outcome {
    let detail = Some(reason.to_owned());
    Outcome {
        id: Some(event.id.clone()),
        status: "retry".to_owned(),
        code: None,
        detail,
        field: None,
        warning: None,
    }
}

#[cfg(test)]
mod tests;
