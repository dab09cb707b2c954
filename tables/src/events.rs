//! Pages of a session's events by position, bounded in rows and bytes: the one place that reads rows of `events` as events.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use kulti_schemas::{
    AgentId, Event, EventId, Kind, Meta, PositionedEvent, SessionId, Source, Timestamp, decode_record,
};
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder, Row};
use uuid::Uuid;

/// Rows of a page's first statement. What a statement asks for is sent by Postgres whether it is wanted or not,
/// so the first one is small and the later ones are sized by what the rows so far weighed.
const FIRST_ROWS: i64 = 32;

/// What a row weighs beside its data: ids, times and names, roughly.
const ROW_OVERHEAD_BYTES: usize = 256;

/// Kinds that have an index of their own, `events_of_remarks`.
const REMARKS: [&str; 4] = ["marker", "clip", "chat", "redaction"];

/// Which events of a session.
#[derive(Debug, Clone)]
pub struct EventsQuery<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// Only positions above this one.
    pub after: i64,
    /// Only positions below this one.
    pub before: i64,
    /// Only these kinds; empty means all.
    pub kinds: &'a [String],
    /// From the highest position down.
    pub backwards: bool,
    /// Rows at the most.
    pub limit_rows: i64,
    /// Bytes at the most; the first row comes whatever it weighs.
    pub limit_bytes: usize,
}

/// The events of a session above `after`, in order: at most `limit_rows`, and at most about `limit_bytes` of
/// data, but always at least one if there is one.
pub async fn events_page(
    pool: &PgPool,
    session: &SessionId,
    after: i64,
    limit_rows: i64,
    limit_bytes: usize,
) -> Result<Vec<PositionedEvent>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let query = EventsQuery {
        session,
        after,
        before: i64::MAX,
        kinds: &[],
        backwards: false,
        limit_rows,
        limit_bytes,
    };
    Ok(events_page_on(&mut connection, &query).await?.events)
}

/// Events, and whether there may be more of them.
#[derive(Debug, Default)]
pub struct EventsPage {
    /// In the order asked for.
    pub events: Vec<PositionedEvent>,
    /// A limit ended the page.
    pub is_cut: bool,
}

/// The same on a connection, for a caller whose other reads must come from the same snapshot.
pub async fn events_page_on(
    connection: &mut PgConnection,
    query: &EventsQuery<'_>,
) -> Result<EventsPage, sqlx::Error> {
    let mut page: Vec<PositionedEvent> = Vec::new();
    let mut page_bytes = 0;
    let (mut after, mut before) = (query.after, query.before);
    let mut rows_to_ask = FIRST_ROWS;
    loop {
        rows_to_ask = rows_to_ask.min(query.limit_rows - page.len() as i64);
        if rows_to_ask <= 0 {
            return Ok(EventsPage {
                events: page,
                is_cut: true,
            });
        }
        let mut statement = statement(query, after, before, rows_to_ask);
        let mut rows = statement.build().fetch(&mut *connection);
        let mut rows_read = 0;
        while let Some(row) = rows.try_next().await? {
            let agent = page.last().map(|event| &event.event.meta.agent_id);
            let event = event_from_row(&row, query.session, agent)?;
            rows_read += 1;
            page_bytes += weight(&event);
            if page_bytes > query.limit_bytes && !page.is_empty() {
                return Ok(EventsPage {
                    events: page,
                    is_cut: true,
                });
            }
            if query.backwards {
                before = event.position;
            } else {
                after = event.position;
            }
            page.push(event);
        }
        let is_cut = page_bytes >= query.limit_bytes;
        if rows_read < rows_to_ask || is_cut {
            return Ok(EventsPage { events: page, is_cut });
        }
        let mean_bytes = page_bytes / page.len().max(1);
        rows_to_ask = ((query.limit_bytes - page_bytes) / mean_bytes.max(1) + 1) as i64;
    }
}

fn statement<'a>(query: &EventsQuery<'a>, after: i64, before: i64, rows: i64) -> QueryBuilder<Postgres> {
    let mut statement = QueryBuilder::new(
        "select position, event_id, agent_id, kind, source, time, received, clock, producer, generation, seq, \
         cause, attributes, data, raw, record from events where session_id = ",
    );
    statement.push_bind(query.session.as_str().to_owned());
    statement.push(" and position > ").push_bind(after);
    if before < i64::MAX {
        statement.push(" and position < ").push_bind(before);
    }
    let remarks = |kind: &String| REMARKS.contains(&kind.as_str());
    if !query.kinds.is_empty() && query.kinds.iter().all(remarks) {
        // Written out, because the planner takes their index only for constants.
        statement.push(" and kind in (");
        let mut list = statement.separated(", ");
        for kind in REMARKS
            .iter()
            .filter(|kind| query.kinds.iter().any(|asked| asked == *kind))
        {
            list.push(format!("'{kind}'"));
        }
        statement.push(")");
    } else if !query.kinds.is_empty() {
        statement
            .push(" and kind = any(")
            .push_bind(query.kinds.to_vec())
            .push(")");
    }
    statement.push(if query.backwards {
        " order by position desc limit "
    } else {
        " order by position limit "
    });
    statement.push_bind(rows);
    statement
}

fn weight(event: &PositionedEvent) -> usize {
    let raw = event.event.raw.as_ref().map_or(0, String::len);
    ROW_OVERHEAD_BYTES + event.event.data.get().len() + raw
}

/// Rebuilds the event. What an older build could not decode is decoded again: this one may be newer.
fn event_from_row(
    row: &PgRow,
    session: &SessionId,
    previous_agent: Option<&AgentId>,
) -> Result<PositionedEvent, sqlx::Error> {
    let position: i64 = row.try_get(0)?;
    let clock = Timestamp::from(row.try_get::<DateTime<Utc>, _>(7)?);
    let record: Option<Vec<u8>> = row.try_get(15)?;
    let record = record.map(Bytes::from);
    if let Some(bytes) = &record
        && let Ok(event) = decode_record(Some(session.as_str().as_bytes()), Some(bytes))
    {
        return Ok(PositionedEvent {
            position,
            clock,
            event,
        });
    }
    let agent: &str = row.try_get(2)?;
    let agent_id = match previous_agent {
        Some(previous) if previous.as_str() == agent => previous.clone(),
        _ => AgentId::parse(agent).map_err(|error| broken("agent_id", error))?,
    };
    let cause: Option<Uuid> = row.try_get(11)?;
    let attributes: Option<Json<std::collections::BTreeMap<String, String>>> = row.try_get(12)?;
    let meta = Meta {
        event_id: EventId::from_uuid(row.try_get(1)?).map_err(|error| broken("event_id", error))?,
        session_id: session.clone(),
        agent_id,
        time: Timestamp::from(row.try_get::<DateTime<Utc>, _>(5)?),
        received: Timestamp::from(row.try_get::<DateTime<Utc>, _>(6)?),
        source: source_from_text(row.try_get(4)?),
        producer: row.try_get(8)?,
        generation: row.try_get(9)?,
        seq: row.try_get(10)?,
        cause: cause
            .map(EventId::from_uuid)
            .transpose()
            .map_err(|error| broken("cause", error))?,
        attributes: attributes.map(|Json(map)| map).unwrap_or_default(),
    };
    let kind: &str = row.try_get(3)?;
    let kind = match Kind::known(kind) {
        Some(known) => known,
        None if kind == Kind::Unreadable.name() => Kind::Unreadable,
        None => Kind::Unknown(kind.to_owned()),
    };
    let Json(data): Json<Box<RawValue>> = row.try_get(13)?;
    let raw: Option<String> = row.try_get(14)?;
    Ok(PositionedEvent {
        position,
        clock,
        event: Event {
            meta,
            kind,
            data,
            raw,
            record,
        },
    })
}

fn source_from_text(text: &str) -> Source {
    match text {
        "viewer" => Source::Viewer,
        "system" => Source::System,
        _ => Source::Agent,
    }
}

fn broken(column: &str, error: kulti_schemas::IdError) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(error),
    }
}
