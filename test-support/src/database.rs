//! A database of one's own for each test, copied from a template that is migrated once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use kulti_migrations::MIGRATOR;
use kulti_pipeline::config::DatabaseConfig;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::TestStack;

/// Held while templates are made and old databases swept; the number is nobody else's.
const LOCK: i64 = 0x6b75_6c74_6900;
const PREFIX: &str = "kulti_test_";
const TEMPLATE_PREFIX: &str = "kulti_template_";
/// What an aborted run left is older than this.
const OLD: Duration = Duration::from_secs(3_600);
const CONNECTIONS: u32 = 10;

/// A migrated, empty database; dropped on drop.
pub struct TestDatabase {
    /// Its URL.
    pub url: String,
    /// Connected to it.
    pub pool: PgPool,
    name: String,
}

impl TestDatabase {
    /// Makes one.
    ///
    /// # Panics
    /// If Postgres does not answer or refuses.
    pub async fn create() -> TestDatabase {
        // Once per process is enough: the rest of a run adds nothing old.
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE.get_or_init(prepare).await;
        let created = unix_seconds();
        let name = format!("{PREFIX}{created}_{}", Uuid::now_v7().simple());
        let mut admin = connect_admin().await;
        execute(
            &mut admin,
            format!(r#"create database "{name}" template "{template}""#),
        )
        .await;
        close(admin).await;
        let url = url_of(&name);
        let options: PgConnectOptions = url.parse().expect("a database URL");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(10))
            .connect_lazy_with(options);
        TestDatabase { url, pool, name }
    }
    /// For whatever is configured with a URL.
    pub fn config(&self) -> DatabaseConfig {
        DatabaseConfig {
            url: self.url.clone(),
            max_connections: CONNECTIONS,
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        // Drop may run inside a runtime, where waiting for another is not allowed: a thread of its own.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(drop_database(&name));
            }
        });
        if dropped.join().is_err() {
            eprintln!(
                "the database {} was not dropped: the next run sweeps it",
                self.name
            );
        }
    }
}

/// Sweeps what earlier runs left and makes the template if these migrations have none yet. Returns its name.
async fn prepare() -> String {
    let mut hasher = DefaultHasher::new();
    for migration in MIGRATOR.iter() {
        migration.checksum.hash(&mut hasher);
    }
    let template = format!("{TEMPLATE_PREFIX}{:016x}", hasher.finish());
    let mut admin = connect_admin().await;
    execute(&mut admin, format!("select pg_advisory_lock({LOCK})")).await;
    sweep(&mut admin, &template).await;
    if !databases(&mut admin, TEMPLATE_PREFIX).await.contains(&template) {
        make_template(&mut admin, &template).await;
    }
    close(admin).await;
    template
}

async fn make_template(admin: &mut PgConnection, template: &str) {
    // Under its name only when it is whole: a run that is killed meanwhile leaves no half template.
    let unfinished = format!("{PREFIX}0_{}", Uuid::now_v7().simple());
    execute(admin, format!(r#"create database "{unfinished}""#)).await;
    let options: PgConnectOptions = url_of(&unfinished).parse().expect("a database URL");
    let mut connection = options.connect().await.expect("the template's database");
    MIGRATOR
        .run(&mut connection)
        .await
        .expect("migrations that apply to an empty database");
    close(connection).await;
    execute(
        admin,
        format!(r#"alter database "{unfinished}" rename to "{template}""#),
    )
    .await;
}

async fn sweep(admin: &mut PgConnection, template: &str) {
    let limit = unix_seconds().saturating_sub(OLD.as_secs());
    for name in databases(admin, PREFIX).await {
        let created = name
            .trim_start_matches(PREFIX)
            .split('_')
            .next()
            .and_then(|text| text.parse::<u64>().ok());
        if created.is_some_and(|created| created < limit) {
            execute(admin, format!(r#"drop database if exists "{name}" with (force)"#)).await;
        }
    }
    for name in databases(admin, TEMPLATE_PREFIX).await {
        // Another checkout may be copying its own template: then it stays.
        if name != template {
            let drop = format!(r#"drop database if exists "{name}""#);
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *admin).await.ok();
        }
    }
}

async fn drop_database(name: &str) {
    let mut admin = connect_admin().await;
    execute(
        &mut admin,
        format!(r#"drop database if exists "{name}" with (force)"#),
    )
    .await;
    close(admin).await;
}

async fn databases(admin: &mut PgConnection, prefix: &str) -> Vec<String> {
    let rows = sqlx::query("select datname from pg_database where starts_with(datname, $1)")
        .bind(prefix)
        .fetch_all(admin)
        .await
        .expect("the list of databases");
    rows.iter().map(|row| row.get("datname")).collect()
}

async fn connect_admin() -> PgConnection {
    let url = TestStack::from_environment().database_url;
    match PgConnection::connect(&url).await {
        Ok(connection) => connection,
        Err(error) => panic!("Postgres does not answer ({error}): run `make test`, or `dev/stack up`"),
    }
}

async fn execute(connection: &mut PgConnection, sql: String) {
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
        .execute(connection)
        .await
    {
        panic!("{sql}: {error}");
    }
}

async fn close(connection: PgConnection) {
    connection.close().await.expect("a connection that closes");
}

/// The superuser's URL with another database.
fn url_of(name: &str) -> String {
    let url = TestStack::from_environment().database_url;
    let options: PgConnectOptions = url.parse().expect("KULTI_TEST_DATABASE is a URL");
    options.database(name).to_url_lossy().to_string()
}

fn unix_seconds() -> u64 {
    std::time::UNIX_EPOCH
        .elapsed()
        .map(|elapsed| elapsed.as_secs())
        .unwrap_or_default()
}
