//! Kafka to Postgres against the server's own COPY of the same rows into a heap with a primary key.

use std::time::Instant;

use kulti_pipeline::OutRecord;
use kulti_schemas::{SessionId, encode_record};
use kulti_test_support::TestDatabase;
use sqlx::{AssertSqlSafe, PgPool};

use super::{World, ensure_same};
use crate::Effort;
use crate::child::Child;
use crate::events::Script;
use crate::report::{Line, Report, Target, short};
use crate::roles::{Projected, ReplaySpec, Role};
use crate::spread::Spread;

const EVENTS_PER_SESSION: usize = 150;
/// Sessions that are open at the same time.
const OPEN_SESSIONS: usize = 200;

struct Round {
    replay: Projected,
    replay_wal_bytes: f64,
    copy_seconds: f64,
    copy_wal_bytes: f64,
}

pub(super) async fn measure(world: &World, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
    let sessions = effort.choose(2_000, 400);
    let events = (sessions * EVENTS_PER_SESSION) as u64;
    let record_bytes = fill_log(world, sessions).await?;
    ensure_same("records in the log", world.records_in_log().await?, events)?;
    let mut rounds = Vec::new();
    for round in 0..=effort.rounds {
        let measured = measure_round(world, sessions as u64, events).await?;
        if round > 0 {
            rounds.push(measured);
        }
    }
    tell(&rounds, events as f64, report);
    report.note(format!(
        "projection: {} events of {sessions} sessions in {} partitions, {record_bytes} bytes a record; rows counted, positions \
         without holes",
        short(events as f64),
        world.topics.config.partitions,
    ));
    Ok(())
}

/// Returns the mean size of a record's value.
async fn fill_log(world: &World, sessions: usize) -> anyhow::Result<usize> {
    let producer = world.topics.producer();
    let topic = world.topics.session_events();
    let script = Script::new();
    let mut bytes = 0;
    for first in (0..sessions).step_by(OPEN_SESSIONS) {
        let open: Vec<SessionId> = (first..sessions.min(first + OPEN_SESSIONS))
            .map(|_| SessionId::generate())
            .collect();
        for place in 0..EVENTS_PER_SESSION {
            let mut records = Vec::with_capacity(open.len());
            for session in &open {
                let value = encode_record(&script.event(session, place)?)?;
                bytes += value.len();
                records.push(OutRecord {
                    key: session.as_str().as_bytes().to_vec(),
                    value,
                    headers: Vec::new(),
                });
            }
            for result in producer.send(&topic, records).await {
                result?;
            }
        }
    }
    Ok(bytes / (sessions * EVENTS_PER_SESSION))
}

async fn measure_round(world: &World, sessions: u64, events: u64) -> anyhow::Result<Round> {
    let database = TestDatabase::create().await;
    let pool = &database.pool;
    sqlx::raw_sql("checkpoint").execute(pool).await?;
    let before = wal_position(pool).await?;
    let spec = ReplaySpec {
        servers: world.servers_with(&database),
        events: Some(events),
    };
    let mut child = Child::start(Role::Replay, &spec)?;
    let replay: Projected = child.hear().await?;
    let replay_wal_bytes = wal_position(pool).await? - before;
    child.end().await?;
    verify(pool, sessions, events).await?;

    let file = prepare_copy(pool).await?;
    sqlx::raw_sql("checkpoint").execute(pool).await?;
    let before = wal_position(pool).await?;
    let begun = Instant::now();
    let copied = execute(pool, format!("copy bench_rows from '{file}' (format binary)")).await?;
    let copy_seconds = begun.elapsed().as_secs_f64();
    let copy_wal_bytes = wal_position(pool).await? - before;
    ensure_same("rows copied", copied, events)?;
    // There is no statement that removes a file of the server's.
    execute(
        pool,
        format!("copy (select where false) to '{file}' (format binary)"),
    )
    .await?;
    Ok(Round {
        replay,
        replay_wal_bytes,
        copy_seconds,
        copy_wal_bytes,
    })
}

/// The rows in a file of the server's, and an empty table with the same columns and a primary key.
async fn prepare_copy(pool: &PgPool) -> anyhow::Result<String> {
    let folder: String = sqlx::query_scalar("show data_directory").fetch_one(pool).await?;
    let file = format!("{folder}/kulti-bench.copy");
    execute(
        pool,
        format!("copy (select * from events) to '{file}' (format binary)"),
    )
    .await?;
    execute(pool, "create table bench_rows (like events)".to_owned()).await?;
    execute(
        pool,
        "alter table bench_rows add primary key (session_id, position)".to_owned(),
    )
    .await?;
    Ok(file)
}

async fn execute(pool: &PgPool, sql: String) -> anyhow::Result<u64> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(done.rows_affected())
}

async fn wal_position(pool: &PgPool) -> anyhow::Result<f64> {
    let bytes = "select (pg_current_wal_lsn() - '0/0'::pg_lsn)::float8";
    Ok(sqlx::query_scalar(bytes).fetch_one(pool).await?)
}

/// Every event once, and positions from 1 on without holes.
async fn verify(pool: &PgPool, sessions: u64, events: u64) -> anyhow::Result<()> {
    let (rows, whole, last_positions): (i64, i64, i64) = sqlx::query_as(
        "with counted as (
             select session_id, count(*) as rows, min(position) as first, max(position) as last
             from events group by session_id)
         select sum(rows)::bigint, count(*) filter (where first = 1 and last = rows),
             (select sum(position)::bigint from sessions)
         from counted",
    )
    .fetch_one(pool)
    .await?;
    ensure_same("rows", rows.unsigned_abs(), events)?;
    ensure_same("sessions without holes", whole.unsigned_abs(), sessions)?;
    ensure_same("positions of the sessions", last_positions.unsigned_abs(), events)
}

fn tell(rounds: &[Round], events: f64, report: &mut Report) {
    let median = |value: &dyn Fn(&Round) -> f64| short(Spread::over(rounds, value).median);
    report.add(Line {
        limit: "projection",
        ours: format!("{} rows/s", median(&|round| events / round.replay.seconds)),
        beside: format!(
            "COPY + primary key {}",
            median(&|round| events / round.copy_seconds)
        ),
        figure: Spread::over(rounds, |round| round.copy_seconds / round.replay.seconds),
        target: Target::AtLeast(0.48),
    });
    report.add(Line {
        limit: "projection, sink CPU s per 100k rows",
        ours: format!(
            "{} s",
            median(&|round| round.replay.cpu_seconds * 100_000.0 / events)
        ),
        beside: String::new(),
        figure: Spread::over(rounds, |round| round.replay.cpu_seconds * 100_000.0 / events),
        target: Target::AtMost(0.45),
    });
    report.add(Line {
        limit: "projection, WAL bytes per row",
        ours: format!("{} B", median(&|round| round.replay_wal_bytes / events)),
        beside: format!(
            "COPY + primary key {}",
            median(&|round| round.copy_wal_bytes / events)
        ),
        figure: Spread::over(rounds, |round| round.replay_wal_bytes / round.copy_wal_bytes),
        target: Target::AtMost(1.25),
    });
}
