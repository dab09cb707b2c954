//! The SQL migrations, embedded. The contract between the code that writes the tables and the code that reads them.

/// All migrations, in order.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("./sql");
