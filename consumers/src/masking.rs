//! Secrets that a later request completed: found in the rows, and redacted by an event in the log.
//!
//! Ingest masks within a request (`kulti_gateway`'s `masking`). What two requests say together only shows here, where the
//! events of a session stand in order, whichever gateways took them. It reads what replay numbered and nothing else
//! (invariant 6), and changes no row of an event: it writes a `redaction`, which replay and gateways follow as any
//! other. The redaction's id is derived from what it hides, so that a copy, of another process or after a crash, is the
//! same event (invariants 3 and 9).

mod joined;
mod metrics;
mod store;

use std::sync::Arc;
use std::time::Duration;

use kulti_masking::{Masker, Policy};
use kulti_pipeline::config::KafkaConfig;
use kulti_pipeline::{LogProducer, OutRecord, SendError};
use kulti_schemas::{
    AgentId, EncodeError, Event, EventId, Kind, Meta, PositionedEvent, SessionId, Source, Timestamp, Topic,
    encode_record,
};
use kulti_tables::events::{EventsQuery, events_page_on};
use sqlx::{PgConnection, PgPool};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use joined::{JoinedSecret, joined_secrets};
pub use metrics::MaskingMetrics;

/// A redaction has two seconds; replay and the log need their part of them.
const EVERY: Duration = Duration::from_millis(250);
/// Sessions of one look; the next one takes the rest.
const SESSIONS: i64 = 200;
/// What is read again of what was looked through: as far back may a secret begin.
const CONTEXT_ROWS: i64 = 256;
const CONTEXT_BYTES: usize = 64 << 10;
const PAGE_ROWS: i64 = 1_000;
const PAGE_BYTES: usize = 1 << 20;

/// What it needs from its process.
#[derive(Clone)]
pub struct MaskingContext {
    /// The rows.
    pub pool: PgPool,
    /// What topics are called.
    pub kafka: KafkaConfig,
    /// Writes the redactions.
    pub producer: LogProducer,
    /// What is a secret, and whose.
    pub policy: Arc<Policy>,
    /// What it counts.
    pub metrics: MaskingMetrics,
    /// Ends it.
    pub stopping: CancellationToken,
}

/// Why a session was not looked through.
#[derive(Debug, thiserror::Error)]
pub enum MaskingError {
    /// Its rows cannot be read.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A defect of this build.
    #[error("a redaction cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The log did not take one.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Not a session's or an agent's id.
    #[error(transparent)]
    Id(#[from] kulti_schemas::IdError),
}

/// Looks until `stopping`. A session that cannot be looked through is tried again at the next look.
///
/// # Errors
/// None so far; components of a process answer so.
pub async fn run(context: MaskingContext) -> anyhow::Result<()> {
    let masker = Masker::new(context.policy.allow.clone());
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = context.stopping.cancelled() => return Ok(()),
            _ = looks.tick() => {}
        }
        tokio::select! {
            () = context.stopping.cancelled() => return Ok(()),
            () = look(&context, &masker) => {}
        }
    }
}

async fn look(context: &MaskingContext, masker: &Masker) {
    if !context.producer.is_available() {
        return;
    }
    let sessions = match store::sessions_to_mask(&context.pool, SESSIONS).await {
        Ok(sessions) => sessions,
        Err(error) => return failed(context, "all", &error.into()),
    };
    for session in sessions {
        match mask_session(context, masker, &session).await {
            Ok(0) => {}
            Ok(secrets) => {
                tracing::info!(
                    session.id = session,
                    secrets,
                    "redacted what several events said together"
                );
            }
            Err(error) => failed(context, &session, &error),
        }
    }
}

fn failed(context: &MaskingContext, session: &str, error: &MaskingError) {
    context.metrics.failures.inc();
    tracing::warn!(session.id = session, %error, "secrets over several events are looked for later");
}

/// Looks through what replay has added to a session; answers how many redactions it wrote. Does nothing while another
/// process has the session.
///
/// # Errors
/// If Postgres or Kafka cannot be used. Redactions that were written before that stay, and are the same ones next time.
pub async fn mask_session(
    context: &MaskingContext,
    masker: &Masker,
    session: &str,
) -> Result<u64, MaskingError> {
    let id = SessionId::parse(session)?;
    let mut transaction = context.pool.begin().await?;
    let Some(head) = store::take_session(&mut transaction, session).await? else {
        return Ok(0);
    };
    let mut written = 0;
    if context.policy.is_on_for(&head.agent) {
        let agent = AgentId::parse(&head.agent)?;
        let mut known = page(&mut transaction, &id, Pages::Before(head.masked_to + 1))
            .await?
            .0;
        known.reverse();
        let mut after = head.masked_to;
        while after < head.position {
            let (events, is_cut) =
                page(&mut transaction, &id, Pages::Between(after, head.position + 1)).await?;
            let first_new = known.len();
            known.extend(events);
            let secrets = joined_secrets(masker, &known, first_new);
            written += secrets.len() as u64;
            write(context, (&id, &agent), &secrets).await?;
            after = match (is_cut, known.last()) {
                (true, Some(last)) => last.position,
                _ => head.position,
            };
            known.drain(..known.len().saturating_sub(CONTEXT_ROWS as usize));
        }
    }
    store::masked_to(&mut transaction, session, head.position).await?;
    transaction.commit().await?;
    Ok(written)
}

enum Pages {
    Before(i64),
    Between(i64, i64),
}

/// Events that continue one another, and whether there are more.
async fn page(
    connection: &mut PgConnection,
    session: &SessionId,
    pages: Pages,
) -> sqlx::Result<(Vec<PositionedEvent>, bool)> {
    let kinds = kulti_masking::KINDS_OF_PARTS.map(str::to_owned);
    let query = match pages {
        Pages::Before(before) => EventsQuery {
            session,
            after: 0,
            before,
            kinds: &kinds,
            backwards: true,
            limit_rows: CONTEXT_ROWS,
            limit_bytes: CONTEXT_BYTES,
        },
        Pages::Between(after, before) => EventsQuery {
            session,
            after,
            before,
            kinds: &kinds,
            backwards: false,
            limit_rows: PAGE_ROWS,
            limit_bytes: PAGE_BYTES,
        },
    };
    let page = events_page_on(connection, &query).await?;
    Ok((page.events, page.is_cut))
}

async fn write(
    context: &MaskingContext,
    (session, agent): (&SessionId, &AgentId),
    secrets: &[JoinedSecret],
) -> Result<(), MaskingError> {
    if secrets.is_empty() {
        return Ok(());
    }
    let records = secrets
        .iter()
        .map(|secret| redaction(session, agent, secret))
        .collect::<Result<Vec<_>, _>>()?;
    let topic = context.kafka.topics().name(Topic::SessionEvents);
    let sent = context.producer.send(&topic, records).await;
    sent.into_iter().collect::<Result<(), SendError>>()?;
    for secret in secrets {
        context.metrics.redacted.with_label_values(&[secret.rule]).inc();
    }
    Ok(())
}

fn redaction(session: &SessionId, agent: &AgentId, secret: &JoinedSecret) -> Result<OutRecord, EncodeError> {
    let now = Timestamp::now();
    let data = serde_json::value::to_raw_value(&secret.data()).expect("a JSON value always has a text");
    let event = Event {
        meta: Meta {
            event_id: EventId::derive(&[
                b"masking",
                session.as_str().as_bytes(),
                secret.identity().as_bytes(),
            ]),
            session_id: session.clone(),
            agent_id: agent.clone(),
            time: now,
            received: now,
            source: Source::System,
            producer: None,
            generation: None,
            seq: None,
            cause: None,
            attributes: Default::default(),
        },
        kind: Kind::Known("redaction"),
        data,
        raw: None,
        record: None,
    };
    Ok(OutRecord {
        key: session.as_str().as_bytes().to_vec(),
        value: encode_record(&event)?,
        headers: Vec::new(),
    })
}
