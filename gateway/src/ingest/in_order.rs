//! Writes what has one order and nobody who would send it again: a recording, a stream. It takes as long as the log and
//! the quotas want.

use std::time::Duration;

use super::batch::{ItemResult, ItemStatus, OutcomeGuard, encode, write_encoded};
use super::event::{ParsedEvent, Refusal};
use crate::access::Writer;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// Between two attempts, unless an answer names more.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause: a log that is back is noticed within this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Masks the events and writes them; returns once the log has all of them that it will ever take, with why it took some
/// not. Whoever has no time for ever drops it: what was not acknowledged may be in the log all the same.
///
/// # Errors
/// If the writer may not write these events at all.
pub(crate) async fn write_in_order(
    state: &AppState,
    writer: &Writer,
    mut events: Vec<ParsedEvent>,
) -> Result<Vec<Problem>, Problem> {
    state
        .masking
        .mask_request(events.iter_mut().map(|parsed| &mut parsed.event));
    let mut refused = Vec::new();
    let mut pause = PAUSE;
    while !events.is_empty() {
        let results = attempt(state, writer, &events).await;
        let mut waiting = Vec::new();
        let mut wait = Duration::ZERO;
        for (event, result) in events.into_iter().zip(results) {
            match result.status {
                ItemStatus::Accepted => {}
                ItemStatus::Retry => {
                    wait = wait.max(Duration::from_secs(result.retry_after.unwrap_or_default()));
                    waiting.push(event);
                }
                ItemStatus::Rejected => {
                    let problem = result.into_problem();
                    if is_about_the_writer(problem.code) {
                        return Err(problem);
                    }
                    refused.push(problem);
                }
            }
        }
        events = waiting;
        if !events.is_empty() {
            tokio::time::sleep(wait.max(pause).min(LONGEST_PAUSE)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    Ok(refused)
}

async fn attempt(state: &AppState, writer: &Writer, events: &[ParsedEvent]) -> Vec<ItemResult> {
    let mut outcomes = OutcomeGuard::new(&state.metrics, events.len());
    let encoded: Vec<Result<_, Refusal>> = events.iter().cloned().map(encode).collect();
    let results = write_encoded(state, writer, encoded).await;
    outcomes.record(&results);
    results
}

/// Whether the next event would be refused for the same reason.
fn is_about_the_writer(code: Code) -> bool {
    matches!(
        code,
        Code::SessionNotYours | Code::SessionExpired | Code::AgentNotAllowed
    )
}
