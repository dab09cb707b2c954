//! The sweep's SQL.

use std::collections::BTreeMap;

use kulti_schemas::{AgentId, EventId, SessionId, Timestamp};
use sqlx::PgPool;
use uuid::Uuid;

use super::LifeOptions;

/// Sessions of one sweep; the next one takes the rest.
const SESSIONS: i64 = 1_000;

/// An open session whose agent has been silent for too long.
pub(super) struct SilentSession {
    pub(super) id: SessionId,
    pub(super) agent_id: AgentId,
    pub(super) agent_event_id: Option<EventId>,
    pub(super) partition: i32,
}

pub(super) async fn silent_sessions(
    pool: &PgPool,
    now: Timestamp,
    options: &LifeOptions,
) -> sqlx::Result<Vec<SilentSession>> {
    let micros = |time: std::time::Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let (agents, timeouts): (Vec<&str>, Vec<i64>) = options
        .agent_timeouts
        .iter()
        .map(|(agent, timeout)| (agent.as_str(), micros(*timeout)))
        .unzip();
    let rows: Vec<(String, String, Option<Uuid>, i32)> = sqlx::query_as(
        "select id, agent_id, agent_event_id, partition
         from sessions
         left join unnest($2::text[], $3::bigint[]) as own (agent, micros) on own.agent = agent_id
         where ended_at is null
             and coalesce(agent_event_at, started_at) < $1 - coalesce(own.micros, $4) * interval '1 microsecond'
         order by id limit $5",
    )
    .bind(now.to_datetime())
    .bind(agents)
    .bind(timeouts)
    .bind(micros(options.timeout))
    .bind(SESSIONS)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(silent_session).collect()
}

fn silent_session(row: (String, String, Option<Uuid>, i32)) -> sqlx::Result<SilentSession> {
    let (id, agent_id, agent_event_id, partition) = row;
    let decode = |error: kulti_schemas::IdError| sqlx::Error::Decode(error.into());
    Ok(SilentSession {
        id: SessionId::parse(&id).map_err(decode)?,
        agent_id: AgentId::parse(&agent_id).map_err(decode)?,
        agent_event_id: agent_event_id
            .map(EventId::from_uuid)
            .transpose()
            .map_err(decode)?,
        partition,
    })
}

/// Where replay stands in these partitions.
pub(super) async fn replay_offsets(pool: &PgPool, partitions: &[i32]) -> sqlx::Result<BTreeMap<i32, i64>> {
    let rows: Vec<(i32, i64)> = sqlx::query_as(
        "select partition, next_offset from projection_partitions
         where projection = 'replay' and stopped is null and partition = any($1)",
    )
    .bind(partitions)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().collect())
}
