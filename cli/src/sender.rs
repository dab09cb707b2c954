//! Sends events and does not let go of one before the server has decided about it.
//!
//! Every event has its id before it is first sent, so that a retry is never a second event.

use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::client::{Client, Unreachable};
use crate::output::note;
use crate::problem::{Problem, retry_after};

/// Events in one request, at the most.
pub(crate) const BATCH_EVENTS: usize = 500;
/// Bytes in one request, unless one event alone has more.
pub(crate) const BATCH_BYTES: usize = 4 << 20;

/// An event as it is sent.
#[derive(Debug, Clone)]
pub(crate) struct OutgoingEvent {
    /// Its id.
    pub(crate) id: String,
    /// Its JSON, with that id, on one line.
    pub(crate) json: String,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The event's id.
    #[serde(default)]
    pub(crate) id: Option<String>,
    /// accepted, rejected or retry.
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<String>,
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

/// Sends to one server.
pub(crate) struct Sender<'a> {
    client: &'a Client,
    patience: Duration,
}

impl<'a> Sender<'a> {
    /// Gives up when nothing went forward for as long as `patience`.
    pub(crate) fn new(client: &'a Client, patience: Duration) -> Self {
        Sender { client, patience }
    }

    /// Sends all, in order, and says what became of each. An outcome `retry` is one that patience ended on: the
    /// server may have it or not.
    pub(crate) async fn send(&self, events: &[OutgoingEvent]) -> anyhow::Result<Vec<Outcome>> {
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
            if progress.elapsed() + delay > self.patience {
                let left = open
                    .iter()
                    .map(|index| (*index, given_up(&events[*index], &reason)));
                left.for_each(|(index, outcome)| outcomes[index] = Some(outcome));
                break;
            }
            note(&format!("{reason}; trying again in {:.1} s", delay.as_secs_f64()));
            tokio::time::sleep(delay).await;
        }
        Ok(outcomes.into_iter().flatten().collect())
    }

    async fn attempt(&self, events: &[OutgoingEvent], batch: &[usize]) -> anyhow::Result<Attempt> {
        let mut body = String::new();
        for index in batch {
            body.push_str(&events[*index].json);
            body.push('\n');
        }
        let request = self
            .client
            .request(Method::POST, self.client.url(&["v1", "events"]))
            .header(CONTENT_TYPE, "application/x-ndjson")
            .timeout(Duration::from_secs(60))
            .body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Attempt::Again(self.client.unreachable(error).to_string(), None)),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return Ok(Attempt::Again(self.client.unreachable(error).to_string(), None)),
        };
        if status.is_success() {
            let answer: Answer = serde_json::from_slice(&body)
                .with_context(|| format!("{} does not answer as Kulti does", self.client.base()))?;
            anyhow::ensure!(
                answer.results.len() == batch.len(),
                "the server answered for another number of events"
            );
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

/// Whether a failure is the network's, so that the same may work later.
pub(crate) fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Unreachable>().is_some()
        || error.downcast_ref::<Problem>().is_some_and(Problem::is_retryable)
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
