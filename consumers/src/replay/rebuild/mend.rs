//! Compares a partition's rows with the log's fold, and changes the sessions that differ.

use kulti_schemas::SessionId;
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::LivePosition;
use super::shadow::Shadow;
use crate::replay::partition::SessionState;
use crate::replay::redaction;
use crate::segments;

/// What became of a session.
pub(super) enum Mended {
    /// So many of its rows are others now.
    Rows(u64),
    /// It has events that the log no longer has.
    NotInLog,
}

/// Columns of `sessions` that are no part of what the log says.
const OF_OTHERS: &str = "array['seal_at', 'fold_version', 'masked_to']";
/// Whether two rows, `l` and `s`, are the same: `json` has no equality of its own.
const SAME: &str = "row(l.event_id, l.agent_id, l.kind, l.source, l.time, l.received, l.clock, l.producer, l.generation,
        l.seq, l.cause, l.attributes::text, l.data::text, l.raw, l.record)
    is not distinct from row(s.event_id, s.agent_id, s.kind, s.source, s.time, s.received, s.clock, s.producer,
        s.generation, s.seq, s.cause, s.attributes::text, s.data::text, s.raw, s.record)";

/// How many sessions the log has in this partition.
pub(super) async fn sessions_of(pool: &PgPool, shadow: &Shadow, partition: i32) -> sqlx::Result<i64> {
    let schema = shadow.schema();
    sqlx::query_scalar(AssertSqlSafe(format!(
        "select count(*) from {schema}.sessions where partition = $1"
    )))
    .bind(partition)
    .fetch_one(pool)
    .await
}

/// Sessions whose rows are not those of the log, as far as replay and the fold both have come.
pub(super) async fn differing(pool: &PgPool, shadow: &Shadow, partition: i32) -> sqlx::Result<Vec<String>> {
    let schema = shadow.schema();
    // What only one side has come to is no difference; one that the log has not at all is looked at by itself.
    let statement = format!(
        "with both_have as (
             select a.id, least(a.position, b.position) as until, a.position = b.position as even,
                 to_jsonb(a) - {OF_OTHERS} = to_jsonb(b) - {OF_OTHERS} as same
             from public.sessions a join {schema}.sessions b on b.id = a.id where a.partition = $1
         )
         select id from both_have where even and not same
         union
         select h.id from both_have h join public.events l on l.session_id = h.id and l.position <= h.until
             left join {schema}.events s on s.session_id = l.session_id and s.position = l.position
         where not ({SAME})
         union
         select h.id from both_have h join {schema}.events s on s.session_id = h.id and s.position <= h.until
             left join public.events l on l.session_id = s.session_id and l.position = s.position
         where l.position is null
         union
         select b.id from {schema}.sessions b where b.partition = $1
             and not exists (select from public.sessions a where a.id = b.id)
             and not exists (select from public.erased_sessions e where e.session_id = b.id)
         union
         select e.session_id from {schema}.erased_sessions e join public.sessions a on a.id = e.session_id
         where e.partition = $1
         union
         select a.id from public.sessions a where a.partition = $1 and ($2 is null or a.id = $2)
             and not exists (select from {schema}.sessions b where b.id = a.id)
             and not exists (select from {schema}.erased_sessions e where e.session_id = a.id)
         order by 1"
    );
    sqlx::query_scalar(AssertSqlSafe(statement))
        .bind(partition)
        .bind(shadow.session().map(SessionId::as_str))
        .fetch_all(pool)
        .await
}

/// Makes one session what the log says, in one transaction.
pub(super) async fn mend(
    pool: &PgPool,
    shadow: &mut Shadow,
    partition: i32,
    session: &str,
) -> anyhow::Result<Mended> {
    let mut transaction = pool.begin().await?;
    // Replay waits, and the fold comes at least as far as it.
    let (epoch, next_offset): (i64, i64) = sqlx::query_as(
        "select epoch, next_offset from projection_partitions where projection = 'replay' and partition = $1
         for update",
    )
    .bind(partition)
    .fetch_one(&mut *transaction)
    .await?;
    let live = LivePosition { epoch, next_offset };
    shadow.read_until(partition, live, &mut |_, _| {}).await?;
    let schema = shadow.schema();
    let mut rows = Rows {
        connection: &mut transaction,
        schema,
        session,
    };
    let mended = if rows.is_erased().await? {
        rows.erase().await?
    } else if rows.has_more_than_the_log().await? {
        return Ok(Mended::NotInLog);
    } else {
        rows.mend().await?
    };
    // Whoever projects this partition has an older session in memory: it takes over anew.
    sqlx::query(
        "update projection_partitions set owner = owner + 1 where projection = 'replay' and partition = $1",
    )
    .bind(partition)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Mended::Rows(mended))
}

/// One session's rows on both sides.
struct Rows<'a> {
    connection: &'a mut PgConnection,
    schema: &'static str,
    session: &'a str,
}

impl Rows<'_> {
    async fn execute(&mut self, statement: String) -> sqlx::Result<u64> {
        let done = sqlx::query(AssertSqlSafe(statement))
            .bind(self.session)
            .execute(&mut *self.connection)
            .await?;
        Ok(done.rows_affected())
    }

    async fn exists(&mut self, query: String) -> sqlx::Result<bool> {
        sqlx::query_scalar(AssertSqlSafe(format!("select exists ({query})")))
            .bind(self.session)
            .fetch_one(&mut *self.connection)
            .await
    }

    async fn is_erased(&mut self) -> sqlx::Result<bool> {
        let schema = self.schema;
        self.exists(format!(
            "select from {schema}.erased_sessions where session_id = $1"
        ))
        .await
    }

    async fn has_more_than_the_log(&mut self) -> sqlx::Result<bool> {
        let schema = self.schema;
        self.exists(format!(
            "select from public.events l where l.session_id = $1 and not exists (
                 select from {schema}.events s where s.session_id = $1 and s.event_id = l.event_id)"
        ))
        .await
    }

    async fn erase(&mut self) -> sqlx::Result<u64> {
        let schema = self.schema;
        let rows = self
            .execute("delete from public.events where session_id = $1".to_owned())
            .await?;
        for statement in [
            "delete from public.sessions where id = $1".to_owned(),
            "delete from public.segments where session_id = $1".to_owned(),
            "delete from public.file_contents where session_id = $1".to_owned(),
            "delete from public.awaited_redactions where session_id = $1".to_owned(),
            format!(
                "insert into public.erased_sessions select * from {schema}.erased_sessions where session_id = $1
                 on conflict do nothing"
            ),
        ] {
            self.execute(statement).await?;
        }
        Ok(rows.max(1))
    }

    /// Up to where replay has come; of a session that it has lost, all: it knows then what it has.
    async fn mend(&mut self) -> anyhow::Result<u64> {
        let schema = self.schema;
        let row_before = self.session_row().await?;
        let removed = self
            .execute(format!(
                "delete from public.events l where l.session_id = $1 and not exists (
                     select from {schema}.events s where s.session_id = $1 and s.position = l.position and {SAME})"
            ))
            .await?;
        let added = self
            .execute(format!(
                "insert into public.events select s.* from {schema}.events s where s.session_id = $1
                     and s.position <= coalesce((select position from public.sessions where id = $1), s.position)
                     and not exists (
                         select from public.events l where l.session_id = $1 and l.position = s.position)"
            ))
            .await?;
        self.execute(format!(
            "insert into public.sessions select * from {schema}.sessions where id = $1 on conflict do nothing"
        ))
        .await?;
        self.execute(format!(
            "insert into public.awaited_redactions select s.* from {schema}.awaited_redactions s
             where s.session_id = $1 and not exists (
                 select from public.events l where l.session_id = $1 and l.event_id = s.event_id)
             on conflict do nothing"
        ))
        .await?;
        let session = SessionId::parse(self.session)?;
        redaction::fold_session_row(self.connection, &session, &mut SessionState::default()).await?;
        if removed.max(added) > 0 {
            segments::unseal(self.connection, &session, 1).await?;
        }
        let is_other_row = row_before != self.session_row().await?;
        Ok(removed.max(added).max(u64::from(is_other_row)))
    }

    async fn session_row(&mut self) -> sqlx::Result<Option<String>> {
        sqlx::query_scalar("select to_jsonb(s)::text from public.sessions s where id = $1")
            .bind(self.session)
            .fetch_optional(&mut *self.connection)
            .await
    }
}
