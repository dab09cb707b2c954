//! `redaction`: hides parts of rows that are there, and remembers what is hidden of events that have not come yet.
//!
//! Which order a redaction and its events have in the log, and where batches begin, changes nothing in the rows: masks
//! can be applied in any order (kulti_schemas). A session's own row is folded anew from what is left.

use chrono::{DateTime, Utc};
use kulti_schemas::{AgentId, Event, EventId, Kind, Mask, Meta, Redactions, SessionId, Source, Timestamp};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::partition::SessionState;
use super::sessions::SessionChange;
use super::store;
use crate::segments;

/// The kinds whose data counts for a session's row.
const FEED_SESSION: [&str; 5] = [
    "session.started",
    "session.updated",
    "session.ended",
    "status.changed",
    "usage",
];
/// Rows that are folded at a time.
const FOLD_ROWS: i64 = 10_000;

/// Applies a batch's redactions to rows, those of the batch among them, which are masked already.
pub(super) async fn apply(
    connection: &mut PgConnection,
    session: &SessionId,
    redactions: &Redactions,
    state: &mut SessionState,
) -> sqlx::Result<()> {
    let targets: Vec<Uuid> = redactions.iter().map(|(id, _)| id.uuid()).collect();
    let rows: Vec<(Uuid, i64, String, String)> = sqlx::query_as(
        "select event_id, position, kind, data::text from events where session_id = $1 and event_id = any($2)",
    )
    .bind(session.as_str())
    .bind(&targets)
    .fetch_all(&mut *connection)
    .await?;
    let mut missing = redactions.clone();
    let mut masked = MaskedRows::default();
    let mut feeds = false;
    for (id, position, kind, data) in rows {
        let id = store::event_id(id)?;
        feeds |= FEED_SESSION.contains(&kind.as_str());
        masked.push(position, &kind, data, &missing.remove(id))?;
    }
    if let Some(first) = masked.position.iter().min() {
        segments::unseal(connection, session, *first).await?;
    }
    masked.write(connection, session).await?;
    if !missing.is_empty() {
        await_events(connection, session, &missing).await?;
        for (id, masks) in missing.iter() {
            for mask in masks {
                state.awaited.add(id, mask.clone());
            }
        }
    }
    if feeds {
        fold_session_row(connection, session, state).await?;
    }
    Ok(())
}

/// Rows to change: one array per column.
#[derive(Default)]
struct MaskedRows {
    position: Vec<i64>,
    data: Vec<String>,
}

impl MaskedRows {
    fn push(&mut self, position: i64, kind: &str, data: String, masks: &[Mask]) -> sqlx::Result<()> {
        let data = RawValue::from_string(data).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let masked = kulti_schemas::mask_data(&kind_of(kind), &data, masks);
        self.position.push(position);
        self.data.push(masked.get().to_owned());
        Ok(())
    }

    async fn write(self, connection: &mut PgConnection, session: &SessionId) -> sqlx::Result<()> {
        if self.position.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "update events e set data = masked.data::json, raw = null, record = null, attributes = null
             from unnest($2::bigint[], $3::text[]) as masked (position, data)
             where e.session_id = $1 and e.position = masked.position",
        )
        .bind(session.as_str())
        .bind(self.position)
        .bind(self.data)
        .execute(connection)
        .await?;
        Ok(())
    }
}

fn kind_of(name: &str) -> Kind {
    match Kind::known(name) {
        Some(kind) => kind,
        None if name == Kind::Unreadable.name() => Kind::Unreadable,
        None => Kind::Unknown(name.to_owned()),
    }
}

async fn await_events(
    connection: &mut PgConnection,
    session: &SessionId,
    missing: &Redactions,
) -> sqlx::Result<()> {
    for (id, masks) in missing.iter() {
        let masks: Vec<String> = masks
            .iter()
            .map(serde_json::to_string)
            .collect::<serde_json::Result<_>>()
            .map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query(
            "insert into awaited_redactions as awaited (session_id, event_id, masks) values ($1, $2, $3)
             on conflict (session_id, event_id) do update set masks = awaited.masks || excluded.masks",
        )
        .bind(session.as_str())
        .bind(id.uuid())
        .bind(masks)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The events have come and are masked.
pub(super) async fn forget_awaited(
    connection: &mut PgConnection,
    session: &SessionId,
    arrived: &[EventId],
) -> sqlx::Result<()> {
    let arrived: Vec<Uuid> = arrived.iter().map(|id| id.uuid()).collect();
    sqlx::query("delete from awaited_redactions where session_id = $1 and event_id = any($2)")
        .bind(session.as_str())
        .bind(arrived)
        .execute(connection)
        .await?;
    Ok(())
}

/// Folds the session's row anew from its events' rows.
pub(super) async fn fold_session_row(
    connection: &mut PgConnection,
    session: &SessionId,
    state: &mut SessionState,
) -> sqlx::Result<()> {
    let mut folded = SessionState::default();
    let mut change = SessionChange::default();
    let mut after = 0;
    loop {
        let rows = sqlx::query(
            "select event_id, position, agent_id, kind, source, time, received, clock, producer, generation, cause,
                 case when kind = any($2) then data::text end
             from events where session_id = $1 and position > $3 order by position limit $4",
        )
        .bind(session.as_str())
        .bind(FEED_SESSION.as_slice())
        .bind(after)
        .bind(FOLD_ROWS)
        .fetch_all(&mut *connection)
        .await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let (event, position, clock) = event_of(row, session)?;
            change.note(&mut folded, &event, position, clock);
            after = position;
        }
    }
    state.usage = folded.usage;
    state.ended = folded.ended;
    state.agent_event_id = folded.agent_event_id;
    change.used = true;
    let partition: i32 = sqlx::query_scalar("select partition from sessions where id = $1")
        .bind(session.as_str())
        .fetch_one(&mut *connection)
        .await?;
    store::replace_session(connection, partition, (session, &change, state)).await
}

/// What of a row counts for its session's row.
fn event_of(row: &PgRow, session: &SessionId) -> sqlx::Result<(Event, i64, Timestamp)> {
    let time = |index: usize| -> sqlx::Result<Timestamp> {
        Ok(Timestamp::from(row.try_get::<DateTime<Utc>, _>(index)?))
    };
    let agent: &str = row.try_get(2)?;
    let kind: &str = row.try_get(3)?;
    let cause: Option<Uuid> = row.try_get(10)?;
    let data: Option<String> = row.try_get(11)?;
    let meta = Meta {
        event_id: store::event_id(row.try_get(0)?)?,
        session_id: session.clone(),
        agent_id: AgentId::parse(agent).map_err(|error| sqlx::Error::Decode(error.into()))?,
        time: time(5)?,
        received: time(6)?,
        source: Source::parse(row.try_get(4)?).unwrap_or(Source::Agent),
        producer: row.try_get(8)?,
        generation: row.try_get(9)?,
        seq: None,
        cause: cause.map(store::event_id).transpose()?,
        attributes: Default::default(),
    };
    let event = Event {
        meta,
        kind: kind_of(kind),
        data: RawValue::from_string(data.unwrap_or_else(|| "{}".to_owned()))
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        raw: None,
        record: None,
    };
    Ok((event, row.try_get(1)?, time(7)?))
}
