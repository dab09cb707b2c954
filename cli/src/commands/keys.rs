//! `kulti keys`: makes, lists and revokes API keys, through the server or directly in its database.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use kulti_gateway::control::{self, Scope};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;

use crate::args::ServerArguments;
use crate::client::{Client, connect};
use crate::environment::Environment;
use crate::output::{Paint, note, print_line, table};
use crate::settings::{ConfigArguments, Settings};
use crate::terminal_text::clean_line;

/// Flags of `kulti keys`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Examples:\n  kulti keys create --name laptop\n  kulti keys create --name first --scope admin --database\n  kulti keys revoke 4f1c2a9b7d3e"
)]
pub(crate) struct KeysArguments {
    #[command(subcommand)]
    action: KeysAction,
}

#[derive(Debug, Subcommand)]
enum KeysAction {
    /// Make a key; it is printed once
    #[command(after_help = "Example:\n  kulti keys create --name laptop --scope produce --agent nex")]
    Create(CreateArguments),
    /// List the keys
    #[command(after_help = "Example:\n  kulti keys list --json")]
    List(ListArguments),
    /// Revoke a key; it is refused everywhere within 5 s
    #[command(after_help = "Example:\n  kulti keys revoke 4f1c2a9b7d3e")]
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// What you call it
    #[arg(long, default_value = "key")]
    name: String,
    /// What it may do; several are separated by commas [default: produce,read; of the first key: admin]
    #[arg(long, value_delimiter = ',')]
    scope: Vec<ScopeName>,
    /// Let it write for this agent only
    #[arg(long)]
    agent: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// One key per line, as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    way: Way,
}

#[derive(Debug, Args)]
struct RevokeArguments {
    /// The key's id: the part between kulti_ and the second _
    id: String,
    #[command(flatten)]
    way: Way,
}

/// Through the server, or beside it.
#[derive(Debug, Args)]
struct Way {
    /// Directly in the server's database (database.url): for the first key of a server elsewhere
    #[arg(long)]
    database: bool,
    #[command(flatten)]
    config: ConfigArguments,
    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeName {
    Produce,
    Read,
    Admin,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Produce => Scope::Produce,
            ScopeName::Read => Scope::Read,
            ScopeName::Admin => Scope::Admin,
        }
    }
}

/// A key as the server describes it.
#[derive(Debug, Serialize, Deserialize)]
struct Key {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    agent: Option<String>,
    created_at: DateTime<Utc>,
    #[serde(default)]
    revoked_at: Option<DateTime<Utc>>,
    /// The whole key; only in the answer to its making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl From<control::KeyRecord> for Key {
    fn from(record: control::KeyRecord) -> Self {
        let control::KeyRecord {
            id,
            name,
            scopes,
            agent_id: agent,
            created_at,
            revoked_at,
        } = record;
        Key {
            id,
            name,
            scopes,
            agent,
            created_at,
            revoked_at,
            key: None,
        }
    }
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Key>,
    #[serde(default)]
    next: Option<String>,
}

/// Makes, lists or revokes.
pub(crate) async fn run(arguments: KeysArguments, environment: &Environment) -> anyhow::Result<()> {
    match arguments.action {
        KeysAction::Create(arguments) => create(arguments, environment).await,
        KeysAction::List(arguments) => list(arguments, environment).await,
        KeysAction::Revoke(arguments) => revoke(arguments, environment).await,
    }
}

/// Where keys are made, listed and revoked.
enum Access {
    Server(Client),
    Database(PgPool),
}

impl Way {
    async fn open(&self, environment: &Environment) -> anyhow::Result<Access> {
        if self.database {
            let settings = Settings::load(&self.config, &[], environment)?;
            return Ok(Access::Database(settings.database()?.connect().await?));
        }
        Ok(Access::Server(
            connect(self.server.url.as_deref(), environment).await?,
        ))
    }
}

impl Access {
    async fn list(&self) -> anyhow::Result<Vec<Key>> {
        let client = match self {
            Access::Database(pool) => {
                return Ok(control::list_keys(pool)
                    .await?
                    .into_iter()
                    .map(Key::from)
                    .collect());
            }
            Access::Server(client) => client,
        };
        let (mut keys, mut cursor) = (Vec::new(), None);
        loop {
            let query: Vec<(&str, String)> = cursor
                .take()
                .map(|cursor| ("cursor", cursor))
                .into_iter()
                .collect();
            let request = client
                .request(Method::GET, client.url(&["v1", "keys"]))
                .query(&query);
            let page: Page = client.json(request).await?;
            keys.extend(page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(keys),
            }
        }
    }

    async fn create(&self, new: control::NewKey) -> anyhow::Result<Key> {
        match self {
            Access::Database(pool) => {
                let created = control::create_key(pool, &new).await?;
                Ok(Key {
                    key: Some(created.secret),
                    ..Key::from(created.record)
                })
            }
            Access::Server(client) => {
                let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
                let body = json!({"name": new.name, "scopes": scopes, "agent": new.agent});
                let request = client
                    .request(Method::POST, client.url(&["v1", "keys"]))
                    .json(&body);
                Ok(client.json(request).await?)
            }
        }
    }

    async fn revoke(&self, id: &str) -> anyhow::Result<()> {
        match self {
            Access::Database(pool) => {
                let revoked = control::revoke_key(pool, id).await?;
                anyhow::ensure!(revoked, "there is no such key, or it is revoked already");
            }
            Access::Server(client) => {
                client
                    .answer(client.request(Method::DELETE, client.url(&["v1", "keys", id])))
                    .await?;
            }
        }
        Ok(())
    }
}

async fn create(arguments: CreateArguments, environment: &Environment) -> anyhow::Result<()> {
    let access = arguments.way.open(environment).await?;
    let mut scopes: Vec<Scope> = arguments.scope.iter().copied().map(Scope::from).collect();
    if scopes.is_empty() {
        // Once there is a key, only an admin's can make the next one.
        let is_first = access.list().await?.is_empty();
        scopes = if is_first {
            vec![Scope::Admin]
        } else {
            vec![Scope::Produce, Scope::Read]
        };
    }
    let new = control::NewKey {
        name: arguments.name,
        scopes,
        agent: arguments.agent,
    };
    let key = access.create(new).await?;
    if arguments.json {
        return Ok(print_line(serde_json::to_string(&key)?)?);
    }
    print_line(key.key.as_deref().unwrap_or_default())?;
    note(&format!(
        "key {} ({}); it is not shown again",
        key.id,
        key.scopes.join(", ")
    ));
    Ok(())
}

async fn list(arguments: ListArguments, environment: &Environment) -> anyhow::Result<()> {
    let keys = arguments.way.open(environment).await?.list().await?;
    if arguments.json {
        for key in &keys {
            print_line(serde_json::to_string(key)?)?;
        }
        return Ok(());
    }
    if keys.is_empty() {
        note("there are no keys");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    let header = ["KEY", "SCOPES", "AGENT", "MADE", "STATE", "NAME"];
    Ok(print_line(table(&header, &rows, Paint::for_stdout(environment)))?)
}

fn row(key: &Key) -> Vec<String> {
    vec![
        clean_line(&key.id, 40),
        key.scopes.join(","),
        clean_line(key.agent.as_deref().unwrap_or("any"), 24),
        key.created_at.format("%Y-%m-%d").to_string(),
        key.revoked_at.map_or_else(
            || "good".to_owned(),
            |at| format!("revoked {}", at.format("%Y-%m-%d")),
        ),
        clean_line(&key.name, 60),
    ]
}

async fn revoke(arguments: RevokeArguments, environment: &Environment) -> anyhow::Result<()> {
    arguments
        .way
        .open(environment)
        .await?
        .revoke(&arguments.id)
        .await?;
    Ok(print_line(format!("revoked {}", clean_line(&arguments.id, 40)))?)
}
