//! The way to Postgres for commands that need it.

use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::commands::config::mask_url;
use crate::settings::Settings;

/// So long a command waits for a connection before it says what is wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects; the message says where to.
pub(crate) async fn connect(settings: &Settings) -> anyhow::Result<PgPool> {
    let config = settings.database()?;
    let options = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(PATIENCE);
    let (_, origin) = settings.get("database.url");
    let what = || {
        format!(
            "no connection to Postgres at {} (database.url, {origin})",
            mask_url(&config.url)
        )
    };
    options.connect(&config.url).await.with_context(what)
}
