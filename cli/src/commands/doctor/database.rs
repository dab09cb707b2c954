//! Postgres: reachable, new enough, migrated, in step with our clock, and nothing that stopped.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kulti_pipeline::config::DatabaseConfig;
use sqlx::{Connection, PgConnection};

use super::Check;
use crate::server::pending_migrations;

const ANSWER: Duration = Duration::from_secs(5);
/// Partitioned tables and MERGE as the schema uses them are older; this is what the tests run on and below.
const OLDEST: i32 = 150_000;

/// All about the database.
pub(super) async fn checks(database: &DatabaseConfig) -> Vec<Check> {
    let connecting = tokio::time::timeout(ANSWER, PgConnection::connect(&database.url));
    let mut connection = match connecting.await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return vec![unusable(database, &error.to_string())],
        Err(_) => return vec![unusable(database, "no answer in time")],
    };
    let mut checks = Vec::new();
    match about_the_server(&mut connection).await {
        Ok(found) => checks.extend(found),
        Err(error) => checks.push(unusable(database, &error.to_string())),
    }
    match pending_migrations(database).await {
        Ok(pending) if pending.is_empty() => {
            checks.push(Check::ok("schema", "up to date"));
            checks.extend(stopped(&mut connection).await);
        }
        Ok(pending) => checks.push(Check::failed(
            "schema",
            format!("lacks {}", pending.join(", ")),
            "kulti migrate",
        )),
        Err(error) => checks.push(Check::failed("schema", format!("{error:#}"), "kulti migrate")),
    }
    checks
}

fn unusable(database: &DatabaseConfig, why: &str) -> Check {
    let fix = "start Postgres (dev/stack up, docker compose up), or set database.url (KULTI_DATABASE_URL)";
    Check::failed("database", format!("{database}: {why}"), fix)
}

async fn about_the_server(connection: &mut PgConnection) -> sqlx::Result<Vec<Check>> {
    let before = Utc::now();
    let (number, version, now): (i32, String, DateTime<Utc>) = sqlx::query_as(
        "select current_setting('server_version_num')::int, current_setting('server_version'), clock_timestamp()",
    )
    .fetch_one(connection)
    .await?;
    // Half of the way there and back has passed when the server looks at its clock.
    let ours = before + (Utc::now() - before) / 2;
    let version = if number >= OLDEST {
        Check::ok("database", format!("PostgreSQL {version}"))
    } else {
        Check::failed(
            "database",
            format!("PostgreSQL {version}"),
            "PostgreSQL 15 or later",
        )
    };
    Ok(vec![
        version,
        Check::clock("database clock", (now - ours).num_milliseconds(), "Postgres'"),
    ])
}

/// Partitions that a projection stopped on.
async fn stopped(connection: &mut PgConnection) -> Vec<Check> {
    let rows: sqlx::Result<Vec<(String, i32, String)>> = sqlx::query_as(
        "select projection, partition, stopped from projection_partitions where stopped is not null order by 1, 2",
    )
    .fetch_all(connection)
    .await;
    match rows {
        Ok(rows) if rows.is_empty() => vec![Check::ok("projections", "none stopped")],
        Ok(rows) => rows
            .into_iter()
            .map(|(name, partition, reason)| stopped_on(&name, partition, &reason))
            .collect(),
        Err(error) => vec![Check::failed("projections", error.to_string(), "kulti migrate")],
    }
}

fn stopped_on(projection: &str, partition: i32, reason: &str) -> Check {
    let fix = match reason {
        "log_truncated" => {
            format!("if the log was cut or recreated on purpose: kulti topics new-epoch {projection}")
        }
        _ => "look into the server's log and the dead letters, then restart the consumer".to_owned(),
    };
    Check::failed(
        "projections",
        format!("{projection} stopped on partition {partition}: {reason}"),
        fix,
    )
}
