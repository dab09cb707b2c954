//! What tests rely on.

use std::time::Duration;

use kulti_pipeline::config::DatabaseConfig;
use kulti_test_support::{Proxy, TestDatabase, TestStack, wait_until};
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn databases_named(name: &str) -> i64 {
    let url = TestStack::from_environment().database_url;
    let mut connection = PgConnection::connect(&url).await.expect("Postgres");
    let count = sqlx::query_scalar("select count(*) from pg_database where datname = $1");
    count
        .bind(name)
        .fetch_one(&mut connection)
        .await
        .expect("a count")
}

async fn name_of(database: &TestDatabase) -> String {
    sqlx::query_scalar("select current_database()")
        .fetch_one(&database.pool)
        .await
        .expect("a name")
}

#[tokio::test]
async fn each_test_has_a_migrated_database_of_its_own_which_goes_with_it() {
    let (one, other) = tokio::join!(TestDatabase::create(), TestDatabase::create());
    let (name, other_name) = (name_of(&one).await, name_of(&other).await);
    assert_ne!(name, other_name);
    let rows: i64 = sqlx::query_scalar("select count(*) from events")
        .fetch_one(&one.pool)
        .await
        .expect("a table");
    assert_eq!(rows, 0);
    drop(one);
    assert_eq!(databases_named(&name).await, 0);
    assert_eq!(databases_named(&other_name).await, 1);
}

#[tokio::test]
async fn the_pools_of_the_spine_limit_what_a_statement_may_take() {
    let database = TestDatabase::create().await;
    let pool = database.config().connect().await.expect("a pool");
    let limit: String = sqlx::query_scalar("show statement_timeout")
        .fetch_one(&pool)
        .await
        .expect("a limit");
    let name: String = sqlx::query_scalar("show application_name")
        .fetch_one(&pool)
        .await
        .expect("a name");
    assert_eq!((limit.as_str(), name.as_str()), ("30s", "kulti"));
    pool.close().await;
    let nowhere = DatabaseConfig {
        url: "postgres://x:secret@127.0.0.1:1/none".to_owned(),
        max_connections: 1,
    };
    let refused = format!("{:#}", nowhere.connect().await.expect_err("nobody there"));
    assert!(
        refused.contains("127.0.0.1:1/none") && !refused.contains("secret"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_proxy_cuts_stalls_and_comes_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut echo, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = echo.split();
                tokio::io::copy(&mut from, &mut to).await.ok();
            });
        }
    });
    let proxy = Proxy::to(&target).await;
    let mut connection = TcpStream::connect(proxy.address()).await.expect("a connection");
    assert_eq!(echo(&mut connection).await, Some(b'x'));
    proxy.stall();
    let stalled = tokio::time::timeout(Duration::from_millis(50), echo(&mut connection)).await;
    assert!(stalled.is_err());
    proxy.resume();
    // What was held back arrives.
    assert_eq!(connection.read_u8().await.ok(), Some(b'x'));
    proxy.cut();
    assert_eq!(echo(&mut connection).await, None);
    let mut refused = TcpStream::connect(proxy.address()).await.expect("a connection");
    assert_eq!(echo(&mut refused).await, None);
    proxy.resume();
    wait_until("the proxy passes on again", async || {
        match TcpStream::connect(proxy.address()).await {
            Ok(mut connection) => echo(&mut connection).await == Some(b'x'),
            Err(_) => false,
        }
    })
    .await;
}

async fn echo(connection: &mut TcpStream) -> Option<u8> {
    connection.write_u8(b'x').await.ok()?;
    connection.read_u8().await.ok()
}
