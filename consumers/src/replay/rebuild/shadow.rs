//! Tables of the same form in a schema of their own, and the log folded into them.

use std::collections::HashMap;
use std::time::Duration;

use kulti_pipeline::{
    ApplyError, LogReader, LogReaderEvent, Projection as _, Record, fault_of_record, watermarks,
};
use kulti_schemas::{SessionId, Topic};
use prometheus::Registry;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{LivePosition, RebuildContext};
use crate::replay::{PartitionState, Replay, ReplayMetrics};

/// What is gone on with after a break.
const OF_ALL: &str = "kulti_rebuild";
const OF_ONE: &str = "kulti_rebuild_session";
/// Records in one transaction, about.
const BATCH_RECORDS: usize = 5_000;
/// After so long without a record something is wrong.
const SILENCE: Duration = Duration::from_secs(30);

/// The log's fold, beside the tables that are read.
pub(super) struct Shadow {
    context: RebuildContext,
    topic: String,
    schema: &'static str,
    /// Reads and writes the shadow's tables by their plain names.
    connection: PgConnection,
    replay: Replay,
    states: HashMap<i32, PartitionState>,
    /// Only this session.
    session: Option<SessionId>,
}

/// How to apply records.
#[derive(Clone, Copy)]
enum Manner {
    Whole,
    Unreadable(&'static str),
    /// Not even that: it has no row.
    Nothing,
}

impl Shadow {
    /// Goes on with what a rebuild of all has left, if the tables have the same form still.
    pub(super) async fn open(context: &RebuildContext, session: Option<&SessionId>) -> anyhow::Result<Self> {
        let schema = if session.is_some() { OF_ONE } else { OF_ALL };
        make_tables(context, schema, session.is_some()).await?;
        let options = (*context.pool.connect_options())
            .clone()
            .options([("search_path", schema)]);
        let replay = Replay::new(ReplayMetrics::register(&Registry::new())?);
        Ok(Shadow {
            context: context.clone(),
            topic: context.kafka.topics().name(Topic::SessionEvents),
            schema,
            connection: PgConnection::connect_with(&options).await?,
            replay,
            states: HashMap::new(),
            session: session.cloned(),
        })
    }

    pub(super) fn session(&self) -> Option<&SessionId> {
        self.session.as_ref()
    }

    pub(super) fn schema(&self) -> &'static str {
        self.schema
    }

    /// Folds a partition at least up to where replay stands.
    pub(super) async fn read_until(
        &mut self,
        partition: i32,
        live: LivePosition,
        noted: &mut impl FnMut(i64, i64),
    ) -> anyhow::Result<()> {
        let mut next_offset = self.next_offset(partition, live.epoch).await?;
        if next_offset >= live.next_offset {
            return Ok(());
        }
        let (low, high) = watermarks(&self.context.kafka, &self.topic, partition).await?;
        next_offset = next_offset.max(low);
        anyhow::ensure!(
            live.next_offset <= high,
            "the log ends before replay's offset: it was cut (`kulti topics new-epoch`)"
        );
        let from = [(partition, next_offset)];
        let mut reader = LogReader::start(&self.context.kafka, &self.topic, &from, 4)?;
        let mut batch = Vec::new();
        while next_offset < live.next_offset {
            let event = tokio::time::timeout(SILENCE, reader.next()).await;
            match event {
                Ok(Some(LogReaderEvent::Records(records))) => batch.extend(records),
                Ok(Some(LogReaderEvent::PartitionError {
                    detail,
                    truncated: true,
                    ..
                })) => {
                    anyhow::bail!("the log cannot be read: {detail}");
                }
                // It goes on by itself, or is silent.
                Ok(Some(LogReaderEvent::PartitionError { .. })) => {}
                Ok(None) => anyhow::bail!("the log's reader ended"),
                Err(_) => anyhow::bail!("nothing came from the log for {} s", SILENCE.as_secs()),
            }
            let end = batch
                .last()
                .map_or(next_offset, |record: &Record| record.offset + 1);
            if batch.len() >= BATCH_RECORDS || end >= live.next_offset {
                self.apply_all(partition, live.epoch, &std::mem::take(&mut batch))
                    .await?;
                next_offset = end;
                noted(
                    (next_offset - low).min(live.next_offset - low),
                    live.next_offset - low,
                );
            }
        }
        Ok(())
    }

    /// As the projection's runner does: halves what cannot be applied until one record is left.
    async fn apply_all(&mut self, partition: i32, epoch: i64, records: &[Record]) -> anyhow::Result<()> {
        let mut ranges = vec![(0, records.len())];
        while let Some((start, end)) = ranges.pop() {
            let part = &records[start..end];
            let place = (partition, epoch);
            let Err(error) = self.apply(place, part, Manner::Whole).await else {
                continue;
            };
            let reason = fault_of_record(error).map_err(anyhow::Error::msg)?;
            self.states.remove(&partition);
            if part.len() > 1 {
                let middle = start + part.len() / 2;
                ranges.extend([(middle, end), (start, middle)]);
            } else if let Err(error) = self.apply(place, part, Manner::Unreadable(reason)).await {
                fault_of_record(error).map_err(anyhow::Error::msg)?;
                self.states.remove(&partition);
                self.apply(place, part, Manner::Nothing).await?;
            }
        }
        Ok(())
    }

    async fn apply(
        &mut self,
        (partition, epoch): (i32, i64),
        records: &[Record],
        manner: Manner,
    ) -> Result<(), ApplyError> {
        let Some(last) = records.last() else { return Ok(()) };
        let state = self
            .states
            .entry(partition)
            .or_insert_with(|| self.replay.new_state(partition));
        let key = self.session.as_ref().map(|session| session.as_str().as_bytes());
        let wanted: Vec<Record> = records
            .iter()
            .filter(|record| key.is_none() || record.key.as_deref() == key)
            .cloned()
            .collect();
        let mut transaction = self.connection.begin().await?;
        match manner {
            Manner::Whole => {
                // What is not ours is in the dead letters already.
                self.replay.apply(state, &wanted, &mut transaction).await?;
            }
            Manner::Unreadable(reason) => {
                for record in &wanted {
                    self.replay
                        .apply_unreadable(state, record, reason, &mut transaction)
                        .await?;
                }
            }
            Manner::Nothing => {}
        }
        sqlx::query(
            "insert into progress (partition, epoch, next_offset) values ($1, $2, $3)
             on conflict (partition) do update set epoch = excluded.epoch, next_offset = excluded.next_offset",
        )
        .bind(partition)
        .bind(epoch)
        .bind(last.offset + 1)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Where it goes on; a new log is read from its start, and adds to what is there as replay does.
    async fn next_offset(&mut self, partition: i32, epoch: i64) -> anyhow::Result<i64> {
        let next_offset: Option<i64> =
            sqlx::query_scalar("select next_offset from progress where partition = $1 and epoch = $2")
                .bind(partition)
                .bind(epoch)
                .fetch_optional(&mut self.connection)
                .await?;
        Ok(next_offset.unwrap_or(0))
    }

    /// The rebuild is done.
    pub(super) async fn drop_tables(mut self) -> anyhow::Result<()> {
        drop_schema(&mut self.connection, self.schema).await?;
        self.connection.close().await?;
        Ok(())
    }
}

async fn drop_schema(connection: &mut PgConnection, schema: &'static str) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(format!("drop schema if exists {schema} cascade")))
        .execute(connection)
        .await
        .map(drop)
}

/// Makes the tables, but for those that an earlier rebuild has left and that still have the form of the others.
async fn make_tables(context: &RebuildContext, schema: &'static str, anew: bool) -> anyhow::Result<()> {
    let mut transaction = context.pool.begin().await?;
    let form: i64 = sqlx::query_scalar("select coalesce(max(version), 0) from _sqlx_migrations")
        .fetch_one(&mut *transaction)
        .await?;
    let comment: Option<Option<String>> = sqlx::query_scalar(
        "select obj_description(oid, 'pg_namespace') from pg_namespace where nspname = $1",
    )
    .bind(schema)
    .fetch_optional(&mut *transaction)
    .await?;
    if !anew
        && comment
            .flatten()
            .is_some_and(|comment| comment == form.to_string())
    {
        return Ok(());
    }
    drop_schema(&mut transaction, schema).await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
             and c.relname not in ('projection_partitions', '_sqlx_migrations')",
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut statements = vec![
        format!("create schema {schema}"),
        format!("comment on schema {schema} is '{form}'"),
        format!(
            "create table {schema}.progress (partition int primary key, epoch bigint not null,
                 next_offset bigint not null)"
        ),
    ];
    statements.extend(
        tables.iter().map(|table| {
            format!("create table {schema}.\"{table}\" (like public.\"{table}\" including all)")
        }),
    );
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}
