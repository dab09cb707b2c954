//! One look at all open sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kulti_pipeline::{OutRecord, SendError, watermarks};
use kulti_schemas::{EncodeError, Event, EventId, Kind, Meta, Source, Timestamp, Topic, encode_record};
use tokio::time::Instant;

use super::LifeContext;
use super::store::{SilentSession, replay_offsets, silent_sessions};

const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why a sweep ended nothing, or not all.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The sessions cannot be read.
    #[error("sessions cannot be read: {0}")]
    Database(#[from] sqlx::Error),
    /// How far replay is behind the log cannot be told.
    #[error("the log's end cannot be read: {0:#}")]
    Log(anyhow::Error),
    /// A defect of this build.
    #[error("a timeout cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The log did not take one.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Ends the sessions that are silent; answers how many. Safe to run anywhere, any number of times at once.
///
/// # Errors
/// If Postgres or Kafka cannot be used. Timeouts that were written before that stay.
pub async fn sweep(context: &LifeContext) -> Result<usize, SweepError> {
    if !context.producer.is_available() {
        return Ok(0);
    }
    let now = (context.clock)();
    let candidates = silent_sessions(&context.pool, now, &context.options).await?;
    if candidates.is_empty() {
        return Ok(0);
    }
    let partitions = candidates.iter().map(|session| session.partition).collect();
    let caught_up = wait_for_replay(context, partitions).await?;
    // Read again: what was in the log when the sweep began is in the rows now.
    let mut silent = silent_sessions(&context.pool, now, &context.options).await?;
    silent.retain(|session| caught_up.contains(&session.partition));
    let records = silent
        .iter()
        .map(|session| timeout_record(session, now))
        .collect::<Result<Vec<_>, _>>()?;
    let topic = context.kafka.topics().name(Topic::SessionEvents);
    let sent = context.producer.send(&topic, records).await;
    let written = sent.iter().filter(|result| result.is_ok()).count();
    context.metrics.timeouts.inc_by(written as u64);
    sent.into_iter().collect::<Result<(), SendError>>()?;
    Ok(written)
}

/// The partitions in which replay has reached what the log's end was at the start.
async fn wait_for_replay(
    context: &LifeContext,
    partitions: BTreeSet<i32>,
) -> Result<BTreeSet<i32>, SweepError> {
    let topic = context.kafka.topics().name(Topic::SessionEvents);
    let mut ends = BTreeMap::new();
    for partition in &partitions {
        let (_, end) = watermarks(&context.kafka, &topic, *partition)
            .await
            .map_err(SweepError::Log)?;
        ends.insert(*partition, end);
    }
    let partitions: Vec<i32> = partitions.into_iter().collect();
    let deadline = Instant::now() + context.options.catch_up;
    loop {
        let offsets = replay_offsets(&context.pool, &partitions).await?;
        let reached = |partition: &i32| offsets.get(partition) >= ends.get(partition);
        let caught_up: BTreeSet<i32> = partitions.iter().copied().filter(reached).collect();
        if caught_up.len() == partitions.len() || Instant::now() >= deadline {
            return Ok(caught_up);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn timeout_record(session: &SilentSession, now: Timestamp) -> Result<OutRecord, EncodeError> {
    let silence = session.agent_event_id.map(EventId::uuid).unwrap_or_default();
    let event = Event {
        meta: Meta {
            event_id: EventId::derive(&[b"timeout", session.id.as_str().as_bytes(), silence.as_bytes()]),
            session_id: session.id.clone(),
            agent_id: session.agent_id.clone(),
            time: now,
            received: now,
            source: Source::System,
            producer: None,
            generation: None,
            seq: None,
            cause: session.agent_event_id,
            attributes: BTreeMap::new(),
        },
        kind: Kind::Known("session.ended"),
        data: timeout_data(),
        raw: None,
        record: None,
    };
    Ok(OutRecord {
        key: session.id.as_str().as_bytes().to_vec(),
        value: encode_record(&event)?,
        headers: Vec::new(),
    })
}

fn timeout_data() -> Box<serde_json::value::RawValue> {
    serde_json::value::to_raw_value(&serde_json::json!({ "reason": "timeout" }))
        .expect("a JSON value always has a text")
}
