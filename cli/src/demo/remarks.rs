//! What viewers said in a recorded session, said again over the routes of viewers: ingest takes it from no producer.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::recording::{RecordedEvent, Rerun};
use crate::client::Client;

/// What was just written may not be known everywhere yet.
const ARRIVES: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(100);

/// What became of it.
pub(super) enum Remarked {
    Sent,
    /// With the reason.
    LeftOut(String),
}

/// The kinds that have a route, which one, and what it takes.
const ROUTES: [(&str, &str, &[&str]); 4] = [
    ("chat", "chat", &["text", "name", "at", "reply_to"]),
    ("marker", "markers", &["label", "level", "at"]),
    ("clip", "clips", &["title", "from", "to"]),
    ("redaction", "redactions", &["events", "reason"]),
];
/// Kinds that come from no producer and have no route.
const NOBODYS: [&str; 7] = [
    "reaction",
    "moderation",
    "approval.resolved",
    "chat.delivered",
    "chat.read",
    "session.erased",
    "unreadable",
];

/// Whether producers may send it.
pub(super) fn is_for_ingest(event: &RecordedEvent) -> bool {
    let has_route = ROUTES.iter().any(|(kind, ..)| *kind == event.kind);
    !NOBODYS.contains(&event.kind.as_str()) && (!has_route || (event.kind == "marker" && !event.is_viewers))
}

/// Says it, or says why not.
pub(super) async fn send(
    client: &Client,
    rerun: &Rerun<'_>,
    event: &RecordedEvent,
) -> anyhow::Result<Remarked> {
    let Some((kind, route, members)) = ROUTES.iter().find(|(kind, ..)| *kind == event.kind) else {
        return Ok(Remarked::LeftOut("no route takes it".to_owned()));
    };
    let data: Map<String, Value> = serde_json::from_str(&rerun.data(event))?;
    let mut body: Map<String, Value> = data
        .into_iter()
        .filter(|(name, _)| members.contains(&name.as_str()))
        .collect();
    if *kind != "redaction" {
        body.insert("id".to_owned(), json!(rerun.id(event)));
    }
    let url = client.url(&["v1", "sessions", rerun.session(), route]);
    let begun = Instant::now();
    loop {
        let request = client.request(Method::POST, url.clone()).json(&body);
        let error = match client.answer(request).await {
            Ok(_) => return Ok(Remarked::Sent),
            Err(error) => error,
        };
        let Some(problem) = error.problem() else {
            return Err(error.into());
        };
        let arrives = matches!(problem.status, 404 | 422) && begun.elapsed() < ARRIVES;
        let passes = problem.is_retryable() && begun.elapsed() < PATIENCE;
        if !arrives && !passes {
            return Ok(Remarked::LeftOut(problem.to_string()));
        }
        tokio::time::sleep(problem.retry_after.unwrap_or(AGAIN)).await;
    }
}
