//! The simple API's pointer from an agent to its live session, one for each agent and key.
//!
//! Taken by one conditional statement, so that two gateways that hear of an agent at the same moment agree on
//! its session.

use kulti_schemas::{AgentId, SessionId};
use sqlx::PgPool;

/// Where an agent's events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentSession {
    pub(crate) session: String,
    /// True for the caller whose statement made the session.
    pub(crate) is_new: bool,
}

/// The agent's live session; `fresh` becomes it if there is none, if the last one ended or was erased, or if it was
/// not used for 12 hours.
pub(crate) async fn take_session(
    pool: &PgPool,
    agent: &AgentId,
    key_id: &str,
    fresh: &SessionId,
) -> Result<AgentSession, sqlx::Error> {
    let (session, is_new): (String, bool) = sqlx::query_as(
        "insert into control.agent_sessions as pointer (agent_id, key_id, session_id) values ($1, $2, $3)
         on conflict (agent_id, key_id) do update set
             session_id = case
                 when pointer.used_at < now() - interval '12 hours'
                     or exists (select 1 from sessions s where s.id = pointer.session_id and s.ended_at is not null)
                     or exists (select 1 from erased_sessions e where e.session_id = pointer.session_id)
                 then excluded.session_id
                 else pointer.session_id
             end,
             used_at = now()
         returning session_id, session_id = $3",
    )
    .bind(agent.as_str())
    .bind(key_id)
    .bind(fresh.as_str())
    .fetch_one(pool)
    .await?;
    Ok(AgentSession { session, is_new })
}

/// The agent's live session as `take_session` would find it, without making one.
pub(crate) async fn current_session(
    pool: &PgPool,
    agent: &AgentId,
    key_id: &str,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select session_id from control.agent_sessions pointer
         where agent_id = $1 and key_id = $2 and used_at >= now() - interval '12 hours'
             and not exists (select 1 from sessions s where s.id = pointer.session_id and s.ended_at is not null)
             and not exists (select 1 from erased_sessions e where e.session_id = pointer.session_id)",
    )
    .bind(agent.as_str())
    .bind(key_id)
    .fetch_optional(pool)
    .await
}

/// Forgets the pointer if it still points at this session. True for the one caller whose statement did it.
pub(crate) async fn drop_session(
    pool: &PgPool,
    agent: &AgentId,
    key_id: &str,
    session: &str,
) -> Result<bool, sqlx::Error> {
    let result = sqlx::query(
        "delete from control.agent_sessions where agent_id = $1 and key_id = $2 and session_id = $3",
    )
    .bind(agent.as_str())
    .bind(key_id)
    .bind(session)
    .execute(pool)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Puts a pointer back whose session could not be ended after all, unless the agent has a new one already.
pub(crate) async fn restore_session(
    pool: &PgPool,
    agent: &AgentId,
    key_id: &str,
    session: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into control.agent_sessions (agent_id, key_id, session_id) values ($1, $2, $3)
         on conflict (agent_id, key_id) do nothing",
    )
    .bind(agent.as_str())
    .bind(key_id)
    .bind(session)
    .execute(pool)
    .await?;
    Ok(())
}
