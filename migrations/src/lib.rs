//! The SQL migrations, embedded. The contract between the code that writes the tables and the code that reads them.

use sqlx::migrate::Migrator;

/// All migrations, in order. A database that is ahead is fine: migrations stay compatible with the release before
/// them, so that old and new processes run side by side while one is rolled out.
pub static MIGRATOR: Migrator = Migrator {
    ignore_missing: true,
    ..sqlx::migrate!("./sql")
};
