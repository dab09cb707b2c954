//! Database and topics as the roles need them.

use std::time::Duration;

use anyhow::Context;
use kulti_migrations::MIGRATOR;
use kulti_pipeline::config::{DatabaseConfig, KafkaConfig};
use kulti_pipeline::topics::{check_topics, ensure_topics};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

/// A server that starts together with its database waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// Migrates the schema and makes the topics.
pub(crate) async fn set_up(database: &DatabaseConfig, kafka: &KafkaConfig) -> anyhow::Result<()> {
    let applied = migrate(database).await?;
    if !applied.is_empty() {
        tracing::info!("schema migrated: {}", applied.join(", "));
    }
    ensure_topics(kafka).await
}

/// Refuses a schema or topics that are not as this build needs them.
pub(crate) async fn check(database: &DatabaseConfig, kafka: &KafkaConfig) -> anyhow::Result<()> {
    let pending = pending_migrations(database).await?;
    if !pending.is_empty() {
        anyhow::bail!("the schema lacks {}: run `kulti migrate`", pending.join(", "));
    }
    check_topics(kafka).await
}

/// Applies what is missing, and says what that was.
pub(crate) async fn migrate(database: &DatabaseConfig) -> anyhow::Result<Vec<String>> {
    let mut connection = connect(database, PATIENCE).await?;
    let pending = pending(&mut connection).await?;
    MIGRATOR
        .run(&mut connection)
        .await
        .context("the schema cannot be migrated")?;
    connection.close().await.ok();
    Ok(pending)
}

/// What is missing.
pub(crate) async fn pending_migrations(database: &DatabaseConfig) -> anyhow::Result<Vec<String>> {
    let mut connection = connect(database, Duration::ZERO).await?;
    let pending = pending(&mut connection).await?;
    connection.close().await.ok();
    Ok(pending)
}

async fn pending(connection: &mut PgConnection) -> anyhow::Result<Vec<String>> {
    let there: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await
        .context("the schema's version cannot be read")?;
    let applied: Vec<i64> = if there {
        sqlx::query_scalar("select version from _sqlx_migrations where success")
            .fetch_all(connection)
            .await?
    } else {
        Vec::new()
    };
    let missing = MIGRATOR
        .iter()
        .filter(|migration| !applied.contains(&migration.version));
    Ok(missing
        .map(|migration| format!("{:04} {}", migration.version, migration.description))
        .collect())
}

/// A connection without the pool's limit on statements: a migration may take as long as it takes.
async fn connect(database: &DatabaseConfig, patience: Duration) -> anyhow::Result<PgConnection> {
    let begun = Instant::now();
    loop {
        match PgConnection::connect(&database.url).await {
            Ok(connection) => return Ok(connection),
            Err(error) if begun.elapsed() < patience && is_passing(&error) => {
                tracing::warn!(%error, "Postgres at {database} does not answer yet");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("Postgres at {database} cannot be used"));
            }
        }
    }
}

/// Not there yet, or starting (57P03).
fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}
