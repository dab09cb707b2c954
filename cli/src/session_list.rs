//! The server's list of sessions, a page at a time.

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Client;

/// A page, each session as it came.
#[derive(Deserialize)]
pub(crate) struct SessionsPage {
    /// The sessions.
    pub(crate) items: Vec<Box<RawValue>>,
    /// For the next page.
    #[serde(default)]
    pub(crate) next: Option<String>,
}

/// What is shown of a session.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SessionEntry {
    pub(crate) id: String,
    pub(crate) agent: String,
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) task: Option<String>,
    pub(crate) status: String,
    pub(crate) started_at: DateTime<Utc>,
    #[serde(default)]
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) events: i64,
    #[serde(default)]
    pub(crate) viewers: i64,
}

/// Asks for a page of `GET /v1/sessions`.
pub(crate) async fn sessions_page(client: &Client, query: &[(&str, String)]) -> anyhow::Result<SessionsPage> {
    let request = client
        .request(Method::GET, client.url(&["v1", "sessions"]))
        .query(query);
    Ok(client.json(request).await?)
}

/// The agent's newest sessions, in the order in which they started.
pub(crate) async fn agent_sessions(client: &Client, agent: &str) -> anyhow::Result<Vec<SessionEntry>> {
    let query = [("agent", agent.to_owned()), ("limit", "100".to_owned())];
    let page = sessions_page(client, &query).await?;
    let entries = page.items.iter().map(|item| serde_json::from_str(item.get()));
    let mut entries: Vec<SessionEntry> = entries.collect::<Result<_, _>>()?;
    entries.sort_by(|one, other| (one.started_at, &one.id).cmp(&(other.started_at, &other.id)));
    Ok(entries)
}
