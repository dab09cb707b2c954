//! Replay's SQL.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kulti_schemas::{EventId, Mask, SessionId, Timestamp};
use kulti_session::{SEQUENCER_IDS, Sequencer, Usage};
use sqlx::PgConnection;
use uuid::Uuid;

use super::events::{COPY_EVENTS, EventRows};
use super::partition::SessionState;
use super::sessions::{End, SessionChange};

type SessionRow = (String, i64, DateTime<Utc>, bool, Option<Uuid>, String, Vec<Uuid>);

/// The states of those sessions that have rows, are erased, or wait for an event.
pub(super) async fn load_sessions(
    connection: &mut PgConnection,
    ids: &[&str],
) -> sqlx::Result<HashMap<String, SessionState>> {
    let rows: Vec<SessionRow> = sqlx::query_as(
        "select id, position, clock, ended_at is not null, agent_event_id, usage::text,
             array(select event_id from events where session_id = sessions.id order by event_id desc limit $2)
         from sessions where id = any($1)",
    )
    .bind(ids)
    .bind(SEQUENCER_IDS as i64)
    .fetch_all(&mut *connection)
    .await?;
    let mut sessions: HashMap<String, SessionState> =
        rows.into_iter().map(session_state).collect::<sqlx::Result<_>>()?;
    load_what_waits(connection, ids, &mut sessions).await?;
    Ok(sessions)
}

/// Events that a redaction waits for, and tombstones: also of sessions without a row.
async fn load_what_waits(
    connection: &mut PgConnection,
    ids: &[&str],
    sessions: &mut HashMap<String, SessionState>,
) -> sqlx::Result<()> {
    let rows: Vec<(String, Option<Uuid>, Option<Vec<String>>)> = sqlx::query_as(
        "select session_id, event_id, masks from awaited_redactions where session_id = any($1)
         union all
         select session_id, null, null from erased_sessions where session_id = any($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    for (id, event, masks) in rows {
        let state = sessions.entry(id).or_default();
        match event {
            None => state.erased = true,
            Some(event) => {
                let event = event_id(event)?;
                for mask in masks.unwrap_or_default() {
                    let mask = serde_json::from_str(&mask).unwrap_or_else(|_| Mask::whole_event());
                    state.awaited.add(event, mask);
                }
            }
        }
    }
    Ok(())
}

fn session_state(row: SessionRow) -> sqlx::Result<(String, SessionState)> {
    let (id, position, clock, ended, agent_event_id, usage, largest) = row;
    let largest = largest
        .into_iter()
        .map(event_id)
        .collect::<sqlx::Result<Vec<_>>>()?;
    let sequencer = Sequencer::resume(position, Some(Timestamp::from(clock)), largest);
    let usage: Usage = serde_json::from_str(&usage).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let agent_event_id = agent_event_id.map(event_id).transpose()?;
    Ok((id, SessionState::resumed(sequencer, usage, ended, agent_event_id)))
}

pub(super) fn event_id(uuid: Uuid) -> sqlx::Result<EventId> {
    EventId::from_uuid(uuid).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Which of these, pairs of session and id, are events already.
pub(super) async fn known_events(
    connection: &mut PgConnection,
    sessions: &[&str],
    ids: &[Uuid],
) -> sqlx::Result<Vec<(String, EventId)>> {
    let rows: Vec<(String, Uuid)> = sqlx::query_as(
        "select events.session_id, events.event_id
         from unnest($1::text[], $2::uuid[]) as asked (session_id, event_id)
         join events using (session_id, event_id)",
    )
    .bind(sessions)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(session, id)| Ok((session, event_id(id)?)))
        .collect()
}

/// All rows in one COPY.
pub(super) async fn copy_events(connection: &mut PgConnection, rows: EventRows) -> sqlx::Result<()> {
    let expected = rows.rows();
    let mut copy = connection.copy_in_raw(COPY_EVENTS).await?;
    copy.send(rows.finish()).await?;
    let written = copy.finish().await?;
    if written != expected {
        return Err(sqlx::Error::Protocol(format!(
            "COPY wrote {written} rows of {expected}"
        )));
    }
    Ok(())
}

/// One insert for the sessions that begin, one update for those that go on.
pub(super) async fn write_sessions(
    connection: &mut PgConnection,
    partition: i32,
    changes: &[(&SessionId, &SessionChange, &SessionState)],
) -> sqlx::Result<()> {
    let (begun, continued): (Vec<_>, Vec<_>) =
        changes.iter().partition(|(_, change, _)| change.begun.is_some());
    if !begun.is_empty() {
        let columns = Columns::of(&begun)?;
        columns
            .write(INSERT_SESSIONS, partition, begun.len(), connection)
            .await?;
    }
    if !continued.is_empty() {
        let columns = Columns::of(&continued)?;
        columns
            .write(UPDATE_SESSIONS, partition, continued.len(), connection)
            .await?;
    }
    Ok(())
}

/// Writes what a fold over all of a session's rows gave, in place of what is there.
pub(super) async fn replace_session(
    connection: &mut PgConnection,
    partition: i32,
    (id, change, state): (&SessionId, &SessionChange, &SessionState),
) -> sqlx::Result<()> {
    let columns = Columns::of(&[&(id, change, state)])?;
    columns.write(REPLACE_SESSION, partition, 1, connection).await
}

/// The arrays that all statements unnest, in this order.
macro_rules! unnest_changes {
    () => {
        "unnest($2::text[], $3::bigint[], $4::uuid[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
            $8::uuid[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
            $16::bool[], $17::timestamptz[], $18::text[], $19::text[], $20::bigint[], $21::float8[],
            $22::text[], $23::timestamptz[])
         as c (id, position, last_event_id, clock, received_at, agent_event_at,
            agent_event_id, agent_name, agent_avatar, title, task, tags, visibility, status,
            end_changed, ended_at, end_reason, usage, tokens, cost_usd,
            agent_id, started_at)"
    };
}

const INSERT_SESSIONS: &str = concat!(
    "insert into sessions (id, agent_id, agent_name, agent_avatar, title, task, tags, visibility, status, partition,
         position, last_event_id, agent_event_id, clock, started_at, received_at, agent_event_at, ended_at,
         end_reason, usage, tokens, cost_usd)
     select c.id, c.agent_id, c.agent_name, c.agent_avatar, c.title, c.task,
         array(select json_array_elements_text(c.tags::json)), c.visibility, c.status, $1,
         c.position, c.last_event_id, c.agent_event_id, c.clock, c.started_at, c.received_at, c.agent_event_at,
         c.ended_at, c.end_reason, coalesce(c.usage, '{}')::jsonb, coalesce(c.tokens, 0), coalesce(c.cost_usd, 0)
     from ",
    unnest_changes!()
);

const UPDATE_SESSIONS: &str = concat!(
    "update sessions s set
         partition = $1,
         position = c.position,
         last_event_id = c.last_event_id,
         clock = c.clock,
         received_at = c.received_at,
         agent_event_at = coalesce(c.agent_event_at, s.agent_event_at),
         agent_event_id = coalesce(c.agent_event_id, s.agent_event_id),
         agent_name = coalesce(c.agent_name, s.agent_name),
         agent_avatar = coalesce(c.agent_avatar, s.agent_avatar),
         title = coalesce(c.title, s.title),
         task = coalesce(c.task, s.task),
         tags = case when c.tags is null then s.tags else array(select json_array_elements_text(c.tags::json)) end,
         visibility = coalesce(c.visibility, s.visibility),
         status = coalesce(c.status, s.status),
         ended_at = case when c.end_changed then c.ended_at else s.ended_at end,
         end_reason = case when c.end_changed then c.end_reason else s.end_reason end,
         usage = coalesce(c.usage::jsonb, s.usage),
         tokens = coalesce(c.tokens, s.tokens),
         cost_usd = coalesce(c.cost_usd, s.cost_usd)
     from ",
    unnest_changes!(),
    " where s.id = c.id"
);

const REPLACE_SESSION: &str = concat!(
    "update sessions s set
         partition = $1,
         position = c.position,
         last_event_id = c.last_event_id,
         clock = c.clock,
         received_at = c.received_at,
         agent_event_at = c.agent_event_at,
         agent_event_id = c.agent_event_id,
         agent_id = c.agent_id,
         agent_name = c.agent_name,
         agent_avatar = c.agent_avatar,
         title = c.title,
         task = c.task,
         tags = coalesce(array(select json_array_elements_text(c.tags::json)), '{}'),
         visibility = c.visibility,
         status = c.status,
         started_at = c.started_at,
         ended_at = c.ended_at,
         end_reason = c.end_reason,
         usage = coalesce(c.usage::jsonb, '{}'),
         tokens = coalesce(c.tokens, 0),
         cost_usd = coalesce(c.cost_usd, 0)
     from ",
    unnest_changes!(),
    " where s.id = c.id"
);

/// One array per column.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<&'a str>,
    position: Vec<i64>,
    last_event_id: Vec<Uuid>,
    clock: Vec<DateTime<Utc>>,
    received_at: Vec<DateTime<Utc>>,
    agent_event_at: Vec<Option<DateTime<Utc>>>,
    agent_event_id: Vec<Option<Uuid>>,
    agent_name: Vec<Option<&'a str>>,
    agent_avatar: Vec<Option<&'a str>>,
    title: Vec<Option<&'a str>>,
    task: Vec<Option<&'a str>>,
    /// A JSON array each: unnest cannot take arrays of different lengths apart.
    tags: Vec<Option<String>>,
    visibility: Vec<Option<&'a str>>,
    status: Vec<Option<&'a str>>,
    end_changed: Vec<bool>,
    ended_at: Vec<Option<DateTime<Utc>>>,
    end_reason: Vec<Option<&'a str>>,
    usage: Vec<Option<String>>,
    tokens: Vec<Option<i64>>,
    cost_usd: Vec<Option<f64>>,
    agent_id: Vec<Option<&'a str>>,
    started_at: Vec<Option<DateTime<Utc>>>,
}

impl<'a> Columns<'a> {
    fn of(changes: &[&(&'a SessionId, &'a SessionChange, &'a SessionState)]) -> sqlx::Result<Self> {
        let mut columns = Columns::default();
        for (id, change, state) in changes {
            columns
                .push(id, change, state)
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
        }
        Ok(columns)
    }

    fn push(
        &mut self,
        id: &'a SessionId,
        change: &'a SessionChange,
        state: &SessionState,
    ) -> serde_json::Result<()> {
        let Some(last) = change.last else { return Ok(()) };
        self.id.push(id.as_str());
        self.position.push(last.position);
        self.last_event_id.push(last.id.uuid());
        self.clock.push(last.clock.to_datetime());
        self.received_at.push(last.received.to_datetime());
        self.agent_event_at
            .push(change.agent_event_at.map(Timestamp::to_datetime));
        self.agent_event_id.push(state.agent_event_id.map(EventId::uuid));
        self.agent_name.push(change.agent_name.as_deref());
        self.agent_avatar.push(change.agent_avatar.as_deref());
        self.title.push(change.title.as_deref());
        self.task.push(change.task.as_deref());
        self.tags
            .push(change.tags.as_ref().map(serde_json::to_string).transpose()?);
        self.visibility.push(change.visibility);
        self.status.push(change.status.as_deref());
        self.end_changed.push(change.end.is_some());
        let (ended_at, end_reason) = match &change.end {
            Some(End::Ended { at, reason }) => (Some(at.to_datetime()), Some(reason.as_str())),
            Some(End::Reopened) | None => (None, None),
        };
        self.ended_at.push(ended_at);
        self.end_reason.push(end_reason);
        self.usage.push(
            change
                .used
                .then(|| serde_json::to_string(&state.usage))
                .transpose()?,
        );
        self.tokens.push(change.used.then(|| state.usage.tokens()));
        self.cost_usd.push(change.used.then(|| state.usage.cost_usd()));
        self.agent_id
            .push(change.begun.as_ref().map(|begun| begun.agent_id.as_str()));
        self.started_at
            .push(change.begun.as_ref().map(|begun| begun.at.to_datetime()));
        Ok(())
    }

    async fn write(
        self,
        statement: &'static str,
        partition: i32,
        expected: usize,
        connection: &mut PgConnection,
    ) -> sqlx::Result<()> {
        let done = sqlx::query(statement)
            .bind(partition)
            .bind(self.id)
            .bind(self.position)
            .bind(self.last_event_id)
            .bind(self.clock)
            .bind(self.received_at)
            .bind(self.agent_event_at)
            .bind(self.agent_event_id)
            .bind(self.agent_name)
            .bind(self.agent_avatar)
            .bind(self.title)
            .bind(self.task)
            .bind(self.tags)
            .bind(self.visibility)
            .bind(self.status)
            .bind(self.end_changed)
            .bind(self.ended_at)
            .bind(self.end_reason)
            .bind(self.usage)
            .bind(self.tokens)
            .bind(self.cost_usd)
            .bind(self.agent_id)
            .bind(self.started_at)
            .execute(connection)
            .await?;
        // Rows that went missing: what is remembered is wrong, and the takeover that follows reads it anew.
        if done.rows_affected() != expected as u64 {
            return Err(sqlx::Error::RowNotFound);
        }
        Ok(())
    }
}
