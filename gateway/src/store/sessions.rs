//! Sessions as rows: one by id, and pages of them, those that are open first.

use chrono::{DateTime, Utc};
use kulti_schemas::SessionId;
use sqlx::{FromRow, PgPool, Postgres, QueryBuilder};

const COLUMNS: &str = "s.id, s.agent_id, s.agent_name, s.agent_avatar, s.title, s.task, s.tags, s.visibility, \
     s.status, s.position, s.started_at, s.received_at, s.ended_at, s.end_reason, s.tokens, s.cost_usd";

/// What decides who may see a session, and whether there is more to come.
#[derive(Debug, Clone, FromRow)]
pub struct SessionAccess {
    /// What the session says; `None` where the server's default holds.
    pub visibility: Option<String>,
    /// The key that owns it, if one does.
    pub owner: Option<String>,
    /// The agent whose session it is.
    pub agent: String,
    /// When it ended; `None` while it is open.
    pub ended_at: Option<DateTime<Utc>>,
    /// Ingest time of the last event: quiet is measured from it.
    pub received_at: DateTime<Utc>,
    /// The last position.
    pub position: i64,
}

/// One session as readers get it, but for what only this gateway knows.
#[derive(Debug, Clone, FromRow)]
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// The agent's id.
    pub agent_id: String,
    /// The agent's name.
    pub agent_name: Option<String>,
    /// The agent's picture or emoji.
    pub agent_avatar: Option<String>,
    /// What the session calls itself.
    pub title: Option<String>,
    /// What the agent was asked to do.
    pub task: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// What the session says about who may see it.
    pub visibility: Option<String>,
    /// The agent's own word.
    pub status: Option<String>,
    /// The last position.
    pub position: i64,
    /// The session's clock at its first event.
    pub started_at: DateTime<Utc>,
    /// Ingest time of the last event.
    pub received_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it ended.
    pub end_reason: Option<String>,
    /// All tokens.
    pub tokens: i64,
    /// What they cost.
    pub cost_usd: f64,
}

/// Where a page of sessions begins: after this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionsCursor {
    pub(crate) open: bool,
    pub(crate) received_at: DateTime<Utc>,
    pub(crate) id: String,
}

/// Which sessions.
#[derive(Debug, Clone)]
pub(crate) struct SessionsQuery<'a> {
    pub(crate) agent: Option<&'a str>,
    /// Only open (true) or only ended (false) ones.
    pub(crate) open: Option<bool>,
    /// Only with a last event at or after this moment.
    pub(crate) active_since: Option<DateTime<Utc>>,
    /// Only with a last event before this moment.
    pub(crate) silent_since: Option<DateTime<Utc>>,
    /// Only started before this moment.
    pub(crate) started_before: Option<DateTime<Utc>>,
    pub(crate) tag: Option<&'a str>,
    /// Everything may be seen.
    pub(crate) sees_all: bool,
    /// The reader's key: it sees what it owns.
    pub(crate) key_id: Option<&'a str>,
    /// What a session is that says nothing about it.
    pub(crate) default_visibility: &'a str,
    pub(crate) limit: i64,
}

/// What decides who may see this session; `None` if there is no such session yet.
///
/// A session that was accepted a moment ago is not there until replay has projected its first event.
pub async fn session_access(
    pool: &PgPool,
    session: &SessionId,
) -> Result<Option<SessionAccess>, sqlx::Error> {
    sqlx::query_as(
        "select s.visibility, o.key_id as owner, s.agent_id as agent, s.ended_at, s.received_at, s.position
         from sessions s left join control.session_owners o on o.session_id = s.id where s.id = $1",
    )
    .bind(session.as_str())
    .fetch_optional(pool)
    .await
}

/// How often rows of this session have changed: what was folded from them before is void.
pub(crate) async fn fold_version(pool: &PgPool, session: &SessionId) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar("select fold_version from sessions where id = $1")
        .bind(session.as_str())
        .fetch_optional(pool)
        .await
}

/// What decides who may see a closed segment's session; `None` if there is no such segment.
pub(crate) async fn access_of_segment(
    pool: &PgPool,
    session: &SessionId,
    sha256: &[u8],
) -> Result<Option<SessionAccess>, sqlx::Error> {
    sqlx::query_as(
        "select s.visibility, o.key_id as owner, s.agent_id as agent, s.ended_at, s.received_at, s.position
         from sessions s left join control.session_owners o on o.session_id = s.id
         where s.id = $1 and exists (
             select from segments g where g.session_id = s.id and g.sha256 = $2 and g.last_position is not null)",
    )
    .bind(session.as_str())
    .bind(sha256)
    .fetch_optional(pool)
    .await
}

pub(crate) async fn session_row(
    pool: &PgPool,
    session: &SessionId,
) -> Result<Option<SessionRow>, sqlx::Error> {
    let mut statement = QueryBuilder::<Postgres>::new("select ");
    statement
        .push(COLUMNS)
        .push(" from sessions s where s.id = ")
        .push_bind(session.as_str().to_owned());
    statement.build_query_as().fetch_optional(pool).await
}

/// What a session has used until now.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SessionUsage {
    pub(crate) position: i64,
    pub(crate) clock: DateTime<Utc>,
    /// `kulti_session::Usage` as JSON.
    pub(crate) usage: serde_json::Value,
    pub(crate) tokens: i64,
    pub(crate) cost_usd: f64,
}

pub(crate) async fn session_usage(
    pool: &PgPool,
    session: &SessionId,
) -> Result<Option<SessionUsage>, sqlx::Error> {
    sqlx::query_as("select position, clock, usage, tokens, cost_usd from sessions where id = $1")
        .bind(session.as_str())
        .fetch_optional(pool)
        .await
}

/// A page of sessions: the open ones by their last event, then the ended ones likewise. Each half is one walk
/// along the index on (received_at, id).
pub(crate) async fn sessions_page(
    pool: &PgPool,
    query: &SessionsQuery<'_>,
    cursor: Option<&SessionsCursor>,
) -> Result<Vec<SessionRow>, sqlx::Error> {
    let mut page = Vec::new();
    for open in [true, false] {
        let wanted = query.open.is_none_or(|only| only == open);
        let passed = open && cursor.is_some_and(|cursor| !cursor.open);
        if !wanted || passed || page.len() as i64 >= query.limit {
            continue;
        }
        let cursor = cursor.filter(|cursor| cursor.open == open);
        let mut statement = sessions_statement(query, open, cursor, query.limit - page.len() as i64);
        page.extend(statement.build_query_as::<SessionRow>().fetch_all(pool).await?);
    }
    Ok(page)
}

fn sessions_statement(
    query: &SessionsQuery<'_>,
    open: bool,
    cursor: Option<&SessionsCursor>,
    limit: i64,
) -> QueryBuilder<Postgres> {
    let mut statement = QueryBuilder::new("select ");
    statement
        .push(COLUMNS)
        .push(" from sessions s where s.ended_at is ");
    statement.push(if open { "null" } else { "not null" });
    if let Some(cursor) = cursor {
        statement
            .push(" and s.received_at <= ")
            .push_bind(cursor.received_at);
        statement
            .push(" and (s.received_at < ")
            .push_bind(cursor.received_at);
        statement
            .push(" or s.id > ")
            .push_bind(cursor.id.clone())
            .push(")");
    }
    if let Some(agent) = query.agent {
        statement.push(" and s.agent_id = ").push_bind(agent.to_owned());
    }
    if let Some(moment) = query.active_since {
        statement.push(" and s.received_at >= ").push_bind(moment);
    }
    if let Some(moment) = query.silent_since {
        statement.push(" and s.received_at < ").push_bind(moment);
    }
    if let Some(moment) = query.started_before {
        statement.push(" and s.started_at < ").push_bind(moment);
    }
    if let Some(tag) = query.tag {
        statement
            .push(" and s.tags @> array[")
            .push_bind(tag.to_owned())
            .push("]::text[]");
    }
    if !query.sees_all {
        statement
            .push(" and (coalesce(s.visibility, ")
            .push_bind(query.default_visibility.to_owned());
        statement.push(") = 'public'");
        if let Some(key_id) = query.key_id {
            statement.push(
                " or exists (select 1 from control.session_owners o where o.session_id = s.id and o.key_id = ",
            );
            statement.push_bind(key_id.to_owned()).push(")");
        }
        statement.push(")");
    }
    statement
        .push(" order by s.received_at desc, s.id limit ")
        .push_bind(limit);
    statement
}

/// A session that has not ended, as far as it decides who may follow its agent to it.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct OpenSession {
    pub(crate) id: String,
    pub(crate) agent: String,
    pub(crate) visibility: Option<String>,
    pub(crate) owner: Option<String>,
    pub(crate) started_at: DateTime<Utc>,
}

/// The newest open sessions of each of these agents, the one that began last first. Looks no further back than an open
/// session can be silent, so that an agent with a long history costs no more.
pub(crate) async fn open_sessions(pool: &PgPool, agents: &[String]) -> Result<Vec<OpenSession>, sqlx::Error> {
    sqlx::query_as(
        "select s.id, s.agent_id as agent, s.visibility, o.key_id as owner, s.started_at
         from unnest($1::text[]) as followed (agent)
         cross join lateral (
             select id, agent_id, visibility, started_at from sessions
             where agent_id = followed.agent and received_at > now() - interval '13 hours' and ended_at is null
             order by started_at desc, id limit 20
         ) as s
         left join control.session_owners o on o.session_id = s.id
         order by s.started_at desc, s.id",
    )
    .bind(agents)
    .fetch_all(pool)
    .await
}

/// Whether replay has committed this event.
pub(crate) async fn has_event(
    pool: &PgPool,
    session: &SessionId,
    id: kulti_schemas::EventId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from events where session_id = $1 and event_id = $2)")
        .bind(session.as_str())
        .bind(id.uuid())
        .fetch_one(pool)
        .await
}

/// Whether replay has erased this session.
pub(crate) async fn has_erased(pool: &PgPool, session: &SessionId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from erased_sessions where session_id = $1)")
        .bind(session.as_str())
        .fetch_one(pool)
        .await
}
